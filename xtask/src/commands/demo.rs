//! `demo`: the whole way on this machine, without a Pi and without a card.

use anyhow::Result;

use crate::context::Context;
use crate::{demo, emulation, image, nix, project, ui};

pub fn run(cx: &Context) -> Result<()> {
    let version = nix::require(&cx.launcher)?;
    emulation::require(&cx.launcher, version, "aarch64-linux")?;
    let home = project::state_dir().join("demo");
    let staged = demo::stage(cx, &home)?;
    let built = nix::build(&cx.launcher, &staged.installable(), &[], cx.reporter.as_ref())?;
    let file = image::find(&built.out)?;
    cx.note(image::Facts::load(&file)?.to_string());
    ui::result(&file.display().to_string());
    Ok(())
}
