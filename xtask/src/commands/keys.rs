//! Protects the private keys of hosts from the code of a flake.

use std::iter;
use std::path::Path;

use anyhow::Result;

use crate::base::Context;
use crate::{identity, nix};

/// Protects the private keys of hosts from everything that Nix builds and evaluates: removes the permissions of their
/// folders, and as root, which could still read them, evaluates without the capabilities for that. `named` is the user's
/// folder of keys, beside the project's.
///
/// # Errors
/// `Refused` where the protection is impossible, and for a flake input that names the keys.
pub fn protect(cx: &mut Context, named: Option<&Path>) -> Result<()> {
    let keys = identity::folder(&cx.state);
    nix::shield(cx, &keys)?;
    let all = iter::once(keys.as_path()).chain(named).map(identity::close_all);
    // All folders are closed, also after the first one with keys.
    let has_keys = all.collect::<Result<Vec<_>>>()?.contains(&true);
    if has_keys && rustix::process::geteuid().is_root() && cx.launcher.which("nix").is_some() {
        cx.launcher = cx.launcher.clone().protecting_keys();
        let lock = || nix::lock_without_keys(&cx.launcher, &cx.flake, &keys);
        let locked = cx.in_phase("inputs", lock)?;
        if let Some(locked) = locked {
            cx.flake = locked;
        }
    }
    Ok(())
}
