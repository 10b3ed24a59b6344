//! What an inspection reads from: a card, an image, or the parts of an image that were kept.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes that are read by their position.
pub trait ReadAt: fmt::Debug {
    /// Fills `bytes` from the position `at` on.
    ///
    /// # Errors
    /// Bytes that are not there, or cannot be read.
    fn fill(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn fill(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(bytes, at)
    }
}
