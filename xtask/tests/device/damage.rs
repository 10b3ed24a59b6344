//! Damage to image files: to the file itself, or on the disk below its file system.

use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::image::zstd_with_size;
use crate::support::loops::{Loop, Mounted, make_ext4};

/// A disk with a file system, whose bytes can be changed without the file system.
pub struct Disk {
    device: Loop,
}

impl Disk {
    pub fn new() -> Self {
        Self { device: Loop::attach(64 << 20, &[], make_ext4) }
    }

    /// Mounts the file system.
    pub fn mount(&self) -> Mounted {
        Mounted::new(self.device.device())
    }

    /// Damages the file that holds `bytes` on the disk, without the file system.
    pub fn damage_file(&self, bytes: &[u8], damage: Damage) {
        let mut damaged = bytes.to_vec();
        damage.apply(&mut damaged);
        let at = bytes.iter().zip(&damaged).position(|(good, bad)| good != bad).expect("a difference");
        // These bytes are at exactly one position of the disk.
        let context = &bytes[at - 64..=at];
        let disk = self.device.bytes();
        let position =
            disk.windows(context.len()).position(|bytes| bytes == context).expect("the file on the disk");
        let device = std::fs::OpenOptions::new().write(true).open(self.device.device());
        let device = device.expect("opening the disk");
        device.write_all_at(&damaged[at..=at], (position + 64) as u64).expect("turning a bit");
        device.sync_all().expect("syncing the disk");
    }
}

/// A way to damage an image file.
#[derive(Clone, Copy, Debug)]
pub enum Damage {
    /// The second half is missing, as after a download that broke off.
    Cut,
    /// One bit in the middle is flipped.
    Flip,
    /// One bit of the last byte is flipped: of the checksum in zstd, of the size in gzip, of the end mark in xz.
    Checksum,
    /// Text is appended.
    Append,
    /// The partition table has no signature.
    NoTable,
    /// Text instead of an image.
    Text,
    /// The file is empty.
    Empty,
    /// The file decompresses to nothing.
    EmptyFrame,
}

impl Damage {
    /// Damages `file`.
    pub fn apply_to(self, file: &Path) {
        let mut bytes = std::fs::read(file).expect("reading an image");
        self.apply(&mut bytes);
        std::fs::write(file, bytes).expect("damaging an image");
    }

    /// Damages the `bytes` of a file.
    fn apply(self, bytes: &mut Vec<u8>) {
        let middle = bytes.len() / 2;
        match self {
            Self::Cut => bytes.truncate(middle / 512 * 512),
            Self::Flip => bytes[middle] ^= 1,
            Self::Checksum => *bytes.last_mut().expect("a byte") ^= 1,
            Self::Append => bytes.extend(b"what does not belong here"),
            Self::NoTable => bytes[510] = 0,
            Self::Text => *bytes = b"the page that you asked for is not here".to_vec(),
            Self::Empty => bytes.clear(),
            Self::EmptyFrame => *bytes = zstd_with_size(b""),
        }
    }
}
