//! Why a host has no image, or not only one.

use super::answer::{Answer, attribute_path};
use super::catalogue::Host;
use super::host_image::HostImage;
use crate::base::failure::{ExitKind, hint};
use crate::base::{FlakeRef, HostName, shell};
use crate::failure;

/// The error for `host` without an image. `known` is what the names in the flake show of the host.
pub fn no_image_error(flake: &FlakeRef, host: &HostName, known: &Host, answer: &Answer) -> anyhow::Error {
    if let Some(failure) = &answer.failure {
        return ExitKind::Other.error_with(&failure.message, failure.hint.clone(), Vec::new());
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
    if known.in_images || !known.image_systems.is_empty() {
        return failure!(
            Usage, "host '{host}' has no SD image: the attribute for it is no derivation";
            hint: "add packages.<system>.{host}-sdImage to the flake, or name an image as FLAKE#ATTRIBUTE"
        );
    }
    failure!(
        Usage, "host '{host}' has no SD image, only a deploy node";
        hint: "add packages.<system>.{host}-sdImage to the flake, or run `cargo xtask deploy {host}`"
    )
}

/// `error`, which says that the flake has no such host, with the first package of that name, if any, in its hint.
pub fn no_host_error(flake: &FlakeRef, error: anyhow::Error, answer: &Answer) -> anyhow::Error {
    let Some(path) = answer.packages.first() else { return error };
    let package = installable(flake, path);
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
    let names = images.iter().map(|image| installable(flake, &image.path)).collect::<Vec<_>>();
    failure!(
        Usage, "{host} has {} images: {}", images.len(), images.iter().map(HostImage::to_string).collect::<Vec<_>>().join(", ");
        hint: "choose one of them in place of {host}: {}", names.join(" or ")
    )
}

/// The attribute of `flake` at `path` as one word for a shell.
fn installable(flake: &FlakeRef, path: &[String]) -> String {
    let word = format!("{flake}#{}", attribute_path(path));
    // Inside a word, a number sign is no comment.
    if shell::quote(&word.replace('#', "")).starts_with('\'') { shell::quote(&word) } else { word }
}
