//! Protects the private keys of hosts from the code of a flake.

use std::iter;
use std::path::Path;

use anyhow::Result;

use crate::base::Context;
use crate::{identity, nix};

/// Protects the private keys of hosts from everything that Nix builds and evaluates. Removes the permissions of the
/// folders with keys: of the project's, and of `named`, the folder of `--identity-dir`. Root could still read the keys,
/// so Nix evaluates without the capabilities for that. As root this is always so: any folder may have keys, and only
/// the commands that use such a folder name it. `options` are the user's arguments for Nix.
///
/// # Errors
/// `Refused` where the protection is impossible, and for a flake input that names the keys.
pub fn protect(cx: &mut Context, named: Option<&Path>, options: &[String]) -> Result<()> {
    nix::protect_keys_from_builds(cx, &identity::folder(&cx.state))?;
    protect_and_check(cx, named, options)
}

/// Like [`protect`], for a command that evaluates another revision of the flake, which may be broken now: the command
/// calls [`check_inputs`] for that revision.
///
/// # Errors
/// `Refused` where the protection is impossible.
pub fn protect_before_choice(cx: &mut Context, named: Option<&Path>) -> Result<()> {
    nix::protect_keys_from_builds(cx, &identity::folder(&cx.state))?;
    protect_folders(cx, named).map(drop)
}

/// Like [`protect`], for a command that only reads names from the flake: Nix must not build, and the inputs are not
/// checked. If the command fails, [`check_inputs`] may know why.
///
/// # Errors
/// `Refused` where the protection is impossible.
pub fn protect_without_builds(cx: &mut Context) -> Result<()> {
    nix::protect_keys_without_builds(cx);
    protect_folders(cx, None).map(drop)
}

/// Closes the folders with keys, and keeps evaluations of root from opening them. Where there are keys, checks the
/// inputs of the flake too.
fn protect_and_check(cx: &mut Context, named: Option<&Path>, options: &[String]) -> Result<()> {
    let has_keys = protect_folders(cx, named)?;
    if has_keys { check_inputs(cx, options) } else { Ok(()) }
}

/// Closes the folders with keys, and keeps evaluations of root from opening them. Returns whether there are keys.
///
/// # Errors
/// `Refused` where Nix would copy the keys with the flake.
fn protect_folders(cx: &mut Context, named: Option<&Path>) -> Result<bool> {
    cx.launcher = cx.launcher.clone().protecting_keys();
    let mut has_keys = false;
    for folder in iter::once(identity::folder(&cx.state).as_path()).chain(named) {
        has_keys |= identity::make_all_unreadable(folder)?;
    }
    identity::refuse_copied_keys(&cx.flake, &cx.state)?;
    Ok(has_keys)
}

/// Refuses an input of the flake that names the keys. An evaluation of root cannot read them, but its error would not
/// say why. From then on the flake is the revision that was checked.
///
/// # Errors
/// `Refused` for such an input, and those of Nix.
pub fn check_inputs(cx: &mut Context, options: &[String]) -> Result<()> {
    if !cx.launcher.protects_keys() || cx.launcher.which("nix").is_none() {
        return Ok(());
    }
    let keys = identity::folder(&cx.state);
    let lock = || nix::lock_without_keys(&cx.launcher, &cx.flake, &nix::eval_args(options), &keys);
    if let Some(locked) = cx.in_phase("inputs", lock)? {
        cx.flake = locked;
    }
    Ok(())
}
