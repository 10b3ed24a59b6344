//! `sd-image HOST`: builds the image of a host and prints its path.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{Context, Format, HostName, ImageSource, JsonResult};
use crate::card::image::{self, CheckCache, Source};
use crate::cli::SdImage;
use crate::commands::{build_plan, next_step};
use crate::ui;

pub fn run(cx: &Context, args: &SdImage) -> Result<()> {
    if args.plan {
        return build_plan::show(cx, image::plan(cx, &args.source(), &args.build.nix.nix_args)?);
    }
    let start = Instant::now();
    let built = image::build(cx, &args.source(), args.build.file.as_deref(), &args.build.nix.nix_args)?;
    let source = Source::open(&built.file)?;
    image::require_disk_image(&source)?;
    let seconds = start.elapsed().as_secs_f64();
    warn_of_content(cx, &source)?;
    show(cx, args, &source, seconds)?;
    if let Some(host) = args.source().host() {
        next_step::after_image(&host);
    }
    Ok(())
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
fn show(cx: &Context, args: &SdImage, image: &Source, seconds: f64) -> Result<()> {
    if cx.json {
        let host = if let ImageSource::Host(host) = args.source() { Some(host) } else { None };
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
