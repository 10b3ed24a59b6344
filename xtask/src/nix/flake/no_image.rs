//! Why a host has no image, or not only one.

use super::answer::Answer;
use super::attribute_path::{attribute_path, is_readable};
use super::catalogue::Host;
use super::host_image::HostImage;
use crate::base::failure::{ExitKind, hint};
use crate::base::{FlakeRef, HostName, shell};
use crate::failure;

/// The error for `host` without an image. `known` is what the names in the flake show of the host.
pub fn no_image_error(flake: &FlakeRef, host: &HostName, known: &Host, answer: &Answer) -> anyhow::Error {
    if let Some(failure) = &answer.failure {
        let reasons = failure.kind.map(|_| failure.clone());
        return ExitKind::Other.error_with(
            &failure.message,
            failure.hint.clone(),
            reasons.into_iter().collect(),
        );
    }
    if let Some(path) = answer.isos.first() {
        return iso_error(&format!("{flake}#{}", attribute_path(path)));
    }
    if answer.is_configured {
        return failure!(
            Usage, "nixosConfigurations.{host} makes no image for a card: it has neither `system.build.sdImage` nor \
                    another image, and is no ARM board with `boot.loader.generic-extlinux-compatible`";
            hint: "add an image to the flake, or name one as FLAKE#ATTRIBUTE"
        );
    }
    if let Some(package) = known.card_packages.first() {
        return failure!(
            Usage, "host '{host}' has no SD image: the package '{package}' is no derivation";
            hint: "make it one, or name an image as FLAKE#ATTRIBUTE"
        );
    }
    if known.in_images || !known.image_systems.is_empty() {
        return failure!(
            Usage, "host '{host}' has no SD image: the attribute for it is no derivation";
            hint: "add packages.<system>.{host}-sdImage to the flake, or name an image as FLAKE#ATTRIBUTE"
        );
    }
    failure!(
        Usage, "host '{host}' has no SD image, only a deploy node";
        hint: "add packages.<system>.{host}-sdImage to the flake, or run `cargo xtask deploy {host:#}`"
    )
}

/// `error` with a hint that names the first package with the name of the host, if there is such a package. This `error`
/// means that the flake has no such host.
pub fn no_host_error(flake: &FlakeRef, error: anyhow::Error, answer: &Answer) -> anyhow::Error {
    let Some(path) = answer.packages.first() else { return error };
    let Some(package) = installable(flake, path) else { return error };
    match hint(&error).filter(|hint| hint.ends_with('?')) {
        Some(nearest) => {
            let name = path.last().map_or("", String::as_str);
            failure!(Usage, "{error}"; hint: "{nearest} for the package '{name}', pass {package}")
        }
        None => failure!(Usage, "{error}"; hint: "for the package of that name, pass {package}"),
    }
}

/// The error for an ISO, which is at `place`: an attribute, or a path.
pub fn iso_error(place: &str) -> anyhow::Error {
    failure!(
        Usage, "{place} is an ISO image, which is for a PC: no Raspberry Pi boots it";
        hint: "name the attribute of an SD card image as FLAKE#ATTRIBUTE"
    )
}

pub fn several_images_error(flake: &FlakeRef, host: &HostName, images: &[HostImage]) -> anyhow::Error {
    let names = images.iter().filter_map(|image| installable(flake, &image.path)).collect::<Vec<_>>();
    let all = images.iter().map(HostImage::to_string).collect::<Vec<_>>().join(", ");
    let hint = if names.is_empty() {
        "rename them in the flake: no FLAKE#ATTRIBUTE has a quotation mark in a name".to_owned()
    } else {
        format!("choose one of them in place of {host}: {}", names.join(" or "))
    };
    failure!(Usage, "{host} has {} images: {all}", images.len(); hint: "{hint}")
}

/// The attribute of `flake` at `path` as one word for a shell; `None` where Nix reads no such word.
fn installable(flake: &FlakeRef, path: &[String]) -> Option<String> {
    let word = format!("{flake}#{}", attribute_path(path));
    // Inside a word, a number sign is no comment.
    let needs_quotes = shell::quote(&word.replace('#', "")).starts_with('\'');
    let word = if needs_quotes { shell::quote(&word) } else { word };
    path.iter().all(|name| is_readable(name)).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{Reason, ReasonKind, reported_reasons};
    use crate::base::split_attribute_path;

    #[test]
    fn the_failure_of_an_evaluation_keeps_its_reason() {
        let error_of = |kind| {
            let failure = Some(Reason { kind, message: "m".into(), hint: Some("h".into()) });
            let answer = Answer { failure, ..Answer::default() };
            no_image_error(&FlakeRef::of_url("f"), &"pi".into(), &Host::default(), &answer)
        };
        for kind in [ReasonKind::EvaluationFailed, ReasonKind::NoNetwork] {
            let error = error_of(Some(kind));
            assert_eq!((error.to_string().as_str(), hint(&error)), ("m", Some("h")));
            assert_eq!(reported_reasons(&error)[0].kind, Some(kind));
        }
        assert!(reported_reasons(&error_of(None)).is_empty());
    }

    #[test]
    fn a_hint_names_an_attribute_as_nix_reads_it() {
        let flake = FlakeRef::of_url("github:o/f");
        for (name, expected) in [
            ("pi", Some("github:o/f#images.pi")),
            ("pi.lan", Some("'github:o/f#images.\"pi.lan\"'")),
            ("a b", Some("'github:o/f#images.\"a b\"'")),
            ("a%20b", Some("'github:o/f#images.\"a%2520b\"'")),
            ("a^b", Some("'github:o/f#images.\"a%5Eb\"'")),
            ("a\nb", Some("'github:o/f#images.\"a%0Ab\"'")),
            ("a\\b", Some("'github:o/f#images.\"a\\b\"'")),
            ("a\"b", None),
        ] {
            let path = ["images".to_owned(), name.to_owned()];
            assert_eq!(installable(&flake, &path).as_deref(), expected, "{name}");
            if expected.is_some() {
                assert_eq!(split_attribute_path(&attribute_path(&path)), Some(path.to_vec()), "{name}");
            }
        }
    }
}
