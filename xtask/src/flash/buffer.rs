//! Buffers that direct input and output accept: they begin at a page boundary.

use std::ops::{Deref, DerefMut};

use anyhow::{Context as _, Result};
use memmap2::{Advice, MmapMut};

// What is written at once is what is hashed at once: larger blocks gain nothing, smaller ones cost.
pub use crate::image::content::CHUNK;

/// Direct access takes buffers that begin at a multiple of this, in bytes; a card writes so much at once.
pub const PAGE: usize = 4096;

/// The size of a huge page on x86-64 and `AArch64`, in bytes. Direct access pins every page of its buffer, and for
/// 256 small ones that takes as long as hashing what is in them; one huge page is worth the memory.
const HUGE_PAGE: usize = 2 << 20;

/// Bytes that begin at a page boundary, and how many of them are in use.
pub struct Buffer {
    storage: MmapMut,
    start: usize,
    len: usize,
}

impl Buffer {
    /// [`CHUNK`] zeros, all in use.
    pub fn zeroed() -> Result<Self> {
        let buffer = Self::aligned(CHUNK, HUGE_PAGE)?;
        // Where the kernel has none to give, small ones do.
        let _ = buffer.storage.advise(Advice::HugePage);
        Ok(buffer)
    }

    /// A buffer that holds `len` bytes, all zeros and all in use.
    pub fn small(len: usize) -> Result<Self> {
        Self::aligned(len, PAGE)
    }

    fn aligned(len: usize, unit: usize) -> Result<Self> {
        let storage =
            MmapMut::map_anon(len.next_multiple_of(unit) + unit).context("taking memory for a buffer")?;
        let start = storage.as_ptr().align_offset(unit);
        Ok(Self { storage, start, len })
    }

    /// Sets how many bytes are in use.
    pub fn resize(&mut self, len: usize) {
        assert!(self.start + len <= self.storage.len(), "a buffer does not grow");
        self.len = len;
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned() {
        let small = Buffer::small(3).unwrap();
        assert_eq!((small.as_ptr() as usize % PAGE, small.len()), (0, 3));
        let mut buffer = Buffer::zeroed().unwrap();
        assert_eq!((buffer.as_ptr() as usize % HUGE_PAGE, buffer.len()), (0, CHUNK));
        buffer.resize(512);
        buffer[511] = 1;
        assert_eq!(buffer.iter().map(|byte| usize::from(*byte)).sum::<usize>(), 1);
    }
}
