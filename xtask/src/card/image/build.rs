//! From the name of a host to its image file.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::base::Context;
use crate::nix;
use crate::nix::emulation;
use crate::nix::flake::Catalogue;

/// Builds the image of `host` and returns its file. `nix_args` go to `nix build` as they are.
pub fn build(cx: &Context, host: &str, nix_args: &[String]) -> Result<PathBuf> {
    let version = nix::require(&cx.launcher)?;
    let catalogue = cx.in_phase("evaluate", || Catalogue::names(&cx.launcher, &cx.flake))?;
    let host = catalogue.host(host)?;
    let system = host.image_system(&nix::this_system())?;
    emulation::require(cx, version, system)?;
    let installable = host.image_installable(&cx.flake, system)?;
    // Paths among the arguments are those of the user, who stands elsewhere than the repository.
    let here = std::env::current_dir().context("finding the working directory")?;
    let built = nix::build(&cx.launcher.in_dir(here), &installable, nix_args, cx.reporter.as_ref())?;
    super::find(&built.out)
}
