//! A virtual card: a file, behind a loop device where this machine has them.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::base::Context;
use crate::base::lock::Lock;
use crate::card::disk::LoopDevice;

/// A virtual card. Dropping it detaches the loop device; the file stays.
#[derive(Debug)]
pub struct VirtualCard {
    /// The path to write to: the loop device, or the file.
    pub path: PathBuf,
    pub file: PathBuf,
    device: Option<LoopDevice>,
    _lock: Lock,
}

impl VirtualCard {
    /// Makes an empty card of `size` bytes under `home`. Waits for another run that uses it.
    pub fn make(cx: &Context, home: &Path, size: u64) -> Result<Self> {
        let lock = Lock::take(&home.join("card.lock"), "another demo", cx.reporter.as_ref())?;
        let file = home.join("card.img");
        let doing = || format!("making {}", file.display());
        make(&file, size).with_context(doing)?;
        let (path, device) = match LoopDevice::attach(&cx.launcher, &file) {
            Ok(device) => (device.path.clone(), Some(device)),
            Err(error) => {
                cx.note(format!("the card is a plain file: no loop device: {error:#}"));
                (file.clone(), None)
            }
        };
        Ok(Self { path, file, device, _lock: lock })
    }

    /// Detaches the loop device, which would not see writes to the file. The file stays locked.
    pub fn detach(&mut self) {
        self.device = None;
    }
}

/// Creates `file` as a new file, so that a process that has the last card open through a loop device keeps that one.
fn make(file: &Path, size: u64) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The card will hold a private key.
    File::options().write(true).create_new(true).mode(0o600).open(file)?.set_len(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_last_card_stays_for_who_has_it_open() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("card.img");
        make(&file, 4096).unwrap();
        let last = File::open(&file).unwrap();
        make(&file, 512).unwrap();
        assert_eq!((last.metadata().unwrap().len(), file.metadata().unwrap().len()), (4096, 512));
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
