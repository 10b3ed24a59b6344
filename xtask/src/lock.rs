//! A lock between processes, so that two runs never work on the same folder.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::failure::Kind;
use crate::interrupt;
use crate::ui::{Event, Reporter};

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
    /// `Interrupted` where the user stops the waiting.
    pub fn take(path: &Path, other: &str, reporter: &dyn Reporter) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        let (hold, mut said) = (interrupt::hold()?, false);
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(file)),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(error) => return Err(error).with_context(|| format!("locking {}", path.display())),
            }
            if hold.requested() {
                let text = format!("stopped while {other} was at work; nothing was changed");
                return Err(Kind::Interrupted.error(text));
            }
            if !said {
                reporter.report(&Event::note(format!("waiting for {other} to end")));
                said = true;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
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
}
