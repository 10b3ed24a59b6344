//! The Nix that `setup` installs for the project where the machine has none that will do.

use std::path::Path;

use super::version;
use crate::base::process::Launcher;
use crate::base::{git, state};

/// The launcher for all further commands: unchanged where the machine's own Nix will do, otherwise
/// with the tools of the project (its Nix and its deploy-rs) on `PATH` if they are installed.
pub fn activate(launcher: Launcher, tools: &Path) -> Launcher {
    let launcher = git::shield(launcher);
    // What others could have put there is not run.
    if state::check_folder(tools).is_err() {
        return launcher;
    }
    let with_bin =
        if tools.join("bin").is_dir() { launcher.with_path_front(&tools.join("bin")) } else { launcher };
    let prefix = tools.join("nix");
    if !prefix.join("bin/nix").exists() || version::current(&with_bin).is_ok_and(version::Version::will_do) {
        return with_bin;
    }
    enter(with_bin, &prefix)
}

/// The launcher with the Nix under `prefix` in front. `NIX_BIN_DIR` keeps its build hook from
/// running another Nix, and the two configuration variables keep foreign settings out. A list of features in the
/// environment must not take away what its configuration needs.
pub fn enter(launcher: Launcher, prefix: &Path) -> Launcher {
    let own = launcher.env("NIX_CONFIG").unwrap_or_default();
    let config = format!("{}\nextra-experimental-features = auto-allocate-uids", own.to_string_lossy());
    launcher
        .with_path_front(&prefix.join("bin"))
        .with_env("NIX_BIN_DIR", prefix.join("bin"))
        .with_env("NIX_CONF_DIR", prefix.join("etc"))
        .with_env("NIX_USER_CONF_FILES", "/dev/null")
        .with_env("NIX_CONFIG", config.trim_start())
}
