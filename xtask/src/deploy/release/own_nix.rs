//! The program `nix` that deploy-rs gets for a profile of a release, which has no derivation in the store.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context as _, Result};

use crate::base::process::Launcher;
use crate::base::{Context, HostName, percent_encoding, state};
use crate::failure;

/// The program; see the file.
const PROGRAM: &str = include_str!("nix.sh");
/// The variable by which the program finds Nix.
const REAL_NIX: &str = "REAL_NIX";

/// The launcher of `cx`, whose children find the program as `nix`. The lock of `host` is held.
///
/// # Errors
/// `Refused` without Nix.
pub fn launcher(cx: &Context, host: &HostName) -> Result<Launcher> {
    let missing = || failure!(Refused, "no nix on PATH"; hint: "run `cargo xtask setup`");
    let nix = cx.launcher.which("nix").ok_or_else(missing)?;
    let folder = cx.state.join("release-nix").join(percent_encoding::encode(host.as_bytes(), b""));
    let doing = || format!("writing {}", folder.display());
    state::create_private_folder(&folder).with_context(doing)?;
    let file = folder.join("nix");
    state::write(&file, PROGRAM.as_bytes()).with_context(doing)?;
    fs::set_permissions(&file, Permissions::from_mode(0o700)).with_context(doing)?;
    Ok(cx.launcher.clone().with_path_front(&folder).with_env(REAL_NIX, nix))
}
