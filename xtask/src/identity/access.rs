//! Closes the folder with the keys of a host: while no run uses the keys, the folder has mode 0000. Nix copies each
//! file that an input of a flake names to its store, where everybody can read the file. It cannot copy files that its
//! user may not read.

use std::ffi::OsStr;
use std::fs::{self, Metadata, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::Access;
use rustix::process::geteuid;

use super::{KEY_FILE, cache_key};
use crate::bail;
use crate::base::lock::Lock;
use crate::base::shell;

/// The lock file beside the folders. While a run holds the lock, other runs close none of the folders. No host has this
/// name.
const LOCK: &str = ".access.lock";
/// The mode of a closed folder.
const CLOSED: u32 = 0o000;
/// The maximum wait for another run that reads or makes keys.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// Keeps a folder with keys readable until this value is dropped. `None` where nothing has to be closed then.
#[derive(Debug)]
pub struct ReadableFolder(Option<(PathBuf, Lock)>);

impl ReadableFolder {
    /// Makes `folder` readable, if it exists. A folder of another user stays as it is, and so does one beside which
    /// this user cannot create a lock file.
    ///
    /// # Errors
    /// `Refused` where another run keeps one of the folders beside it open for longer than [`LOCK_TIMEOUT`].
    pub fn open(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            return Ok(Self(None));
        }
        let Some(lock_file) = lock_file(folder) else { return Ok(Self(None)) };
        let lock = Lock::take_within(&lock_file, LOCK_TIMEOUT)?;
        let context = || format!("making {} readable", folder.display());
        let stat = folder.metadata().with_context(context)?;
        if is_own(&stat) && mode_bits(&stat, 0o777) == CLOSED {
            fs::set_permissions(folder, Permissions::from_mode(0o700)).with_context(context)?;
        }
        Ok(Self(Some((folder.to_owned(), lock))))
    }
}

impl Drop for ReadableFolder {
    fn drop(&mut self) {
        if let Some((folder, _)) = &self.0 {
            make_unreadable(folder);
        }
    }
}

/// Closes all folders with keys in `identities`, the folder of [`super::folder()`]: earlier runs may have left them
/// open. Returns whether `identities` exists: it does as soon as the project has a key, wherever the user keeps the
/// keys.
///
/// # Errors
/// `Refused` where another run keeps a folder open for longer than [`LOCK_TIMEOUT`].
pub fn make_all_unreadable(identities: &Path) -> Result<bool> {
    let paths = fs::read_dir(identities).into_iter().flatten().flatten().map(|entry| entry.path());
    // `known_hosts` is only a folder by mistake.
    let is_of_host = |path: &PathBuf| path.is_dir() && !path.ends_with("known_hosts");
    let folders = paths.filter(is_of_host).collect::<Vec<_>>();
    let is_open = |folder: &&PathBuf| folder.metadata().is_ok_and(|stat| mode_bits(&stat, 0o777) != CLOSED);
    if let Some(lock_file) = folders.iter().find(is_open).and_then(|folder| lock_file(folder)) {
        let _lock = Lock::take_within(&lock_file, LOCK_TIMEOUT)?;
        for folder in &folders {
            make_unreadable(folder);
        }
    }
    Ok(identities.is_dir())
}

/// Takes all permissions from `folder`. A folder without keys stays open: the user named it by mistake, or a link leads
/// to it. A folder that others can access stays as it is, too: its keys are refused.
pub(super) fn make_unreadable(folder: &Path) {
    let is_private = |stat: Metadata| is_own(&stat) && stat.is_dir() && mode_bits(&stat, 0o077) == 0;
    if folder.metadata().is_ok_and(is_private) && has_keys(folder) {
        // Where the file system has no modes, the keys are refused when they are read.
        let _ = fs::set_permissions(folder, Permissions::from_mode(CLOSED));
    }
}

/// Refuses a file or folder that others can access, as ssh does; `private_mode` is the mode for the hint.
///
/// # Errors
/// `Refused` where others can access it.
pub fn require_private(path: &Path, private_mode: &str) -> Result<()> {
    let context = || format!("reading the mode of {}", path.display());
    let mode = path.metadata().with_context(context)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let quoted = shell::quote(&path.to_string_lossy());
        bail!(
            Refused, "{} has mode {mode:04o}, so others can access it", path.display();
            hint: "run `chmod {private_mode} {quoted}`"
        );
    }
    Ok(())
}

/// Whether `folder` contains a file whose name begins with that of a host key (the key, its public key, or a pending
/// one), or with that of the cache key.
fn has_keys(folder: &Path) -> bool {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let is_key = |name: &OsStr| {
        [KEY_FILE, cache_key::FILE].iter().any(|key| name.as_bytes().starts_with(key.as_bytes()))
    };
    names.into_iter().any(|name| is_key(&name))
}

/// The bits of the mode in `stat` that are also in `mask`.
fn mode_bits(stat: &Metadata, mask: u32) -> u32 {
    stat.mode() & mask
}

/// Whether the file or folder belongs to this user.
fn is_own(stat: &Metadata) -> bool {
    stat.uid() == geteuid().as_raw()
}

/// The path of the lock file beside `folder`; `None` where this user cannot create it.
fn lock_file(folder: &Path) -> Option<PathBuf> {
    let parent = folder.parent()?;
    rustix::fs::access(parent, Access::WRITE_OK).is_ok().then(|| parent.join(LOCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The permissions of the file or folder at `path`.
    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// Creates `folder` with a key in it.
    fn create(folder: &Path, mode: u32) {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join(KEY_FILE), "").unwrap();
        set_mode(folder, mode);
    }

    #[test]
    fn a_folder_is_readable_until_the_drop() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("pi");
        drop(ReadableFolder::open(&folder).unwrap());
        create(&folder, 0o700);
        for _ in 0..2 {
            let readable = ReadableFolder::open(&folder).unwrap();
            assert_eq!(mode(&folder), 0o700);
            drop(readable);
            assert_eq!(mode(&folder), 0);
        }
    }

    /// Others could have read the keys already, so the mode stays, and the keys are refused.
    #[test]
    fn the_mode_of_a_folder_that_others_can_read_stays() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("pi");
        create(&folder, 0o750);
        drop(ReadableFolder::open(&folder).unwrap());
        assert_eq!(mode(&folder), 0o750);
    }

    #[test]
    fn folders_that_an_earlier_run_left_open_are_closed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!make_all_unreadable(&dir.path().join("none")).unwrap());
        assert!(make_all_unreadable(dir.path()).unwrap());
        let folders = ["a", "b", "c"].map(|host| dir.path().join(host));
        for (folder, before) in folders.iter().zip([0, 0o700, 0o500]) {
            create(folder, before);
        }
        fs::write(dir.path().join("known_hosts"), "").unwrap();
        assert!(make_all_unreadable(dir.path()).unwrap());
        assert_eq!(folders.map(|folder| mode(&folder)), [0; 3]);
        assert_ne!(mode(&dir.path().join("known_hosts")), 0);
    }

    /// `identity show NAME --identity-dir DIR` can name any folder, and a link in a checkout can lead to any folder
    /// of the user.
    #[test]
    fn only_a_folder_with_keys_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let [identities, home] = ["identity", "home"].map(|name| dir.path().join(name));
        for folder in [&identities, &home] {
            fs::create_dir(folder).unwrap();
            set_mode(folder, 0o700);
        }
        fs::write(home.join("letter"), "").unwrap();
        std::os::unix::fs::symlink(&home, identities.join("pi")).unwrap();
        drop(ReadableFolder::open(&home).unwrap());
        make_all_unreadable(&identities).unwrap();
        drop(ReadableFolder::open(&identities.join("pi")).unwrap());
        assert_eq!(mode(&home), 0o700);
        // With a key in it, the folder is one for keys, wherever it is.
        fs::write(home.join(KEY_FILE), "").unwrap();
        assert!(make_all_unreadable(&identities).unwrap());
        assert_eq!(mode(&home), 0);
    }

    #[test]
    fn one_run_does_not_close_what_another_reads() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("pi");
        create(&folder, 0o700);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _readable = ReadableFolder::open(&folder).unwrap();
                    assert_eq!(mode(&folder), 0o700);
                });
            }
            scope.spawn(|| make_all_unreadable(dir.path()).unwrap());
        });
        assert_eq!(mode(&folder), 0);
    }
}
