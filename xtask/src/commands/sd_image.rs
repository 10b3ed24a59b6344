//! `sd-image HOST`: builds the image and prints its path.

use std::time::Instant;

use anyhow::Result;

use crate::cli::SdImage;
use crate::context::Context;
use crate::{image, ui};

pub fn run(cx: &Context, args: &SdImage) -> Result<()> {
    let started = Instant::now();
    let facts = image::Facts::load(&image::build(cx, &args.host, &args.nix_args)?)?;
    show(cx, &facts, started.elapsed().as_secs_f64())
}

/// The result is the path alone, so that `$(cargo xtask sd-image HOST)` is it.
fn show(cx: &Context, facts: &image::Facts, seconds: f64) -> Result<()> {
    if cx.json {
        let facts = serde_json::json!({
            "path": facts.path, "size": facts.size, "stored": facts.stored, "seconds": seconds
        });
        return ui::result(&facts.to_string());
    }
    cx.note(format!("{facts}, in {seconds:.1} s"));
    ui::result(&facts.path.display().to_string())
}
