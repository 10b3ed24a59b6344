//! The image of a host, wherever its flake keeps images.

use std::fmt::{self, Display};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::answer::{Answer, attribute_path, function};
use super::catalogue::{Catalogue, Host};
use super::host_layout::HostLayout;
use super::no_image::{iso_error, no_host_error};
use super::outputs::BrokenOutput;
use crate::bail;
use crate::base::{Context, FlakeRef, ImageSource};
use crate::nix::{self, EvalCache, Fingerprint, Installable};

/// The place in a flake where an image was found. `hosts.nix` has the order of the places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// `packages.SYSTEM.HOST-sdImage`.
    Convention,
    /// `images.HOST`.
    Images,
    /// A package whose name is that of the host, with or without an ending such as `-image`.
    Package,
    /// `system.build` of the host's own configuration.
    Configuration,
    /// A package such as `sdImage`, in a flake with one host.
    Only,
    /// `system.build` of another configuration, such as `HOST-image`.
    Companion,
    /// The SD card image that nixpkgs makes of the host's configuration.
    Stock,
    /// The attribute that the user named.
    Attribute,
}

/// The derivation of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostImage {
    pub place: Place,
    /// The attribute path in the flake.
    pub(super) path: Vec<String>,
    /// The name of the derivation.
    name: String,
    /// The system that builds the derivation, if known.
    pub system: Option<String>,
    /// The store path of the derivation.
    derivation: String,
    /// The path of the image's file in the output, if the flake names it.
    pub file: Option<String>,
    /// Where the host reads its key, if the image has a configuration.
    #[serde(default)]
    pub layout: Option<HostLayout>,
}

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
                    return answer.choose(&cx.flake, host, &Host::default());
                }
                let catalogue = Catalogue::read(&cx.launcher, &cx.flake, options)?;
                match catalogue.host(host) {
                    Ok(known) => answer.choose(&cx.flake, host, known),
                    Err(error) => Err(no_host_error(&cx.flake, error, &answer)),
                }
            }
            ImageSource::Attribute(attribute) => Self::at_attribute(cx, attribute, options),
        }
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
        Answer::of_host(cx, &host.name, broken, options)?.into_images(&cx.flake, &host.name, host)
    }

    /// What an earlier evaluation of the flake with this fingerprint answered to [`Self::all_of_host`].
    pub fn from_cache(
        cache: &EvalCache,
        fingerprint: &Fingerprint,
        flake: &FlakeRef,
        host: &Host,
    ) -> Option<Result<Vec<Self>>> {
        let answer = Answer::parse(cache.get(fingerprint, &function(&host.name))?, &host.name).ok()?;
        Some(answer.into_images(flake, &host.name, host))
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

    /// The derivation of the image for `nix build`, with the attribute as its name in messages.
    pub fn installable(&self, cx: &Context) -> Installable {
        Installable::derivation(&self.derivation).with_name(format!("{}#{self}", cx.flake))
    }

    /// Where the image is, for a table: the attribute path, or only the system where the image is at the place of the
    /// convention, which follows from the host and the system.
    pub fn summary(&self) -> String {
        match (self.place, &self.system) {
            (Place::Convention, Some(system)) => system.clone(),
            _ => self.to_string(),
        }
    }

    /// A note on the place of the image of `source`; `None` where the place is the convention, or named by the user.
    pub fn remark(&self, source: &ImageSource) -> Option<String> {
        match self.place {
            Place::Convention | Place::Attribute => None,
            Place::Companion => Some(format!(
                "{source} has no image of its own; using the image of another configuration: {self}"
            )),
            Place::Stock => Some(format!(
                "{source} has no image of its own; using the SD card image that nixpkgs makes of its configuration: \
                 {self}"
            )),
            _ => Some(format!("the image of {source} is {self}")),
        }
    }
}

impl Display for HostImage {
    /// The attribute path, as Nix and `FLAKE#ATTRIBUTE` read it.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        // The path that the user named has one part, which is written for Nix already.
        match self.place {
            Place::Attribute => f.write_str(&self.path.join(".")),
            _ => f.write_str(&attribute_path(&self.path)),
        }
    }
}
