//! How the commands that evaluate a flake keep the private keys of hosts from it.

use std::iter;
use std::path::Path;

use anyhow::Result;

use crate::base::Context;
use crate::{identity, nix};

/// Keeps the private keys of hosts from what Nix builds and evaluates: they are closed, and root, who could read them all the
/// same, evaluates without the rights for that. `named` is where the user says that keys are, beside those of the project.
///
/// # Errors
/// Refused where that is not possible, and for an input that names the keys.
pub fn protect(cx: &mut Context, named: Option<&Path>) -> Result<()> {
    let keys = identity::folder();
    nix::shield(cx, &keys)?;
    let all = iter::once(keys.as_path()).chain(named).map(identity::close_all);
    // All of them, whether or not one says so.
    let has_keys = all.collect::<Result<Vec<_>>>()?.contains(&true);
    if has_keys && rustix::process::geteuid().is_root() && cx.launcher.which("nix").is_some() {
        cx.launcher = cx.launcher.clone().protecting_keys();
        let lock = || nix::lock_without_keys(&cx.launcher, &cx.flake, &keys);
        let locked = cx.in_phase("looking at the inputs of the flake", lock)?;
        cx.flake = locked.unwrap_or_else(|| std::mem::take(&mut cx.flake));
    }
    Ok(())
}
