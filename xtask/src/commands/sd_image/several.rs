//! The images of several hosts, built in one run of Nix. One that fails hides no other.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::{open_image, warn_of_content};
use crate::base::failure::{self, ExitKind};
use crate::base::{Context, ErrorReport, Format, HostName, ImageSource, JsonResult};
use crate::card::image::{self, Batch, Built, Source};
use crate::cli::SdImage;
use crate::commands::next_step;
use crate::nix::flake::Catalogue;
use crate::{bail, deploy, ui};

/// The JSON result of `sd-image` of several images.
#[derive(Serialize, JsonSchema)]
pub struct SdImagesResult {
    /// In the order of the command line; with `--all`, those of all hosts that have one.
    images: Vec<ImageResult>,
    seconds: f64,
}

impl JsonResult for SdImagesResult {}

/// One of several images. Of an image that failed, all but the host and the error is `None`.
#[derive(Serialize, JsonSchema)]
struct ImageResult {
    /// The host; `None` for an image that the user names by its attribute.
    host: Option<HostName>,
    /// The file of the image.
    image: Option<PathBuf>,
    format: Option<Format>,
    /// The size of the decompressed image; `None` also where the file does not say.
    bytes: Option<u64>,
    /// The size of the file.
    stored_bytes: Option<u64>,
    error: Option<ErrorReport>,
}

/// An image that was wanted, and how its build ended.
struct Ended {
    /// The name of the image in messages.
    name: String,
    host: Option<HostName>,
    result: Result<Source>,
}

impl Ended {
    fn to_json(&self) -> ImageResult {
        let image = self.result.as_ref().ok();
        ImageResult {
            host: self.host.clone(),
            image: image.map(|image| image.path.clone()),
            format: image.map(|image| image.format),
            bytes: image.and_then(|image| image.size),
            stored_bytes: image.map(|image| image.stored.size),
            error: self.result.as_ref().err().map(ErrorReport::of),
        }
    }
}

/// All hosts of the flake.
///
/// # Errors
/// `Usage` for a flake without hosts, and that of an output that does not evaluate: it may hide hosts.
pub fn all_hosts(cx: &Context, args: &SdImage) -> Result<Vec<HostName>> {
    let options = crate::nix::eval_args(&args.build.nix.nix_args);
    let catalogue = cx.in_phase("evaluate", || Catalogue::read(&cx.launcher, &cx.flake, &options))?;
    let hosts = catalogue.hosts().map(|host| host.name.clone()).collect::<Vec<_>>();
    if let Some(broken) = catalogue.broken.into_iter().next() {
        return Err(broken.error);
    }
    if hosts.is_empty() {
        bail!(Usage(UnknownHost), "{} has no hosts", cx.flake; hint: "add one by `cargo xtask new-host`");
    }
    Ok(hosts)
}

/// Builds the images of `batch`, and checks and shows each.
///
/// # Errors
/// One error for all images that failed.
pub fn build(cx: &Context, args: &SdImage, batch: &Batch) -> Result<()> {
    let start = Instant::now();
    let wanted = match batch {
        Batch::Named(sources) => sources.clone(),
        Batch::OfHosts(hosts) => hosts.iter().cloned().map(ImageSource::Host).collect(),
    };
    let built = image::build_all(cx, batch, &args.build.nix.nix_args)?;
    let ended = wanted.iter().zip(built).filter_map(|(wanted, built)| end(cx, wanted, built));
    let ended = ended.collect::<Vec<_>>();
    if cx.json {
        let images = ended.iter().map(Ended::to_json).collect();
        ui::print_json(&SdImagesResult { images, seconds: start.elapsed().as_secs_f64() })?;
    }
    let is_built = |ended: &&Ended| ended.result.is_ok();
    let hosts = ended.iter().filter(is_built).filter_map(|ended| ended.host.clone());
    next_step::after_images(&hosts.collect::<Vec<_>>());
    if ended.is_empty() {
        bail!(Usage, "no host of {} has an image", cx.flake);
    }
    worst_failure(&ended).map_or(Ok(()), Err)
}

/// Checks the image of `wanted` that was `built`, and prints its path, or reports its error. `None` for a host without
/// an image.
fn end(cx: &Context, wanted: &ImageSource, built: Result<Option<Built>>) -> Option<Ended> {
    let host = super::named_host(wanted).cloned();
    let host_cx = host.as_ref().map(|host| cx.for_host(host));
    let cx = host_cx.as_ref().unwrap_or(cx);
    let result = match built {
        Ok(None) => {
            cx.note("no image");
            return None;
        }
        Ok(Some(built)) => check(cx, &built),
        Err(error) => Err(error),
    };
    if let Err(error) = &result {
        cx.warn_of(error);
    }
    Some(Ended { name: wanted.to_string(), host, result })
}

/// Checks the image that was `built`. Prints only its path on stdout.
fn check(cx: &Context, built: &Built) -> Result<Source> {
    let source = open_image(&built.file)?;
    warn_of_content(cx, &source)?;
    if !cx.json {
        cx.note(source.to_string());
        ui::print_verbatim(&source.path.display().to_string())?;
    }
    Ok(source)
}

/// One error with the most severe kind of all images, which names those that failed; `None` if none did.
fn worst_failure(ended: &[Ended]) -> Option<anyhow::Error> {
    let failed = ended.iter().filter_map(|ended| Some((ended, failure::kind(ended.result.as_ref().err()?))));
    let (failed, kinds) = failed.unzip::<_, _, Vec<_>, Vec<ExitKind>>();
    let kind = kinds.into_iter().max_by_key(|kind| kind.severity())?;
    let names = deploy::error_names(failed.iter().map(|ended| ended.name.as_str()));
    let stopped = if kind == ExitKind::Interrupted { "stopped: " } else { "" };
    Some(kind.error(format!("{stopped}{} of {} images failed: {names}", failed.len(), ended.len())))
}
