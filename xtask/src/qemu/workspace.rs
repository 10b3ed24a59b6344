//! The folder with the temporary files of one boot.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::base::lock::Lock;
use crate::base::state;

/// The folder of all boots in the state folder.
const FOLDER: &str = "boot";
/// The file whose lock a boot holds in its own folder, and each run for a moment in the folder of all.
const LOCK: &str = "lock";
/// How long to wait for another run that looks for the folders of killed ones.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// A private folder, which is removed when this value is dropped.
#[derive(Debug)]
pub struct Workspace {
    // Removed before the lock is released.
    dir: TempDir,
    _lock: Lock,
}

impl Workspace {
    /// Makes a folder in the state folder `state`. Removes those that killed runs have left.
    pub fn make(state: &Path) -> Result<Self> {
        let home = state.join(FOLDER);
        state::create_private_folder(&home)?;
        let _all = Lock::take_within(&home.join(LOCK), LOCK_TIMEOUT)?;
        remove_abandoned(&home)?;
        let dir = tempfile::Builder::new().prefix("run-").rand_bytes(12).tempdir_in(&home);
        let dir = dir.with_context(|| format!("making a folder in {}", home.display()))?;
        let lock = Lock::take_within(&dir.path().join(LOCK), LOCK_TIMEOUT)?;
        Ok(Self { dir, _lock: lock })
    }

    /// The path of `name` in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Removes the folders in `home` whose locks nobody holds.
fn remove_abandoned(home: &Path) -> Result<()> {
    let doing = || format!("reading {}", home.display());
    for entry in home.read_dir().with_context(doing)? {
        let dir = entry.with_context(doing)?.path();
        let is_run = dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with("run-"));
        if is_run && dir.is_dir() && Lock::take_within(&dir.join(LOCK), Duration::ZERO).is_ok() {
            fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_of_killed_runs_are_removed_and_those_of_others_stay() {
        let state = tempfile::tempdir().unwrap();
        let running = Workspace::make(state.path()).unwrap();
        fs::write(running.path("card.img"), "x").unwrap();
        let abandoned = state.path().join("boot/run-123");
        fs::create_dir(&abandoned).unwrap();
        fs::write(abandoned.join("card.img"), "x").unwrap();
        let next = Workspace::make(state.path()).unwrap();
        assert!(running.path("card.img").exists() && !abandoned.exists());
        drop((running, next));
        let left = state.path().join("boot").read_dir().unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), [LOCK]);
    }
}
