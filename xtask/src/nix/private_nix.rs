//! The Nix that `setup` installs for the project where the machine has none that is recent enough.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{user_settings, version};
use crate::base::process::Launcher;
use crate::base::{git, state};

/// The launcher for all further commands, with the programs in the folder `tools`, where `setup` installs them. `PATH`
/// begins with the project's own programs, such as deploy-rs, if they are installed, and with the project's own Nix,
/// unless another Nix on `PATH` is recent enough. Where others can write to `tools`, nothing of that folder is added.
/// In each case [`git::harden`] applies.
pub fn activate(launcher: Launcher, tools: &Path) -> Launcher {
    let launcher = git::harden(launcher);
    let origin = Origin::of(&launcher, tools);
    if matches!(origin, Origin::UnsafeTools(_)) {
        return launcher;
    }
    let launcher = with_bin(launcher, tools);
    if origin.is_setup() { with_private_nix(launcher, &tools.join("nix")) } else { launcher }
}

/// The launcher with the folder `bin` of `tools` in front of `PATH`, if there is one.
fn with_bin(launcher: Launcher, tools: &Path) -> Launcher {
    let bin = tools.join("bin");
    if bin.is_dir() { launcher.with_path_front(&bin) } else { launcher }
}

/// Why the Nix that runs is the one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `PATH` leads to it, and `setup` has installed none.
    Path,
    /// `PATH` leads to it, and it is recent enough, so that this one of `setup` is not used.
    PathBefore(PathBuf),
    /// `PATH` leads to it: others can write to this folder, so that nothing in it runs.
    UnsafeTools(PathBuf),
    /// `setup` has installed it, and `PATH` leads to no other.
    Setup,
    /// `setup` has installed it, and the one that `PATH` leads to cannot be used.
    SetupInsteadOf { path: PathBuf, fault: String },
}

impl Origin {
    /// Decides for a launcher that [`activate`] has not changed.
    pub fn of(launcher: &Launcher, tools: &Path) -> Self {
        // Nothing runs from a folder that other users can write to.
        if tools.exists() && state::check_folder(tools).is_err() {
            return Self::UnsafeTools(tools.to_owned());
        }
        let program = tools.join("nix/bin/nix");
        let Ok(private) = program.canonicalize() else { return Self::Path };
        let launcher = with_bin(launcher.clone(), tools);
        let Some(path) = launcher.which("nix") else { return Self::Setup };
        if path.canonicalize().is_ok_and(|other| other == private) {
            return Self::Setup;
        }
        // Only another Nix is started for its version.
        match version::require(&launcher) {
            Ok(_) => Self::PathBefore(program),
            Err(error) => Self::SetupInsteadOf { path, fault: error.to_string() },
        }
    }

    /// Whether the Nix that runs is that of `setup`.
    pub fn is_setup(&self) -> bool {
        matches!(self, Self::Setup | Self::SetupInsteadOf { .. })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => write!(f, "first on PATH"),
            Self::PathBefore(installed) => {
                write!(f, "first on PATH, and recent enough, so not {}", installed.display())
            }
            Self::UnsafeTools(folder) => {
                write!(f, "first on PATH; others can write to {}, so nothing there runs", folder.display())
            }
            Self::Setup => write!(f, "installed by `setup`; PATH leads to no other"),
            Self::SetupInsteadOf { path, fault } => {
                write!(f, "installed by `setup`; not {}: {fault}", path.display())
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::base::program_file;

    /// Writes a script to `folder` that prints `line` as the version of Nix.
    fn write_nix(folder: &Path, line: &str) {
        fs::create_dir_all(folder).unwrap();
        program_file::write(&folder.join("nix"), format!("#!/bin/sh\necho '{line}'\n"), 0o755).unwrap();
    }

    #[test]
    fn each_choice_of_a_nix_has_its_reason() {
        const OLD: &str = "nix (Nix) 2.8.0";
        const RECENT: &str = "nix (Lix, like Nix) 2.93.0";
        for (on_path, of_setup, expected) in [
            (None, None, "first on PATH"),
            (Some(OLD), None, "first on PATH"),
            (Some(RECENT), Some(RECENT), "first on PATH, and recent enough, so not DIR/tools/nix/bin/nix"),
            (None, Some(RECENT), "installed by `setup`; PATH leads to no other"),
            (
                Some(OLD),
                Some(RECENT),
                "installed by `setup`; not DIR/bin/nix: nix 2.8 is too old: 2.18 or newer is needed",
            ),
            (
                Some("7"),
                Some(RECENT),
                "installed by `setup`; not DIR/bin/nix: `nix --version` prints no version: 7",
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let [bin, tools] = ["bin", "tools"].map(|name| dir.path().join(name));
            fs::create_dir(&tools).unwrap();
            for (folder, line) in [(&bin, on_path), (&tools.join("nix/bin"), of_setup)] {
                if let Some(line) = line {
                    write_nix(folder, line);
                }
            }
            let launcher = Launcher::with_clean_env("/").with_env("PATH", &bin);
            let origin = Origin::of(&launcher, &tools);
            let text = origin.to_string().replace(&dir.path().display().to_string(), "DIR");
            assert_eq!(text, expected);
            let active = activate(launcher, &tools).which("nix");
            let is_setup = active.is_some_and(|file| file.starts_with(&tools));
            assert_eq!(is_setup, origin.is_setup(), "{expected}");
        }
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_named() {
        let dir = tempfile::tempdir().unwrap();
        write_nix(&dir.path().join("nix/bin"), "nix (Nix) 2.34.0");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let origin = Origin::of(&Launcher::with_clean_env("/"), dir.path());
        assert_eq!(origin, Origin::UnsafeTools(dir.path().to_owned()));
        assert!(!origin.is_setup());
    }
}
