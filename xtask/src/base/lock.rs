//! A lock between processes, so that two runs never work on the same folder.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::base::failure::ExitKind;
use crate::base::{Event, Reporter, interrupt, state};

/// How often a lock is tried that another has.
const PAUSE: Duration = Duration::from_millis(200);

/// Held until it is dropped, or until the process ends in whatever way.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "holds the lock")] File);

impl Lock {
    /// Takes the lock on `path`, which is created; while another process has it, that is said and waited for. `other` is
    /// what that process is.
    ///
    /// # Errors
    /// `Interrupted` where the user stops the waiting, and `Refused` for what is no lock of this user's.
    pub fn take(path: &Path, other: &str, reporter: &dyn Reporter) -> Result<Self> {
        let file = open(path)?;
        let (hold, mut said) = (interrupt::guard()?, false);
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(file)),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(error) => return Err(error).with_context(|| format!("locking {}", path.display())),
            }
            if hold.requested() {
                let text = format!("stopped while {other} was at work; nothing was changed");
                return Err(ExitKind::Interrupted.error(text));
            }
            if !said {
                reporter.report(&Event::note(format!("waiting for {other} to end")));
                said = true;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Lock {
    /// The same without a word, for work of a moment that must not be left out.
    ///
    /// # Errors
    /// `Refused` where another process keeps it for longer than `patience`.
    pub fn take_within(path: &Path, patience: Duration) -> Result<Self> {
        let (file, deadline) = (open(path)?, Instant::now() + patience);
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(file)),
                Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < deadline => {}
                Err(Errno::WOULDBLOCK | Errno::INTR) => {
                    let path = path.display();
                    let text = format!("another process holds the lock {path}; see `fuser {path}`");
                    return Err(ExitKind::Refused.error(text));
                }
                Err(error) => return Err(error).with_context(|| format!("locking {}", path.display())),
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Opens the file at `path`, or makes it. What is in it stays.
fn open(path: &Path) -> Result<File> {
    state::check_folder(path.parent().unwrap_or(Path::new("/")))?;
    // A pipe is not waited for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let doing = || format!("opening the lock {}", path.display());
    let file = match options.open(path) {
        Err(_) if path.symlink_metadata().is_ok_and(|stat| !stat.is_file()) => None,
        file => Some(file.with_context(doing)?),
    };
    let stat = file.as_ref().map(File::metadata).transpose().with_context(doing)?;
    match file.zip(stat) {
        Some((file, stat)) if stat.is_file() => state::check_file(path, &stat).map(|()| file),
        _ => Err(state::unusable(path, "is not a regular file")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use std::sync::mpsc;

    /// Hands each event on, so that the test sees the moment of waiting.
    struct Tell(mpsc::Sender<Event>);

    impl Reporter for Tell {
        fn report(&self, event: &Event) {
            self.0.send(event.clone()).unwrap();
        }
    }

    #[test]
    fn the_second_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (tell, told) = mpsc::channel();
        let first = Lock::take(&path, "another run", &Tell(tell.clone())).unwrap();
        let second = std::thread::spawn(move || Lock::take(&path, "another run", &Tell(tell)).is_ok());
        assert_eq!(told.recv().unwrap(), Event::note("waiting for another run to end"));
        assert!(!second.is_finished());
        drop(first);
        assert!(second.join().unwrap());
    }

    #[test]
    fn no_wait_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::take_within(&path, Duration::ZERO).unwrap();
        let error = Lock::take_within(&path, PAUSE).unwrap_err();
        assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
        assert!(error.to_string().starts_with("another process holds the lock "), "{error}");
        drop(first);
        drop(Lock::take_within(&path, Duration::ZERO).unwrap());
    }

    #[test]
    fn what_is_no_lock_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let [path, victim] = ["lock", "victim"].map(|name| dir.path().join(name));
        let refuse = || {
            let error = Lock::take(&path, "another run", &crate::base::Silent).unwrap_err();
            let text = format!("{} is not a regular file; move it away", path.display());
            assert_eq!((error.to_string(), crate::base::failure::kind(&error)), (text, ExitKind::Refused));
        };
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        refuse();
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).unwrap();
        refuse();
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        refuse();
        std::fs::remove_dir(&path).unwrap();
        std::fs::hard_link(&victim, &path).unwrap();
        drop(Lock::take(&path, "another run", &crate::base::Silent).unwrap());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
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
