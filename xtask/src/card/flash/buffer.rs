//! Buffers that direct input and output accept: they begin at a page boundary.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use memmap2::{Advice, MmapMut};

// What is written at once is what is hashed at once: larger blocks gain nothing, smaller ones cost.
pub use crate::card::image::chunk_hash::CHUNK;

/// Direct access takes buffers that begin at a multiple of this, in bytes; a card writes so much at once.
pub const PAGE: usize = 4096;

/// The size of a huge page on x86-64 and `AArch64`, in bytes. Direct access pins every page of its buffer, and for
/// 256 small ones that takes as long as hashing what is in them; one huge page is worth the memory.
const HUGE_PAGE: usize = 2 << 20;

/// Parts of huge pages that are in no use, each of [`CHUNK`]. They stay this process's for the next buffers.
static FREE: Mutex<Vec<&'static mut [u8]>> = Mutex::new(Vec::new());

/// Bytes that begin at a page boundary, and how many of them are in use.
pub struct Buffer {
    storage: Storage,
    len: usize,
}

enum Storage {
    /// Out of [`FREE`], where it goes back to.
    Part(&'static mut [u8]),
    Own(MmapMut),
}

impl Buffer {
    /// [`CHUNK`] zeros, all in use.
    pub fn zeroed() -> Result<Self> {
        let part = part_of_huge_page()?;
        part.fill(0);
        Ok(Self { storage: Storage::Part(part), len: CHUNK })
    }

    /// A buffer that holds `len` bytes, all zeros and all in use.
    pub fn small(len: usize) -> Result<Self> {
        let own = MmapMut::map_anon(len.next_multiple_of(PAGE)).context("taking memory for a buffer")?;
        Ok(Self { storage: Storage::Own(own), len })
    }

    /// Sets how many bytes are in use.
    pub fn resize(&mut self, len: usize) {
        assert!(len <= self.all().len(), "a buffer does not grow");
        self.len = len;
    }

    fn all(&self) -> &[u8] {
        match &self.storage {
            Storage::Part(part) => part,
            Storage::Own(own) => own,
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Storage::Part(part) = &mut self.storage {
            FREE.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(part));
        }
    }
}

/// [`CHUNK`] bytes in one huge page.
fn part_of_huge_page() -> Result<&'static mut [u8]> {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    if free.is_empty() {
        let room = MmapMut::map_anon(2 * HUGE_PAGE).context("taking memory for a buffer")?;
        // Where the kernel has none to give, small ones do.
        let _ = room.advise(Advice::HugePage);
        let room = &mut Box::leak(Box::new(room))[..];
        let start = room.as_ptr().align_offset(HUGE_PAGE);
        free.extend(room[start..start + HUGE_PAGE].chunks_exact_mut(CHUNK));
    }
    free.pop().context("taking memory for a buffer")
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.all()[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.storage {
            Storage::Part(part) => &mut part[..self.len],
            Storage::Own(own) => &mut own[..self.len],
        }
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
        assert_eq!((buffer.as_ptr() as usize % CHUNK, buffer.len()), (0, CHUNK));
        buffer.resize(512);
        buffer[511] = 1;
        assert_eq!(buffer.iter().map(|byte| usize::from(*byte)).sum::<usize>(), 1);
    }
}
