//! The image of a host, wherever its flake keeps images.

use std::fmt::{self, Display};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::HOSTS;
use super::catalogue::Catalogue;
use super::host_layout::HostLayout;
use crate::base::{Context, HostName, ImageSource, Reporter};
use crate::nix::{self, EvalCache, Fingerprint, Installable};
use crate::{bail, failure};

/// The outputs that can have images. A Nix that cannot evaluate all outputs at once evaluates them in this order.
const OUTPUTS: &[&str] = &["packages", "images", "image", "nixosConfigurations"];

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
    /// The SD card image that nixpkgs makes of every configuration.
    Stock,
    /// The attribute that the user named.
    Attribute,
}

/// The derivation of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostImage {
    pub place: Place,
    /// The attribute path in the flake.
    path: Vec<String>,
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

/// The images of a host that `hosts.nix` found.
#[derive(Debug, Default, Deserialize)]
struct FoundImages {
    images: Vec<HostImage>,
    /// The attribute paths of ISO images, which are no images of disks.
    isos: Vec<Vec<String>>,
    /// Whether the flake has a NixOS configuration of the host.
    is_configured: bool,
}

impl HostImage {
    /// Finds the image of `source`, with `options` for Nix.
    ///
    /// # Errors
    /// `Usage` where the flake has no such host, or the host has no image, or several.
    pub fn find(cx: &Context, source: &ImageSource, options: &[String]) -> Result<Self> {
        match source {
            ImageSource::Host(host) => Self::of_host(cx, host, options),
            ImageSource::Attribute(attribute) => Self::at_attribute(cx, attribute, options),
        }
    }

    /// The image of `host`, at the first place that has one. An earlier evaluation of the same flake counts if the
    /// derivation that it found still exists.
    fn of_host(cx: &Context, host: &HostName, options: &[String]) -> Result<Self> {
        let function = image_function(host);
        let evaluate = |reporter: &dyn Reporter| evaluate(cx, &function, options, reporter);
        let has_derivation = |json: &Value| {
            let derivation = json["images"][0]["derivation"].as_str();
            derivation.is_some_and(|path| std::path::Path::new(path).exists())
        };
        let reporter = cx.reporter.as_ref();
        let json = if nix::is_cacheable(options) {
            let cache = EvalCache::new(&cx.state);
            cache.get_or_evaluate(&cx.launcher, &cx.flake, &function, has_derivation, reporter, evaluate)?
        } else {
            evaluate(reporter)?
        };
        let mut found = parse(json, host)?;
        match found.images.len() {
            0 => Err(no_image_error(cx, host, &found, options)),
            1 => Ok(found.images.remove(0)),
            _ => Err(several_images_error(cx, host, &found.images)),
        }
    }

    /// The image of `host` that an earlier evaluation of the flake with this fingerprint found; `None` where none is
    /// cached.
    pub fn from_cache(cache: &EvalCache, fingerprint: &Fingerprint, host: &HostName) -> Option<Self> {
        let json = cache.get(fingerprint, &image_function(host))?;
        parse(json, host).ok()?.images.into_iter().next()
    }

    /// The image at the attribute path `attribute`, as the user wrote it.
    fn at_attribute(cx: &Context, attribute: &str, options: &[String]) -> Result<Self> {
        let apply = "image: if image.type or null == \"derivation\" then { place = \"attribute\"; path = [ ]; \
                     name = image.name or \"\"; system = image.system or null; derivation = image.drvPath; \
                     file = image.passthru.filePath or image.filePath or null; } else null";
        let found = nix::eval(&cx.launcher, &cx.flake, attribute, apply, options, cx.reporter.as_ref())?;
        let Some(image) = Option::<Self>::deserialize(found).context("reading the image")? else {
            bail!(
                Usage, "{}#{attribute} is no derivation", cx.flake;
                hint: "name an attribute that builds an image, such as \
                       FLAKE#nixosConfigurations.HOST.config.system.build.sdImage"
            );
        };
        if image.name.to_lowercase().ends_with(".iso") {
            return Err(iso_error(&format!("{}#{attribute}", cx.flake)));
        }
        Ok(Self { path: vec![attribute.to_owned()], ..image })
    }

    /// The derivation of the image for `nix build`, with the attribute as its name in messages.
    pub fn installable(&self, cx: &Context) -> Installable {
        Installable::derivation(&self.derivation).with_name(format!("{}#{self}", cx.flake))
    }

    /// A note on the place of the image of `source`; `None` where the place is the convention, or named by the user.
    pub fn remark(&self, source: &ImageSource) -> Option<String> {
        match self.place {
            Place::Convention | Place::Attribute => None,
            Place::Companion => Some(format!(
                "{source} has no image of its own; using the image of another configuration: {self}"
            )),
            Place::Stock => Some(format!(
                "{source} has no image of its own; using the SD card image that nixpkgs makes of any configuration: {self}"
            )),
            _ => Some(format!("the image of {source} is {self}")),
        }
    }
}

impl Display for HostImage {
    /// The attribute path, as Nix and `FLAKE#ATTRIBUTE` read it.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        // The user writes the whole path for Nix, as one part.
        let is_quoted = self.place == Place::Attribute;
        let quote = |name: &String| {
            if is_quoted || nix::is_plain_name(name) { name.clone() } else { nix::quote(name) }
        };
        f.write_str(&self.path.iter().map(quote).collect::<Vec<_>>().join("."))
    }
}

/// The Nix function from the outputs of a flake to the images of `host`, as [`FoundImages`].
fn image_function(host: &HostName) -> String {
    let here = nix::quote(&nix::this_system());
    format!("outputs: (({HOSTS}) outputs).imageOf {{ host = {}; here = {here}; }}", nix::quote(host))
}

/// Calls the Nix function `function` on all outputs at once. With Nix 2.18, which cannot, calls it on one output after
/// the other until one has an image.
fn evaluate(cx: &Context, function: &str, options: &[String], reporter: &dyn Reporter) -> Result<Value> {
    let eval =
        |output: &str, apply: &str| nix::eval(&cx.launcher, &cx.flake, output, apply, options, reporter);
    let all = eval(nix::ALL_OUTPUTS, function);
    if !all.as_ref().is_err_and(nix::is_missing_attribute) {
        return all;
    }
    let is_empty = |json: &Value| [&json["images"], &json["isos"]].iter().all(|list| **list == json!([]));
    let mut last = json!({ "images": [], "isos": [], "is_configured": false });
    for output in OUTPUTS {
        match eval(output, &format!("value: ({function}) {{ {output} = value; }}")) {
            Err(error) if nix::is_missing_attribute(&error) => {}
            Ok(json) if is_empty(&json) => last = json,
            result => return result,
        }
    }
    Ok(last)
}

/// The images of `host` in `json`, which `hosts.nix` found.
fn parse(json: Value, host: &str) -> Result<FoundImages> {
    FoundImages::deserialize(json).with_context(|| format!("reading the image of {host}"))
}

/// The error for a host without an image, or for an unknown host. `found` has no images, but may have ISO images.
fn no_image_error(cx: &Context, host: &HostName, found: &FoundImages, options: &[String]) -> anyhow::Error {
    if let Some(path) = found.isos.first() {
        return iso_error(&format!("{}#{}", cx.flake, path.join(".")));
    }
    if found.is_configured {
        return failure!(
            Usage, "nixosConfigurations.{host} makes no image for a card: it has neither `system.build.sdImage` nor \
                    another image, and is no ARM board with `boot.loader.generic-extlinux-compatible`";
            hint: "add an image to the flake, or name one as FLAKE#ATTRIBUTE"
        );
    }
    let known = Catalogue::read(&cx.launcher, &cx.flake, options);
    match known.and_then(|catalogue| catalogue.host(host).map(drop)) {
        Err(error) => error,
        Ok(()) => failure!(
            Usage, "host '{host}' has no SD image, only a deploy node";
            hint: "add packages.<system>.{host}-sdImage to the flake, or run `cargo xtask deploy {host}`"
        ),
    }
}

fn iso_error(attribute: &str) -> anyhow::Error {
    failure!(
        Usage, "{attribute} is an ISO image, which is for a PC: no Raspberry Pi boots it";
        hint: "name the attribute of an SD card image as FLAKE#ATTRIBUTE"
    )
}

fn several_images_error(cx: &Context, host: &HostName, images: &[HostImage]) -> anyhow::Error {
    let paths = images.iter().map(HostImage::to_string).collect::<Vec<_>>();
    let attributes = images.iter().map(|image| format!("{}#{image}", cx.flake)).collect::<Vec<_>>();
    failure!(
        Usage, "{host} has {} images: {}", images.len(), paths.join(", ");
        hint: "choose one of them in place of {host}: {}", attributes.join(" or ")
    )
}
