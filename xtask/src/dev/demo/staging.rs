//! Makes the flake of the demo complete: a copy of `xtask/demo` with `inputs/` out of Debian's packages.
//!
//! What has been staged stays as it is until the list of its parts changes, so that a second run needs no
//! network and Nix finds the same source again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::fetch;
use crate::base::lock::Lock;
use crate::base::{Context, Event, project, state};
use crate::nix;

/// A flake that is ready to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    dir: PathBuf,
}

impl Staged {
    /// The image of this flake for `nix build`.
    pub fn installable(&self) -> String {
        format!("{}#packages.aarch64-linux.demo-sdImage", nix::path_flake(&self.dir))
    }

    /// A U-Boot for QEMU's machine `virt`, which is not on the card.
    pub fn emulator(&self) -> PathBuf {
        self.dir.join("inputs/emulator/u-boot.bin")
    }
}

/// What the demo shares with the hosts, seen from the repository: the growth of the card, and the folder of the
/// assembler.
const GROWTH: &str = "hosts/raspberry-pi/grow.sh";
const ASSEMBLER: &str = "hosts/raspberry-pi/sd-image/assembler";

/// Stages the flake under `home`. Packages are only fetched where `home` has none of the current list.
///
/// # Errors
/// Refused where the machine has no Debian-like mirror; otherwise what went wrong on the way.
pub fn stage(cx: &Context, home: &Path) -> Result<Staged> {
    let dir = folder(home)?;
    let _lock =
        Lock::take(&home.join("stage.lock"), "another run that prepares the demo", cx.reporter.as_ref())?;
    let inputs = dir.join("inputs");
    if fetch::is_current(&inputs) {
        cx.reporter.report(&Event::note("the packages of the demo are here already"));
    } else {
        fetch::fetch(cx, home, &inputs)?;
    }
    copy_sources(project::root(), &dir)?;
    Ok(Staged { dir })
}

/// Makes the folder of the flake. The card beside it will have a private key: `home` is for this user alone.
fn folder(home: &Path) -> Result<PathBuf> {
    state::private_folder(home).with_context(|| format!("creating {}", home.display()))?;
    let dir = home.join("flake");
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    Ok(dir)
}

/// Copies what the repository has of the flake into `dir`.
fn copy_sources(root: &Path, dir: &Path) -> Result<()> {
    let mut files = vec![root.join(GROWTH)];
    for folder in ["xtask/demo", ASSEMBLER].map(|folder| root.join(folder)) {
        let doing = || format!("reading {}", folder.display());
        for entry in folder.read_dir().with_context(doing)? {
            files.push(entry.with_context(doing)?.path());
        }
    }
    for file in files.iter().filter(|file| file.is_file()) {
        let copy = dir.join(file.file_name().unwrap_or_default());
        fs::copy(file, &copy).with_context(|| format!("copying {} to {}", file.display(), dir.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_flake_is_copied_whole() {
        let dir = tempfile::tempdir().unwrap();
        copy_sources(project::root(), dir.path()).unwrap();
        for file in
            ["flake.nix", "build.sh", "assemble.sh", "order.sh", "grow.sh", "system.sh", "boot-menu.sh"]
        {
            assert!(dir.path().join(file).is_file(), "{file}");
        }
        let error = copy_sources(Path::new("/nowhere"), dir.path()).unwrap_err();
        assert_eq!(error.to_string(), "reading /nowhere/xtask/demo");
    }

    #[test]
    fn others_do_not_see_the_card() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("demo");
        for _ in 0..2 {
            assert_eq!(folder(&home).unwrap(), home.join("flake"));
        }
        assert!(home.join("flake").is_dir());
        assert_eq!(home.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn the_installable_is_a_path() {
        let staged = Staged { dir: "/s/flake".into() };
        assert_eq!(staged.installable(), "path:/s/flake#packages.aarch64-linux.demo-sdImage");
    }
}
