//! At rest, the folder with the keys of a host has mode 0000. Nix copies whatever an input of a flake names to its store,
//! where everybody can read it; what its user may not read, it cannot copy.

use std::fs::{self, Metadata, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::Access;
use rustix::process::geteuid;

use super::folder::FILE;
use crate::base::lock::Lock;

/// The lock that keeps other runs from closing a folder, beside it. No host has such a name.
const LOCK: &str = ".access.lock";
/// The mode of a folder at rest.
const NOTHING: u32 = 0o000;
/// How long another run may read or make keys.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// A folder that is readable until this is dropped.
#[derive(Debug)]
pub struct Readable(Option<(PathBuf, Lock)>);

impl Readable {
    /// Makes `folder` readable, if it is there. A folder that this user cannot change stays as it is.
    ///
    /// # Errors
    /// Of [`crate::base::failure::ExitKind::Refused`] where another run has one of the folders beside it open for too long.
    pub fn open(folder: &Path) -> Result<Self> {
        let Some(beside) = lock_beside(folder).filter(|_| folder.is_dir()) else { return Ok(Self(None)) };
        let lock = Lock::take_within(&beside, LOCK_TIMEOUT)?;
        let doing = || format!("opening {}", folder.display());
        let stat = folder.metadata().with_context(doing)?;
        if is_own(&stat) && grants(&stat, 0o777) == NOTHING {
            fs::set_permissions(folder, Permissions::from_mode(0o700)).with_context(doing)?;
        }
        Ok(Self(Some((folder.to_owned(), lock))))
    }
}

impl Drop for Readable {
    fn drop(&mut self) {
        if let Some((folder, _)) = &self.0 {
            close(folder);
        }
    }
}

/// Closes all folders with keys in `identities`, which earlier runs may have left open. Returns whether it is
/// there: it is since the first key, which may be in a folder that the user named.
///
/// # Errors
/// Of [`crate::base::failure::ExitKind::Refused`] where another run has one open for too long.
pub fn close_all(identities: &Path) -> Result<bool> {
    let folders = fs::read_dir(identities).into_iter().flatten().flatten().map(|entry| entry.path());
    // `known_hosts` is no folder, unless by mistake.
    let of_host = |path: &PathBuf| path.is_dir() && !path.ends_with("known_hosts");
    let folders = folders.filter(of_host).collect::<Vec<_>>();
    let open = |folder: &PathBuf| folder.metadata().is_ok_and(|stat| grants(&stat, 0o777) != NOTHING);
    if let Some(beside) = folders.iter().find(|folder| open(folder)).and_then(|folder| lock_beside(folder)) {
        let _alone = Lock::take_within(&beside, LOCK_TIMEOUT)?;
        for folder in &folders {
            close(folder);
        }
    }
    Ok(identities.is_dir())
}

/// Takes all permissions from `folder`, if there are keys in it: any other one was named by mistake, or by a link. One that
/// others may look into stays as it is: its keys are refused.
fn close(folder: &Path) {
    let closes = |stat: Metadata| is_own(&stat) && stat.is_dir() && grants(&stat, 0o077) == NOTHING;
    if folder.metadata().is_ok_and(closes) && has_keys(folder) {
        // Where the file system knows no modes, the keys are refused when they are read.
        drop(fs::set_permissions(folder, Permissions::from_mode(NOTHING)));
    }
}

/// Whether something in `folder` is named as a key of a host is.
fn has_keys(folder: &Path) -> bool {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.into_iter().any(|name| name.as_bytes().starts_with(FILE.as_bytes()))
}

/// The permissions among `bits` that the folder grants.
fn grants(stat: &Metadata, bits: u32) -> u32 {
    stat.mode() & bits
}

fn is_own(stat: &Metadata) -> bool {
    stat.uid() == geteuid().as_raw()
}

/// Where the lock of `folder` is, if this user can make it.
fn lock_beside(folder: &Path) -> Option<PathBuf> {
    let parent = folder.parent()?;
    rustix::fs::access(parent, Access::WRITE_OK).is_ok().then(|| parent.join(LOCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// A folder with a key.
    fn make(folder: &Path, mode: u32) {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join(FILE), "").unwrap();
        set_mode(folder, mode);
    }

    #[test]
    fn readable_for_a_moment() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("pi");
        drop(Readable::open(&folder).unwrap());
        make(&folder, 0o700);
        for _ in 0..2 {
            let readable = Readable::open(&folder).unwrap();
            assert_eq!(mode(&folder), 0o700);
            drop(readable);
            assert_eq!(mode(&folder), 0);
        }
        // Whoever could read the keys has them already; that is told, and not covered up.
        set_mode(&folder, 0o750);
        drop(Readable::open(&folder).unwrap());
        assert_eq!(mode(&folder), 0o750);
    }

    #[test]
    fn what_an_earlier_run_left_open() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!close_all(&dir.path().join("none")).unwrap());
        assert!(close_all(dir.path()).unwrap());
        let folders = ["a", "b", "c"].map(|host| dir.path().join(host));
        for (folder, before) in folders.iter().zip([0, 0o700, 0o500]) {
            make(folder, before);
        }
        fs::write(dir.path().join("known_hosts"), "").unwrap();
        assert!(close_all(dir.path()).unwrap());
        assert_eq!(folders.map(|folder| mode(&folder)), [0; 3]);
        assert_ne!(mode(&dir.path().join("known_hosts")), 0);
    }

    /// `identity show NAME --identity-dir DIR` names any folder, and a link in a checkout that of the user.
    #[test]
    fn a_folder_without_keys_stays_open() {
        let dir = tempfile::tempdir().unwrap();
        let [identities, home] = ["identity", "home"].map(|name| dir.path().join(name));
        for folder in [&identities, &home] {
            fs::create_dir(folder).unwrap();
            set_mode(folder, 0o700);
        }
        fs::write(home.join("letter"), "").unwrap();
        std::os::unix::fs::symlink(&home, identities.join("pi")).unwrap();
        drop(Readable::open(&home).unwrap());
        close_all(&identities).unwrap();
        drop(Readable::open(&identities.join("pi")).unwrap());
        assert_eq!(mode(&home), 0o700);
        // Where the keys are is for the user to say.
        fs::write(home.join(FILE), "").unwrap();
        assert!(close_all(&identities).unwrap());
        assert_eq!(mode(&home), 0);
    }

    #[test]
    fn one_run_does_not_close_what_another_reads() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("pi");
        make(&folder, 0o700);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _readable = Readable::open(&folder).unwrap();
                    assert_eq!(mode(&folder), 0o700);
                });
            }
            scope.spawn(|| close_all(dir.path()).unwrap());
        });
        assert_eq!(mode(&folder), 0);
    }
}
