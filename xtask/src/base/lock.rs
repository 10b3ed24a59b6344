//! A lock between processes: two runs never work on the same folder at once.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::bail;
use crate::base::{Event, Reporter, interrupt, shell, state};

/// The interval between two attempts to take a lock that another process holds.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// An exclusive lock, held until it is dropped or the process ends in any way.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "holds the lock")] File);

impl Lock {
    /// Takes the lock on the file `path`, which is created where it is missing. While another process holds the lock,
    /// this one waits, and notes once that it waits for `holder` to end.
    ///
    /// # Errors
    /// `Interrupted` where the user stops the wait, and `Refused` for a file that is not a lock of this user.
    pub fn take(path: &Path, holder: &str, reporter: &dyn Reporter) -> Result<Self> {
        let file = open(path)?;
        let signals = interrupt::guard()?;
        let mut is_noted = false;
        while !try_lock(&file, path)? {
            if signals.is_stop_requested() {
                bail!(Interrupted, "stopped while waiting for {holder}; nothing was changed");
            }
            if !is_noted {
                reporter.report(&Event::note(format!("waiting for {holder} to end")));
                is_noted = true;
            }
            std::thread::sleep(RETRY_INTERVAL);
        }
        Ok(Self(file))
    }

    /// Takes the lock like [`Self::take`], but waits at most for `timeout`, without a note, and without a reaction to
    /// stop requests: for short work that must not be skipped.
    ///
    /// # Errors
    /// `Refused` where another process holds the lock for longer than `timeout`, and for a file that is not a lock of
    /// this user.
    pub fn take_within(path: &Path, timeout: Duration) -> Result<Self> {
        let file = open(path)?;
        let deadline = Instant::now() + timeout;
        while !try_lock(&file, path)? {
            if Instant::now() >= deadline {
                let quoted = shell::quote(&path.to_string_lossy());
                bail!(
                    Refused(Locked), "another process holds the lock {}", path.display();
                    hint: "wait for it to end, or find it by `fuser {quoted}`"
                );
            }
            std::thread::sleep(RETRY_INTERVAL);
        }
        Ok(Self(file))
    }
}

/// Locks `file`, which lies at `path`, if no other process holds the lock. Returns whether it is locked.
fn try_lock(file: &File, path: &Path) -> Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
        Err(error) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

/// Opens the file at `path`, and creates it where it is missing. Its content stays.
///
/// # Errors
/// `Refused` for a path that is not a regular file of this user, or that others can change.
fn open(path: &Path) -> Result<File> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    state::check_folder(folder)?;
    // Without NONBLOCK, opening a pipe would wait for its other end.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let doing = || format!("opening the lock {}", path.display());
    let not_regular_error = || state::unusable_error(path, "is not a regular file");
    let file = match options.open(path) {
        Err(_) if path.symlink_metadata().is_ok_and(|stat| !stat.is_file()) => {
            return Err(not_regular_error());
        }
        opened => opened.map_err(|error| state::write_error(error, &doing(), folder))?,
    };
    let stat = file.metadata().with_context(doing)?;
    if !stat.is_file() {
        return Err(not_regular_error());
    }
    state::check_file(path, &stat)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::base::failure::ExitKind;
    use std::sync::mpsc;

    /// Forwards each event, so that the test sees when the wait begins.
    struct Forward(mpsc::Sender<Event>);

    impl Reporter for Forward {
        fn report(&self, event: &Event) {
            self.0.send(event.clone()).unwrap();
        }
    }

    #[test]
    fn the_second_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (sender, events) = mpsc::channel();
        let first = Lock::take(&path, "another run", &Forward(sender.clone())).unwrap();
        let second = std::thread::spawn(move || Lock::take(&path, "another run", &Forward(sender)).is_ok());
        assert_eq!(events.recv().unwrap(), Event::note("waiting for another run to end"));
        assert!(!second.is_finished());
        drop(first);
        assert!(second.join().unwrap());
    }

    #[test]
    fn a_wait_with_a_timeout_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::take_within(&path, Duration::ZERO).unwrap();
        let error = Lock::take_within(&path, RETRY_INTERVAL).unwrap_err();
        assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
        assert!(error.to_string().starts_with("another process holds the lock "), "{error}");
        drop(first);
        drop(Lock::take_within(&path, Duration::ZERO).unwrap());
    }

    #[test]
    fn a_path_that_is_no_regular_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let [path, target] = ["lock", "target"].map(|name| dir.path().join(name));
        let refuse = || {
            let error = Lock::take(&path, "another run", &crate::base::Silent).unwrap_err();
            let text = format!("{} is not a regular file", path.display());
            assert_eq!((error.to_string(), crate::base::failure::kind(&error)), (text, ExitKind::Refused));
        };
        std::fs::write(&target, "content").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        refuse();
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).unwrap();
        refuse();
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        refuse();
    }

    #[test]
    fn taking_a_lock_does_not_change_the_content_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        std::fs::write(&path, "content").unwrap();
        drop(Lock::take(&path, "another run", &crate::base::Silent).unwrap());
        drop(Lock::take_within(&path, Duration::ZERO).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "content");
    }

    #[test]
    fn a_lock_in_a_shared_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
        let error = Lock::take(&dir.path().join("lock"), "another run", &crate::base::Silent).unwrap_err();
        assert!(error.to_string().contains("has mode 1777"), "{error}");
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }
}
