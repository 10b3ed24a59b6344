//! How the commands that evaluate a flake keep the private keys of hosts from it.

use anyhow::Result;

use crate::base::Context;
use crate::{identity, nix};

/// Keeps the private keys of hosts from what Nix builds and from the inputs of the flake.
///
/// # Errors
/// Refused where that is not possible, and for an input that names the keys.
pub fn protect(cx: &mut Context) -> Result<()> {
    let keys = identity::folder();
    nix::shield(cx, &keys)?;
    let has_keys = identity::close_all(&keys)?;
    // The keys are closed, which root can read all the same.
    if has_keys && rustix::process::geteuid().is_root() && cx.launcher.which("nix").is_some() {
        let lock = || nix::lock_without_keys(&cx.launcher, &cx.flake, &keys);
        let locked = cx.waiting("looking at the inputs of the flake", lock)?;
        cx.flake = locked.unwrap_or_else(|| std::mem::take(&mut cx.flake));
    }
    Ok(())
}
