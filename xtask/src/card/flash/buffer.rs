//! Page-aligned buffers, as direct I/O requires.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use memmap2::{Advice, MmapMut};

// One chunk is both the unit of hashing and of writing: larger writes are no faster, smaller ones are slower.
pub use crate::card::image::chunk_hash::CHUNK;

/// The alignment that direct I/O requires of a buffer, and the size that a card writes in one piece, in bytes.
pub const PAGE: usize = 4096;

/// The size of a huge page on x86-64 and `AArch64`, in bytes. Direct I/O pins every page of its buffer: pinning 256
/// small pages takes as long as hashing their content, so one huge page is worth its memory.
const HUGE_PAGE: usize = 2 << 20;

/// The context of an allocation that fails.
const ALLOCATING: &str = "allocating a buffer";

/// The free list: unused parts of huge pages, of [`CHUNK`] bytes each. The process keeps them for later buffers.
static FREE: Mutex<Vec<&'static mut [u8]>> = Mutex::new(Vec::new());

/// Page-aligned bytes, of which the first `len` are in use.
pub struct Buffer {
    storage: Storage,
    len: usize,
}

enum Storage {
    /// Taken from [`FREE`], and given back when the buffer is dropped.
    Pooled(&'static mut [u8]),
    Mapped(MmapMut),
}

impl Buffer {
    /// A buffer of [`CHUNK`] zeros, all in use.
    pub fn zeroed() -> Result<Self> {
        let part = part_of_huge_page()?;
        part.fill(0);
        Ok(Self { storage: Storage::Pooled(part), len: CHUNK })
    }

    /// A buffer of `len` zeros, all in use.
    pub fn with_len(len: usize) -> Result<Self> {
        let mapped = MmapMut::map_anon(len.next_multiple_of(PAGE)).context(ALLOCATING)?;
        Ok(Self { storage: Storage::Mapped(mapped), len })
    }

    /// Sets how many bytes are in use. Panics where the storage has fewer.
    pub fn resize(&mut self, len: usize) {
        assert!(len <= self.storage_bytes().len(), "a buffer does not grow beyond its storage");
        self.len = len;
    }

    /// All bytes of the storage, also those that are not in use.
    fn storage_bytes(&self) -> &[u8] {
        match &self.storage {
            Storage::Pooled(part) => part,
            Storage::Mapped(mapped) => mapped,
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Storage::Pooled(part) = &mut self.storage {
            FREE.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(part));
        }
    }
}

/// [`CHUNK`] bytes that lie in one huge page.
fn part_of_huge_page() -> Result<&'static mut [u8]> {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    if free.is_empty() {
        // Wherever it begins, a mapping of this size has an aligned huge page inside.
        let mapping = MmapMut::map_anon(2 * HUGE_PAGE).context(ALLOCATING)?;
        // Where the kernel has no huge page to give, small ones serve.
        let _ = mapping.advise(Advice::HugePage);
        let bytes = &mut Box::leak(Box::new(mapping))[..];
        let start = bytes.as_ptr().align_offset(HUGE_PAGE);
        free.extend(bytes[start..start + HUGE_PAGE].chunks_exact_mut(CHUNK));
    }
    free.pop().context(ALLOCATING)
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.storage_bytes()[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.storage {
            Storage::Pooled(part) => &mut part[..self.len],
            Storage::Mapped(mapped) => &mut mapped[..self.len],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_page_aligned_and_resizable() {
        let small = Buffer::with_len(3).unwrap();
        assert_eq!((small.as_ptr() as usize % PAGE, small.len()), (0, 3));
        let mut buffer = Buffer::zeroed().unwrap();
        assert_eq!((buffer.as_ptr() as usize % CHUNK, buffer.len()), (0, CHUNK));
        buffer.resize(512);
        buffer[511] = 1;
        assert_eq!(buffer.iter().map(|byte| usize::from(*byte)).sum::<usize>(), 1);
    }
}
