//! `sd-image HOST`: builds the image and prints its path.

use anyhow::Result;

use crate::cli::SdImage;
use crate::context::Context;
use crate::{image, ui};

pub fn run(cx: &Context, args: &SdImage) -> Result<()> {
    let file = image::build(cx, &args.host, &args.nix_args)?;
    cx.note(image::describe(&file)?);
    ui::result(&file.display().to_string());
    Ok(())
}
