//! `sd-image HOST…`: builds the images of hosts and prints their paths.

mod several;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{Context, Format, HostName, ImageSource, JsonResult};
use crate::card::image::{self, Batch, CheckCache, Source};
use crate::cli::SdImage;
use crate::commands::{build_plan, next_step};
use crate::ui;

#[cfg(test)]
pub use several::SdImagesResult;

pub fn run(cx: &Context, args: &SdImage) -> Result<()> {
    let sources = args.sources()?;
    let batch = if args.all { Batch::OfHosts(several::all_hosts(cx, args)?) } else { Batch::Named(sources) };
    if args.plan {
        let (plan, unplanned) = image::plan(cx, &batch, &args.build.nix.nix_args)?;
        return build_plan::show(cx, plan, unplanned, &batch.names());
    }
    match &batch {
        Batch::Named(sources) if sources.len() == 1 => build_one(cx, args, &sources[0]),
        _ => several::build(cx, args, &batch),
    }
}

fn build_one(cx: &Context, args: &SdImage, wanted: &ImageSource) -> Result<()> {
    let start = Instant::now();
    let built = image::build(cx, wanted, args.build.file.as_deref(), &args.build.nix.nix_args)?;
    let source = open_image(&built.file)?;
    let seconds = start.elapsed().as_secs_f64();
    warn_of_content(cx, &source)?;
    show(cx, wanted, &source, seconds)?;
    if let Some(host) = wanted.host() {
        next_step::after_image(&host);
    }
    Ok(())
}

/// Opens the image in `file`.
///
/// # Errors
/// `Refused` for a file that is no image of a disk.
fn open_image(file: &Path) -> Result<Source> {
    let source = Source::open(file)?;
    image::require_disk_image(&source)?;
    Ok(source)
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct SdImageResult {
    /// The host; `None` for an image that the user names by its attribute.
    host: Option<HostName>,
    /// The file of the image.
    image: PathBuf,
    format: Format,
    /// The size of the decompressed image; `None` where the file does not say.
    bytes: Option<u64>,
    /// The size of the file.
    stored_bytes: u64,
    seconds: f64,
}

impl JsonResult for SdImageResult {}

/// Warns of ssh host keys inside the image, and of an ISO image. The image is checked on the way, so that a later flash
/// need not check it. An image whose decompression takes more memory than allowed is not read.
///
/// # Errors
/// The error of a damaged image, which no flash would write.
fn warn_of_content(cx: &Context, source: &Source) -> Result<()> {
    if source.check_limits().is_err() {
        return Ok(());
    }
    let image = image::examine_once(source.clone(), &CheckCache::new(&cx.state), cx.reporter.as_ref())?;
    let key_warning = image::host_key_warning(&image.host_keys);
    for warning in key_warning.iter().chain(&image::optical_disc_warning(source)) {
        cx.reporter.report(warning);
    }
    Ok(())
}

/// Prints only the path on stdout, for `$(cargo xtask sd-image HOST)`.
fn show(cx: &Context, wanted: &ImageSource, image: &Source, seconds: f64) -> Result<()> {
    if cx.json {
        let host = named_host(wanted).cloned();
        return ui::print_json(&SdImageResult {
            host,
            image: image.path.clone(),
            format: image.format,
            bytes: image.size,
            stored_bytes: image.stored.size,
            seconds,
        });
    }
    cx.note(format!("{image}, in {seconds:.1} s"));
    ui::print_verbatim(&image.path.display().to_string())
}

/// The host that the user named; `None` for an attribute.
fn named_host(wanted: &ImageSource) -> Option<&HostName> {
    match wanted {
        ImageSource::Host(host) => Some(host),
        ImageSource::Attribute(_) => None,
    }
}
