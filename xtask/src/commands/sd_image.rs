//! `sd-image HOST`: builds the image of a host and prints its path.

use std::time::Instant;

use anyhow::Result;

use crate::base::Context;
use crate::card::image::{self, Source};
use crate::cli::SdImage;
use crate::ui;

pub fn run(cx: &Context, args: &SdImage) -> Result<()> {
    let started = Instant::now();
    let image = Source::open(&image::build(
        cx,
        &args.source(),
        args.build.file.as_deref(),
        &args.build.nix.nix_args,
    )?)?;
    image::require_disk_image(&image)?;
    show(cx, &image, started.elapsed().as_secs_f64())
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
