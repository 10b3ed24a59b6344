//! The ext4 file system on a part of a disk, as `ext4-view` reads it.

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::Result;
use ext4_view::{Ext4, Ext4Read};

/// The file system that begins at byte `start` of `disk`.
///
/// # Errors
/// What cannot be read, and what is no ext4.
pub fn ext4(disk: File, start: u64) -> Result<Ext4> {
    Ext4::load(Box::new(Window { disk, start })).map_err(anyhow::Error::new)
}

/// The part of the disk from byte `start` on.
struct Window {
    disk: File,
    start: u64,
}

impl Ext4Read for Window {
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(self.disk.read_exact_at(into, self.start + at)?)
    }
}
