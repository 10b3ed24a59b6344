//! The program `nix` that deploy-rs gets for a profile of a release, which has no derivation in the store.

use anyhow::Result;

use crate::base::process::Launcher;
use crate::base::{Context, HostName};
use crate::deploy::stand_in::StandIn;
use crate::nix;

/// The program; see the file.
const PROGRAM: &str = include_str!("nix.sh");
/// The variable by which the program finds Nix.
const REAL_NIX: &str = "REAL_NIX";

/// The launcher of `cx`, whose children find the program as `nix` as long as the stand-in lives. The lock of `host` is
/// held.
///
/// # Errors
/// `Refused` without Nix, and those of [`StandIn::write`].
pub fn launcher(cx: &Context, host: &HostName) -> Result<(Launcher, StandIn)> {
    let nix = nix::require_any(&cx.launcher)?;
    let stand_in = StandIn::write(&cx.state, host, "nix", PROGRAM)?;
    Ok((stand_in.on_path_of(&cx.launcher).with_env(REAL_NIX, nix), stand_in))
}
