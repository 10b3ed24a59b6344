//! `sd-image HOST`: builds the image and prints its path.

use anyhow::Result;

use crate::cli::SdImage;
use crate::context::Context;
use crate::flake::Catalogue;
use crate::{image, nix, ui};

pub fn run(cx: &Context, args: &SdImage) -> Result<()> {
    let version = nix::require(&cx.launcher)?;
    let catalogue = Catalogue::load(&cx.launcher, &cx.flake)?;
    let host = catalogue.host(&args.host)?;
    let here = nix::this_system();
    let system = host.image_system(&here)?;
    crate::emulation::require(&cx.launcher, version, system)?;
    let installable = host.image_installable(&cx.flake, system);
    let built = nix::build(&cx.launcher, &installable, &args.nix_args, cx.reporter.as_ref())?;
    let file = image::find(&built.out)?;
    cx.note(image::describe(&file)?);
    ui::result(&file.display().to_string());
    Ok(())
}
