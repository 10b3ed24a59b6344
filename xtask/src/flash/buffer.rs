//! Buffers that direct input and output accept: they begin at a page boundary.

use std::ops::{Deref, DerefMut};

// What is written at once is what is hashed at once: larger blocks gain nothing, smaller ones cost.
pub use crate::image::content::CHUNK;

const PAGE: usize = 4096;

/// Bytes that begin at a page boundary, and how many of them are in use.
pub struct Buffer {
    storage: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// [`CHUNK`] zeros, all in use.
    pub fn zeroed() -> Self {
        Self::small(CHUNK)
    }

    /// A buffer that holds `len` bytes, all zeros and all in use.
    pub fn small(len: usize) -> Self {
        let storage = vec![0; len + PAGE];
        let start = storage.as_ptr().align_offset(PAGE);
        Self { storage, start, len }
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
        let mut buffer = Buffer::zeroed();
        assert_eq!((buffer.as_ptr() as usize % PAGE, buffer.len()), (0, CHUNK));
        buffer.resize(512);
        buffer[511] = 1;
        assert_eq!(buffer.iter().map(|byte| usize::from(*byte)).sum::<usize>(), 1);
    }
}
