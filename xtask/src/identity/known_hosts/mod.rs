//! The project's `known_hosts`: one line for each host, by its name in the flake.

mod lines;

pub use lines::{NewKeys, hosts, keys_of, with_keys};

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::{Access, access};

use crate::bail;
use crate::base::failure::ExitKind;
use crate::base::lock::Lock;
use crate::base::{HostName, state};

/// The maximum size of the file, in bytes.
const MAX_SIZE: u64 = 16 << 20;
/// The lock file for changes. The folder itself is no lock: whoever can open it could lock it for any time.
const LOCK: &str = ".known_hosts.lock";
/// The maximum wait for another run that changes the file.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// A `known_hosts` file, which may not exist.
#[derive(Clone, Debug)]
pub struct KnownHosts {
    pub path: PathBuf,
}

impl KnownHosts {
    /// The file in `folder`.
    pub fn of(folder: &Path) -> Self {
        Self { path: folder.join("known_hosts") }
    }

    /// The keys of `host`, each such as `ssh-ed25519 AAAA…`; ssh accepts all of them.
    pub fn keys_of(&self, host: &str) -> Result<Vec<String>> {
        Ok(keys_of(&self.read()?, host))
    }

    /// The hosts that have a key.
    pub fn hosts(&self) -> Result<BTreeSet<HostName>> {
        Ok(hosts(&self.read()?))
    }

    /// Sets the only key of `host` to `key`, or removes all its keys where `key` is `None`. Returns whether the file
    /// changed.
    pub fn set(&self, host: &str, key: Option<&str>) -> Result<bool> {
        self.set_all(&NewKeys::from([(host.into(), key.map(str::to_owned).into_iter().collect())]))
    }

    /// Sets the only key of each host of `keys`, or removes its keys. Returns whether the file changed.
    pub fn set_all(&self, keys: &NewKeys) -> Result<bool> {
        let context = || format!("writing {}", self.path.display());
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        state::create_private_folder(folder).with_context(context)?;
        // Two flashes may end at once.
        let _lock = Lock::take_within(&folder.join(LOCK), LOCK_TIMEOUT).with_context(context)?;
        let old = self.read()?;
        let new = with_keys(&old, keys);
        if new == old {
            return Ok(false);
        }
        let path = self.resolve()?;
        state::remove_temporary_files(&path);
        state::write(&path, &new).with_context(context)?;
        Ok(true)
    }

    /// Checks that the file can be read, and that [`Self::set`] can write it.
    ///
    /// # Errors
    /// `Refused` where it cannot.
    pub fn check(&self) -> Result<()> {
        self.read().and_then(|_| self.check_writable()).map_err(|error| {
            let message = format!("the project's known_hosts cannot record the card's key: {error:#}");
            ExitKind::Refused.error_with_hint_of(message, &error)
        })
    }

    /// Fails where this user cannot create files in the folder of the file; for a folder that is missing, in the
    /// nearest folder above that exists.
    fn check_writable(&self) -> Result<()> {
        let path = self.resolve()?;
        let folder = path.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("/"));
        access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|errno| {
            state::write_error(errno.into(), &format!("writing to {}", folder.display()), folder)
        })?;
        if !folder.is_dir() {
            bail!(Refused, "{} is not a folder", folder.display(); hint: "move it away, or name another folder");
        }
        Ok(())
    }

    /// The path of the file; of a link, that of its target. Whether others can change the target is checked when it is
    /// read or written.
    fn resolve(&self) -> Result<PathBuf> {
        state::check_folder(self.path.parent().unwrap_or(Path::new("/")))?;
        if !self.path.is_symlink() {
            return Ok(self.path.clone());
        }
        self.path.canonicalize().with_context(|| format!("following the link {}", self.path.display()))
    }

    /// The content; empty where there is no file. It is in bytes: lines that others wrote may not be UTF-8.
    fn read(&self) -> Result<Vec<u8>> {
        let path = match self.resolve() {
            Err(_) if self.is_missing() => return Ok(Vec::new()),
            path => path?,
        };
        Ok(state::read(&path, MAX_SIZE)?.unwrap_or_default())
    }

    /// Whether there is no file, or only a link that leads to none.
    fn is_missing(&self) -> bool {
        self.path.metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::base::failure::{kind, with_hint};

    const KEY: &str = "ssh-ed25519 AAAAC3";

    #[test]
    fn a_key_is_set_read_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let file = KnownHosts::of(&dir.path().join("identity"));
        assert!(file.keys_of("pi").unwrap().is_empty());
        assert!(file.set("pi", Some(KEY)).unwrap());
        assert!(!file.set("pi", Some(KEY)).unwrap());
        assert_eq!(file.keys_of("pi").unwrap(), [KEY]);
        assert!(file.keys_of("p").unwrap().is_empty());
        assert!(file.set("pi", None).unwrap());
        assert!(file.keys_of("pi").unwrap().is_empty());
        let left = dir.path().join("identity").read_dir().unwrap().count();
        assert_eq!(left, 2, "temporary files are gone, and the lock is there");
    }

    /// Anybody who can open the folder can lock it, and must not stop this tool so.
    #[test]
    fn a_lock_on_the_folder_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let folder = fs::File::open(dir.path()).unwrap();
        rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let file = KnownHosts::of(dir.path());
        std::thread::spawn(move || sender.send(file.set("pi", Some(KEY)).unwrap()));
        assert_eq!(receiver.recv_timeout(Duration::from_secs(5)), Ok(true));
        let lock = dir.path().join(LOCK).metadata().unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&lock.permissions()) & 0o777, 0o600);
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("identity");
        let elsewhere = dir.path().join("elsewhere");
        fs::create_dir(&own).unwrap();
        fs::write(&elsewhere, "a b c\n").unwrap();
        std::os::unix::fs::symlink("../elsewhere", own.join("known_hosts")).unwrap();
        let file = KnownHosts::of(&own);
        file.check().unwrap();
        assert!(file.set("pi", Some(KEY)).unwrap() && file.path.is_symlink());
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), format!("a b c\npi {KEY}\n"));
        assert_eq!(dir.path().read_dir().unwrap().count(), 2);
    }

    #[test]
    fn files_that_cannot_be_written_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refuses = |file: KnownHosts, text: &str| {
            let error = file.check().unwrap_err();
            let message = with_hint(&error).replace(&dir.path().display().to_string(), "DIR");
            let expected = format!("the project's known_hosts cannot record the card's key: {text}");
            assert_eq!((message, kind(&error)), (expected, ExitKind::Refused));
        };
        KnownHosts::of(&dir.path().join("not/there/yet")).check().unwrap();
        fs::create_dir_all(dir.path().join("folder/known_hosts")).unwrap();
        refuses(
            KnownHosts::of(&dir.path().join("folder")),
            "DIR/folder/known_hosts is not a regular file; move it away",
        );
        fs::create_dir(dir.path().join("dangling")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("dangling/known_hosts")).unwrap();
        refuses(
            KnownHosts::of(&dir.path().join("dangling")),
            "following the link DIR/dangling/known_hosts: No such file or directory",
        );
        let _listens = std::os::unix::net::UnixListener::bind(dir.path().join("known_hosts")).unwrap();
        refuses(KnownHosts::of(dir.path()), "DIR/known_hosts is not a regular file; move it away");
    }

    #[test]
    fn a_pipe_or_an_endless_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = KnownHosts::of(dir.path());
        let refuse = |why: &str| {
            for error in [file.keys_of("pi").unwrap_err(), file.set("pi", Some(KEY)).unwrap_err()] {
                assert_eq!(kind(&error), ExitKind::Refused);
                let expected = format!("{} {why}; move it away", dir.path().join("known_hosts").display());
                assert_eq!(with_hint(&error), expected);
            }
        };
        rustix::fs::mkfifoat(rustix::fs::CWD, &file.path, 0o600.into()).unwrap();
        refuse("is not a regular file");
        fs::remove_file(&file.path).unwrap();
        fs::File::create(&file.path).unwrap().set_len(1 << 40).unwrap();
        refuse("is larger than the limit of 16.0 MiB");
    }

    mod as_root {
        use super::*;

        #[test]
        #[ignore = "needs root: run `cargo xtask test`"]
        fn a_link_to_a_file_of_somebody_else_is_refused() {
            let dir = tempfile::tempdir().unwrap();
            let own = dir.path().join("identity");
            let theirs = dir.path().join("theirs");
            fs::create_dir(&own).unwrap();
            fs::write(&theirs, format!("pi {KEY}\n")).unwrap();
            std::os::unix::fs::symlink(&theirs, own.join("known_hosts")).unwrap();
            assert_eq!(KnownHosts::of(&own).keys_of("pi").unwrap(), [KEY]);
            std::os::unix::fs::chown(&theirs, Some(65_534), None).unwrap();
            let error = KnownHosts::of(&own).keys_of("pi").unwrap_err();
            let text = format!("{} belongs to user 65534", theirs.display());
            assert!(error.to_string().starts_with(&text), "{error}");
        }
    }
}
