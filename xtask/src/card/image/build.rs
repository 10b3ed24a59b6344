//! Building the image of a host.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::base::{Context, HostName};
use crate::nix;
use crate::nix::emulation;
use crate::nix::flake::Catalogue;

/// Builds the image of `host` and returns its file. `nix_args` are passed on to `nix build`.
pub fn build(cx: &Context, host: &HostName, nix_args: &[String]) -> Result<PathBuf> {
    let version = nix::require(&cx.launcher)?;
    let catalogue = cx.in_phase("evaluate", || Catalogue::names(&cx.launcher, &cx.flake))?;
    let host = catalogue.host(host)?;
    let system = host.image_system(&nix::this_system())?;
    emulation::require(cx, version, system)?;
    let installable = host.image_installable(&cx.flake, system)?;
    // Paths among the arguments are relative to the working directory of the user, not to the repository.
    let here = std::env::current_dir().context("finding the working directory")?;
    let built = nix::build(&cx.launcher.in_dir(here), &installable, nix_args, cx.reporter.as_ref())?;
    super::find(&built.out)
}
