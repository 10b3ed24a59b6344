//! Protects the private keys of hosts from the code of a flake.

use std::iter;
use std::path::Path;

use anyhow::Result;

use crate::base::Context;
use crate::{identity, nix};

/// Protects the private keys of hosts from everything that Nix builds and evaluates: removes the permissions of their
/// folders, and as root, which could still read them, evaluates without the capabilities for that. Root always does so:
/// a folder of keys may be anywhere, and only the commands that use it name it. `named` is the user's folder of keys,
/// beside the project's; `options` are the user's arguments for Nix.
///
/// # Errors
/// `Refused` where the protection is impossible, and for a flake input that names the keys.
pub fn protect(cx: &mut Context, named: Option<&Path>, options: &[String]) -> Result<()> {
    nix::protect_keys_from_builds(cx, &identity::folder(&cx.state))?;
    close(cx, named, options)
}

/// Like [`protect`], for a command that needs no build.
///
/// # Errors
/// As of [`protect`].
pub fn protect_without_builds(cx: &mut Context, options: &[String]) -> Result<()> {
    nix::protect_keys_without_builds(cx);
    close(cx, None, options)
}

/// Closes the folders of keys, and keeps evaluations of root from opening them.
fn close(cx: &mut Context, named: Option<&Path>, options: &[String]) -> Result<()> {
    let keys = identity::folder(&cx.state);
    cx.launcher = cx.launcher.clone().protecting_keys();
    let all = iter::once(keys.as_path()).chain(named).map(identity::close_all);
    // All folders are closed, also after the first one with keys.
    let has_keys = all.collect::<Result<Vec<_>>>()?.contains(&true);
    if has_keys && cx.launcher.protects_keys() && cx.launcher.which("nix").is_some() {
        let lock = || nix::lock_without_keys(&cx.launcher, &cx.flake, &nix::eval_args(options), &keys);
        let locked = cx.in_phase("inputs", lock)?;
        if let Some(locked) = locked {
            cx.flake = locked;
        }
    }
    Ok(())
}
