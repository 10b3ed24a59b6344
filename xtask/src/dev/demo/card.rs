//! A virtual card: a file, behind a loop device where this machine has loop devices.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::base::Context;
use crate::base::lock::Lock;
use crate::card::disk::LoopDevice;

/// A virtual card. Dropping this value detaches the loop device; the file stays.
#[derive(Debug)]
pub struct VirtualCard {
    /// The path to write to: the loop device, or the file where there is none.
    pub path: PathBuf,
    /// The file that has the content of the card.
    pub file: PathBuf,
    device: Option<LoopDevice>,
    _lock: Lock,
}

impl VirtualCard {
    /// Makes an empty card of `size` bytes in the folder `home`. Waits while another run uses the card there.
    pub fn make(cx: &Context, home: &Path, size: u64) -> Result<Self> {
        let lock = Lock::take(&home.join("card.lock"), "another demo", cx.reporter.as_ref())?;
        let file = home.join("card.img");
        let doing = || format!("making {}", file.display());
        create_card_file(&file, size).with_context(doing)?;
        let (path, device) = match LoopDevice::attach(&cx.launcher, &file) {
            Ok(device) => (device.path.clone(), Some(device)),
            Err(error) => {
                cx.note(format!("the card is a plain file: no loop device: {error:#}"));
                (file.clone(), None)
            }
        };
        Ok(Self { path, file, device, _lock: lock })
    }

    /// Detaches the loop device: reads of the device would not show writes to the file. The file stays locked.
    pub fn detach(&mut self) {
        self.device = None;
    }
}

/// Creates `file` with `size` bytes of zeros as a new file: a process that has the last card open through a loop
/// device keeps the last card.
fn create_card_file(file: &Path, size: u64) -> std::io::Result<()> {
    if let Err(error) = std::fs::remove_file(file)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error);
    }
    // The card will hold a private key.
    File::options().write(true).create_new(true).mode(0o600).open(file)?.set_len(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_new_card_does_not_change_the_last_one_for_a_process_that_has_it_open() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("card.img");
        create_card_file(&file, 4096).unwrap();
        let last = File::open(&file).unwrap();
        create_card_file(&file, 512).unwrap();
        assert_eq!((last.metadata().unwrap().len(), file.metadata().unwrap().len()), (4096, 512));
    }

    #[test]
    fn only_this_user_can_read_a_card() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("card.img");
        create_card_file(&file, 4096).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
