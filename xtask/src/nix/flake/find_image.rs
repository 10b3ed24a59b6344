//! Finding the image of a host, wherever its flake keeps images.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::answer::{Answer, function};
use super::catalogue::{Catalogue, Host};
use super::host_image::HostImage;
use super::no_image::{iso_error, no_host_error, no_image_error, several_images_error};
use super::outputs::BrokenOutput;
use crate::bail;
use crate::base::{Context, FlakeRef, HostName, ImageSource};
use crate::nix::{self, EvalCache, Fingerprint};

impl HostImage {
    /// Finds the image of `source`, with `options` for Nix.
    ///
    /// # Errors
    /// `Usage` where the flake has no such host, or the host has no image, or several.
    pub fn find(cx: &Context, source: &ImageSource, options: &[String]) -> Result<Self> {
        match source {
            ImageSource::Host(host) => {
                let answer = Answer::of_host(cx, host, &[], options)?;
                if answer.names_host() {
                    return only_image(answer, &cx.flake, host, &Host::default());
                }
                let catalogue = Catalogue::read(&cx.launcher, &cx.flake, options)?;
                match catalogue.host(host) {
                    Ok(known) => only_image(answer, &cx.flake, host, known),
                    Err(error) => Err(no_host_error(&cx.flake, error, &answer)),
                }
            }
            ImageSource::Attribute(attribute) => Self::at_attribute(cx, attribute, options),
        }
    }

    /// The image of `host`, with `options` for Nix; `None` for a host without an image.
    ///
    /// # Errors
    /// `Usage` where the host has several, and why its configuration does not evaluate.
    pub fn find_of_host(cx: &Context, host: &HostName, options: &[String]) -> Result<Option<Self>> {
        let answer = Answer::of_host(cx, host, &[], options)?;
        if answer.images.is_empty() && answer.failure.is_none() {
            return Ok(None);
        }
        only_image(answer, &cx.flake, host, &Host::default()).map(Some)
    }

    /// The images of `host`, which the flake has, in a flake of which the outputs `broken` cannot be evaluated. If
    /// there are several, the user has to choose.
    ///
    /// # Errors
    /// Those of [`Answer::of_host`], and why there is none.
    pub fn all_of_host(
        cx: &Context,
        host: &Host,
        broken: &[BrokenOutput],
        options: &[String],
    ) -> Result<Vec<Self>> {
        images(Answer::of_host(cx, &host.name, broken, options)?, &cx.flake, &host.name, host)
    }

    /// What an earlier evaluation of the flake with this fingerprint answered to [`Self::all_of_host`].
    pub fn from_cache(
        cache: &EvalCache,
        fingerprint: &Fingerprint,
        flake: &FlakeRef,
        host: &Host,
    ) -> Option<Result<Vec<Self>>> {
        let answer = Answer::parse(cache.get(fingerprint, &function(&host.name))?, &host.name).ok()?;
        Some(images(answer, flake, &host.name, host))
    }

    /// The image at the attribute path `attribute`, as the user wrote it.
    fn at_attribute(cx: &Context, attribute: &str, options: &[String]) -> Result<Self> {
        let apply = "image: if image.type or null == \"derivation\" then { place = \"attribute\"; path = [ ]; \
                     name = image.name or \"\"; system = image.system or null; derivation = image.drvPath; \
                     file = image.passthru.filePath or image.filePath or null; } else null";
        let eval = |attribute: &str| {
            nix::eval(&cx.launcher, &cx.flake, attribute, apply, options, cx.reporter.as_ref())
        };
        let found = match eval(attribute) {
            // Nix searches the packages first, which may fail.
            Err(error) if nix::is_evaluation_failure(&error) && !nix::is_missing_attribute(&error) => {
                eval(&format!(".{attribute}")).map_err(|_| error)
            }
            found => found,
        }?;
        let Some(image) = Option::<Self>::deserialize(found).context("reading the image")? else {
            bail!(
                Usage, "{}#{attribute} is no derivation", cx.flake;
                hint: "name an attribute that builds an image, such as \
                       FLAKE#nixosConfigurations.HOST.config.system.build.sdImage"
            );
        };
        let is_iso = |name: &str| name.to_lowercase().ends_with(".iso");
        let is_iso_option = attribute.ends_with(".system.build.isoImage");
        if is_iso_option || is_iso(&image.name) || image.file.as_deref().is_some_and(is_iso) {
            return Err(iso_error(&format!("{}#{attribute}", cx.flake)));
        }
        Ok(Self { path: vec![attribute.to_owned()], ..image })
    }
}

/// The images of `host` in `answer`. `known` is what the names in the flake show of the host.
///
/// # Errors
/// Why there is none.
fn images(answer: Answer, flake: &FlakeRef, host: &HostName, known: &Host) -> Result<Vec<HostImage>> {
    if answer.images.is_empty() {
        return Err(no_image_error(flake, host, known, &answer));
    }
    Ok(answer.images)
}

/// The only image of `host` in `answer`.
///
/// # Errors
/// `Usage` where there are several, and those of [`images`].
fn only_image(answer: Answer, flake: &FlakeRef, host: &HostName, known: &Host) -> Result<HostImage> {
    let mut images = images(answer, flake, host, known)?;
    if images.len() > 1 {
        return Err(several_images_error(flake, host, &images));
    }
    Ok(images.remove(0))
}
