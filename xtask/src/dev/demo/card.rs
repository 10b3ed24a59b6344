//! A card that is none: a file, on a loop device where this machine has them.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::base::Context;
use crate::base::lock::Lock;
use crate::card::disk::LoopDevice;

/// A virtual card for as long as this lives; the file stays.
#[derive(Debug)]
pub struct VirtualCard {
    /// What to write to: the loop device, or the file.
    pub path: PathBuf,
    pub file: PathBuf,
    device: Option<LoopDevice>,
    _lock: Lock,
}

impl VirtualCard {
    /// Makes an empty card of `size` bytes under `home`. Two runs take turns.
    pub fn make(cx: &Context, home: &Path, size: u64) -> Result<Self> {
        let lock = Lock::take(&home.join("card.lock"), "another demo", cx.reporter.as_ref())?;
        let file = home.join("card.img");
        let doing = || format!("making {}", file.display());
        make(&file, size).with_context(doing)?;
        let (path, device) = match LoopDevice::attach(&cx.launcher, &file) {
            Ok(device) => (device.path.clone(), Some(device)),
            Err(error) => {
                cx.note(format!("a plain file stands for the card, for want of a loop device: {error:#}"));
                (file.clone(), None)
            }
        };
        Ok(Self { path, file, device, _lock: lock })
    }

    /// Lets go of the loop device, which sees nothing of what others write to the file. The file stays reserved.
    pub fn unplug(&mut self) {
        self.device = None;
    }
}

/// Makes `file` new, so that whoever still looks at the last card through a loop device keeps that one.
fn make(file: &Path, size: u64) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The card will have a private key.
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
