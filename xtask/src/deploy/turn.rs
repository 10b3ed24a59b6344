//! One deploy to a host at a time.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::failure::Kind;
use crate::interrupt;
use crate::project;
use crate::ui::{Event, Reporter};

/// How often a lock is tried that another has.
const PAUSE: Duration = Duration::from_millis(200);

/// The turn of this process at a host, until it is dropped or the process ends.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "holds the lock")] File);

impl Turn {
    /// Takes the turn at `host`; while another deploy of this project has it, that is said and waited for.
    ///
    /// # Errors
    /// `Interrupted` where the user stops the waiting.
    pub fn take(host: &str, reporter: &dyn Reporter) -> Result<Self> {
        let file = open(host).with_context(|| format!("opening the lock of {host}"))?;
        let hold = interrupt::hold()?;
        let mut said = false;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(file)),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(error) => return Err(error).with_context(|| format!("locking {host}")),
            }
            if hold.requested() {
                let text = format!("stopped while another deploy to {host} was at work; nothing was changed");
                return Err(Kind::Interrupted.error(text));
            }
            if !said {
                reporter.report(&Event::note(format!("waiting for another deploy to {host} to end")));
                said = true;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

fn open(host: &str) -> io::Result<File> {
    let folder = project::state_dir().join("locks");
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    File::options().create(true).append(true).open(folder.join(format!("deploy-{}", file_name(host))))
}

/// A host's name as part of the name of a file, no two alike: bytes that not every name of a file may have are written
/// as in a URL.
fn file_name(host: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let encoded = host
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    encoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_locks() {
        for (host, expected) in [
            ("stinky", "stinky"),
            ("pi.example.org", "pi.example.org"),
            ("a-b_c", "a-b_c"),
            ("a/b", "a%2Fb"),
            ("a%2Fb", "a%252Fb"),
            ("a b\0", "a%20b%00"),
            ("ö", "%C3%B6"),
        ] {
            assert_eq!(file_name(host), expected, "{host}");
        }
    }
}
