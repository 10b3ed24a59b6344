//! A lock between processes, so that two runs never work on the same folder.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::ui::{Event, Reporter};

/// Held until it is dropped, or until the process ends in whatever way.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "holds the lock")] File);

impl Lock {
    /// Takes the lock on `path`, which is created; says so and waits while another process has it.
    pub fn take(path: &Path, reporter: &dyn Reporter) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        let mut got = flock(&file, FlockOperation::NonBlockingLockExclusive);
        if got == Err(Errno::WOULDBLOCK) {
            let text = format!("waiting for another run that holds {}", path.display());
            reporter.report(&Event::note(text));
            got = flock(&file, FlockOperation::LockExclusive);
        }
        got.with_context(|| format!("locking {}", path.display()))?;
        Ok(Self(file))
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
        let first = Lock::take(&path, &Tell(tell.clone())).unwrap();
        let text = format!("waiting for another run that holds {}", path.display());
        let second = std::thread::spawn(move || Lock::take(&path, &Tell(tell)).is_ok());
        assert_eq!(told.recv().unwrap(), Event::note(text));
        assert!(!second.is_finished());
        drop(first);
        assert!(second.join().unwrap());
    }
}
