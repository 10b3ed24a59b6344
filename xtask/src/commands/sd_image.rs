//! `sd-image HOST`: builds the image of a host and prints its path.

use std::time::Instant;

use anyhow::Result;

use crate::base::Context;
use crate::card::image::{self, CheckCache, Source};
use crate::cli::SdImage;
use crate::ui;

pub fn run(cx: &Context, args: &SdImage) -> Result<()> {
    let started = Instant::now();
    let built = image::build(cx, &args.source(), args.build.file.as_deref(), &args.build.nix.nix_args)?;
    let source = Source::open(&built.file)?;
    image::require_disk_image(&source)?;
    let seconds = started.elapsed().as_secs_f64();
    warn_of_host_keys(cx, &source)?;
    show(cx, &source, seconds)
}

/// Warns of ssh host keys inside the image, which is read once for that and for a later flash. An image whose
/// decompression takes more memory than allowed is not read.
///
/// # Errors
/// A damaged image, which no flash would write.
fn warn_of_host_keys(cx: &Context, source: &Source) -> Result<()> {
    if source.check_limits().is_err() {
        return Ok(());
    }
    let image = image::examine_once(source.clone(), &CheckCache::new(&cx.state), cx.reporter.as_ref())?;
    if let Some(warning) = image::host_key_warning(&image.host_keys) {
        cx.reporter.report(&warning);
    }
    Ok(())
}

/// Prints only the path, for `$(cargo xtask sd-image HOST)`.
fn show(cx: &Context, image: &Source, seconds: f64) -> Result<()> {
    if cx.json {
        let facts = serde_json::json!({
            "path": image.path, "size": image.size, "stored": image.stored.size, "seconds": seconds
        });
        return ui::json(&facts);
    }
    cx.note(format!("{image}, in {seconds:.1} s"));
    ui::result(&image.path.display().to_string())
}
