//! Stages the flake of the demo: its sources, with `inputs/` from Debian's packages.
//!
//! The staged inputs stay until the list of parts changes, so that a second run needs no network and Nix finds the
//! same source again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{fetch, sources};
use crate::base::lock::Lock;
use crate::base::{Context, FlakeRef, state};
use crate::nix::Installable;

/// A staged flake, ready to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedFlake {
    dir: PathBuf,
}

impl StagedFlake {
    /// The installable of the demo's image, for `nix build`.
    pub fn installable(&self) -> Result<Installable> {
        let flake = FlakeRef::with_all_files(&self.dir);
        Installable::attribute(&flake, &["packages", "aarch64-linux", "demo-sdImage"])
    }

    /// The path of the U-Boot for QEMU's machine `virt`, which is not on the card.
    pub fn emulator_uboot(&self) -> PathBuf {
        self.dir.join("inputs/emulator/u-boot.bin")
    }
}

/// Stages the flake in the folder `home`. Packages are fetched only if the inputs there are not from the current list
/// of parts.
///
/// # Errors
/// `Refused` where the machine has no Debian-like mirror, and any failure to fetch or copy.
pub fn stage(cx: &Context, home: &Path) -> Result<StagedFlake> {
    let dir = make_flake_folder(home)?;
    let _lock =
        Lock::take(&home.join("stage.lock"), "another run that prepares the demo", cx.reporter.as_ref())?;
    let inputs = dir.join("inputs");
    if fetch::is_current(&inputs) {
        cx.note("the packages of the demo are already staged");
    } else {
        fetch::fetch_inputs(cx, home, &inputs)?;
    }
    sources::write(&dir)?;
    Ok(StagedFlake { dir })
}

/// Makes the folder of the flake in the folder `home`, and returns its path. Only this user can access `home`: the
/// card there will hold a private key.
fn make_flake_folder(home: &Path) -> Result<PathBuf> {
    state::create_private_folder(home)?;
    let dir = home.join("flake");
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_this_user_can_access_the_home_of_the_demo() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("demo");
        for _ in 0..2 {
            assert_eq!(make_flake_folder(&home).unwrap(), home.join("flake"));
        }
        assert!(home.join("flake").is_dir());
        assert_eq!(home.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn the_installable_names_the_staged_folder() {
        let staged = StagedFlake { dir: "/s/flake".into() };
        assert_eq!(
            staged.installable().unwrap().as_str(),
            "path:/s/flake#packages.aarch64-linux.demo-sdImage"
        );
    }
}
