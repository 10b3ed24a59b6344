//! The Nix that `setup` installs for the project where the machine has none that is recent enough.

use std::path::Path;

use super::{user_settings, version};
use crate::base::process::Launcher;
use crate::base::{git, state};

/// The launcher for all further commands, with the programs in the folder `tools`, where `setup` installs them. `PATH`
/// begins with the project's own programs, such as deploy-rs, if they are installed, and with the project's own Nix,
/// unless another Nix on `PATH` is recent enough. Where others can write to `tools`, nothing of that folder is added.
/// In each case [`git::harden`] applies.
pub fn activate(launcher: Launcher, tools: &Path) -> Launcher {
    let launcher = git::harden(launcher);
    // Nothing runs from a folder that other users can write to.
    if state::check_folder(tools).is_err() {
        return launcher;
    }
    let bin = tools.join("bin");
    let with_bin = if bin.is_dir() { launcher.with_path_front(&bin) } else { launcher };
    let prefix = tools.join("nix");
    let Ok(private) = prefix.join("bin/nix").canonicalize() else { return with_bin };
    let on_path = with_bin.which("nix").and_then(|path| path.canonicalize().ok());
    let is_other = on_path.is_some_and(|path| path != private);
    // Only another Nix is started for its version.
    if is_other && version::current(&with_bin).is_ok_and(version::Version::is_supported) {
        return with_bin;
    }
    with_private_nix(with_bin, &prefix)
}

/// The launcher with the Nix under `prefix` in front of `PATH`. `NIX_BIN_DIR` keeps the build hook of this Nix from
/// running another Nix; `NIX_CONF_DIR` and `NIX_USER_CONF_FILES` keep foreign settings out, except those of
/// [`user_settings`].
///
/// `NIX_CONFIG` contains first the settings of [`user_settings`], which may be secret, then those of `NIX_CONFIG` in
/// the environment, and last the feature that the configuration of this Nix needs: a list of features in the
/// environment would otherwise remove the feature.
pub fn with_private_nix(launcher: Launcher, prefix: &Path) -> Launcher {
    let environment = launcher.env("NIX_CONFIG").unwrap_or_default();
    let user_settings = user_settings::lines(&launcher);
    let feature = "extra-experimental-features = auto-allocate-uids";
    let config = format!("{user_settings}{}\n{feature}", environment.to_string_lossy());
    launcher
        .with_path_front(&prefix.join("bin"))
        .with_env("NIX_BIN_DIR", prefix.join("bin"))
        .with_env("NIX_CONF_DIR", prefix.join("etc"))
        .with_env("NIX_USER_CONF_FILES", "/dev/null")
        .with_env("NIX_CONFIG", config.trim_start())
}
