//! The image of a host, wherever its flake keeps images.

use std::fmt::{self, Display};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::HOSTS;
use super::catalogue::Catalogue;
use super::host_layout::HostLayout;
use crate::base::{Context, HostName, ImageSource, Reporter};
use crate::nix::{self, EvalCache, Fingerprint, Installable};
use crate::{bail, failure};

/// The outputs that can have images, in the order in which a Nix that cannot evaluate all at once is asked.
const OUTPUTS: [&str; 4] = ["packages", "images", "image", "nixosConfigurations"];

/// Where an image was found. `hosts.nix` has the order of the places.
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
    /// The variant that nixpkgs makes of every configuration.
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
    derivation: String,
    /// The path of the image's file in the output, if the flake names it.
    pub file: Option<String>,
    /// Where the host reads its key, if the image has a configuration.
    #[serde(default)]
    pub layout: Option<HostLayout>,
}

/// What `hosts.nix` found.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    images: Vec<HostImage>,
    /// The attribute paths of images that are no images of disks.
    isos: Vec<Vec<String>>,
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
            ImageSource::Attribute(attribute) => Self::at(cx, attribute, options),
        }
    }

    /// The image of `host`, at the first place that has one. Takes the answer of an earlier evaluation of the same
    /// flake if the derivation still exists.
    fn of_host(cx: &Context, host: &HostName, options: &[String]) -> Result<Self> {
        let function = function(host);
        let evaluate = |reporter: &dyn Reporter| evaluate(cx, &function, options, reporter);
        let is_valid = |answer: &Value| {
            let derivation = answer["images"][0]["derivation"].as_str();
            derivation.is_some_and(|path| std::path::Path::new(path).exists())
        };
        let reporter = cx.reporter.as_ref();
        let answer = if nix::keep_results(options) {
            let cache = EvalCache::new(&cx.state);
            cache.get_or_evaluate(&cx.launcher, &cx.flake, &function, is_valid, reporter, evaluate)
        } else {
            evaluate(reporter)
        };
        let answer = parse(answer?, host)?;
        match answer.images.len() {
            0 => Err(no_image_error(cx, host, &answer, options)?),
            1 => answer.images.into_iter().next().context("reading the image"),
            _ => Err(several_images_error(cx, host, &answer.images)),
        }
    }

    /// The image of `host` as an earlier evaluation found it.
    pub fn remembered(cache: &EvalCache, fingerprint: &Fingerprint, host: &HostName) -> Option<Self> {
        parse(cache.get(fingerprint, &function(host))?, host).ok()?.images.into_iter().next()
    }

    /// The image at the attribute path `attribute`.
    fn at(cx: &Context, attribute: &str, options: &[String]) -> Result<Self> {
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

    pub fn installable(&self, cx: &Context) -> Installable {
        Installable::derivation(&self.derivation).called(format!("{}#{self}", cx.flake))
    }

    /// What the user should know about the place of the image; `None` where it is the host's own.
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
        // The path that the user named has one part, which is written for Nix already.
        let is_written = self.place == Place::Attribute;
        let part = |name: &String| {
            if is_written || nix::is_plain_name(name) { name.clone() } else { nix::quote(name) }
        };
        f.write_str(&self.path.iter().map(part).collect::<Vec<_>>().join("."))
    }
}

/// The Nix function from the outputs of a flake to the image of `host`.
fn function(host: &HostName) -> String {
    let here = nix::quote(&nix::this_system());
    format!("outputs: (({HOSTS}) outputs).imageOf {{ host = {}; here = {here}; }}", nix::quote(host))
}

/// Calls `function` on all outputs; with a Nix that cannot (2.18), on one output after the other until one has an
/// image.
fn evaluate(cx: &Context, function: &str, options: &[String], reporter: &dyn Reporter) -> Result<Value> {
    let eval =
        |output: &str, apply: &str| nix::eval(&cx.launcher, &cx.flake, output, apply, options, reporter);
    match eval(nix::ALL_OUTPUTS, function) {
        // Nix 2.18 cannot evaluate all outputs at once.
        Err(error) if nix::is_missing_attribute(&error) => {}
        answer => return answer,
    }
    let mut last = serde_json::json!({ "images": [], "isos": [], "is_configured": false });
    for output in OUTPUTS {
        let apply = format!("it: ({function}) {{ {output} = it; }}");
        match eval(output, &apply) {
            Err(error) if nix::is_missing_attribute(&error) => {}
            Ok(answer) if answer["images"] == last["images"] && answer["isos"] == last["isos"] => {
                last = answer;
            }
            answer => return answer,
        }
    }
    Ok(last)
}

fn parse(answer: Value, host: &str) -> Result<Answer> {
    Answer::deserialize(answer).with_context(|| format!("reading the image of {host}"))
}

/// The error for a host without an image.
fn no_image_error(
    cx: &Context,
    host: &HostName,
    answer: &Answer,
    options: &[String],
) -> Result<anyhow::Error> {
    if let Some(path) = answer.isos.first() {
        return Ok(iso_error(&format!("{}#{}", cx.flake, path.join("."))));
    }
    if !answer.is_configured {
        Catalogue::read(&cx.launcher, &cx.flake, options)?.host(host)?;
        return Ok(failure!(
            Usage, "host '{host}' has no SD image, only a deploy node";
            hint: "add packages.<system>.{host}-sdImage to the flake, or run `cargo xtask deploy {host}`"
        ));
    }
    Ok(failure!(
        Usage, "nixosConfigurations.{host} makes no image for a card: it has neither `system.build.sdImage` nor another \
                image, and is no ARM board with `boot.loader.generic-extlinux-compatible`";
        hint: "add an image to the flake, or name one as FLAKE#ATTRIBUTE"
    ))
}

fn iso_error(attribute: &str) -> anyhow::Error {
    failure!(
        Usage, "{attribute} is an ISO image, which is for a PC: no Raspberry Pi boots it";
        hint: "name the attribute of an SD card image as FLAKE#ATTRIBUTE"
    )
}

fn several_images_error(cx: &Context, host: &HostName, images: &[HostImage]) -> anyhow::Error {
    let names = images.iter().map(|image| format!("{}#{image}", cx.flake)).collect::<Vec<_>>();
    failure!(
        Usage, "{host} has {} images: {}", images.len(), images.iter().map(HostImage::to_string).collect::<Vec<_>>().join(", ");
        hint: "choose one of them in place of {host}: {}", names.join(" or ")
    )
}
