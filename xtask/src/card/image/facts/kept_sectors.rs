//! The sectors of an image that are kept in memory. Sectors of zeros take none.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::Range;

use crate::base::is_all_zero;
use crate::card::inspect::{MAX_MEMORY, ReadAt};

/// The size of a sector in bytes.
const SECTOR: usize = 512;

/// The error where the sectors take more than [`MAX_MEMORY`].
#[derive(Debug)]
pub struct TooManySectors;

/// The sectors that are kept of an image. A read of others fails, and is noted.
#[derive(Default)]
pub struct KeptSectors {
    /// The parts of the image that are known, in bytes, in ascending order.
    known: Vec<Range<u64>>,
    /// The numbers of the sectors that are not blank, in ascending order.
    numbers: Vec<u64>,
    /// Their content, in the same order.
    content: Vec<u8>,
    /// Whether a read has missed a sector that is not kept.
    is_missed: Cell<bool>,
}

impl fmt::Debug for KeptSectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptSectors").field("bytes", &self.content.len()).finish_non_exhaustive()
    }
}

impl KeptSectors {
    /// Keeps `bytes`, whole sectors from the position `at` on, which is behind all that is kept.
    ///
    /// # Errors
    /// Where the sectors would take too much memory.
    pub fn keep(&mut self, at: u64, bytes: &[u8]) -> Result<(), TooManySectors> {
        match self.known.last_mut() {
            Some(last) if last.end == at => last.end += bytes.len() as u64,
            _ => self.known.push(at..at + bytes.len() as u64),
        }
        let first = at / SECTOR as u64;
        for (number, sector) in (first..).zip(bytes.chunks_exact(SECTOR)) {
            if !is_all_zero(sector) {
                self.numbers.push(number);
                self.content.extend_from_slice(sector);
            }
        }
        if self.memory() <= MAX_MEMORY { Ok(()) } else { Err(TooManySectors) }
    }

    /// The memory that is taken, in bytes.
    fn memory(&self) -> u64 {
        let ranges = self.known.len() * size_of::<Range<u64>>();
        (ranges + self.numbers.len() * size_of::<u64>() + self.content.len()) as u64
    }

    /// Whether a read has missed a sector since the last call.
    pub fn take_is_missed(&self) -> bool {
        self.is_missed.take()
    }

    /// Whether the `count` bytes at the position `at` are known.
    fn is_known(&self, at: u64, count: usize) -> bool {
        let index = self.known.partition_point(|range| range.start <= at);
        let range = index.checked_sub(1).map(|index| &self.known[index]);
        range.is_some_and(|range| range.end - range.start >= at - range.start + count as u64)
    }

    /// The content of sector `number`; `None` for a blank one.
    fn sector(&self, number: u64) -> Option<&[u8]> {
        let index = self.numbers.binary_search(&number).ok()?;
        self.content.get(index * SECTOR..(index + 1) * SECTOR)
    }
}

impl ReadAt for KeptSectors {
    fn fill(&self, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
        if !self.is_known(at, bytes.len()) {
            self.is_missed.set(true);
            return Err(io::Error::other("this part of the compressed image was not kept"));
        }
        while !bytes.is_empty() {
            let offset = usize::try_from(at % SECTOR as u64).map_err(io::Error::other)?;
            let count = bytes.len().min(SECTOR - offset);
            let (piece, rest) = bytes.split_at_mut(count);
            match self.sector(at / SECTOR as u64) {
                Some(sector) => piece.copy_from_slice(&sector[offset..offset + count]),
                None => piece.fill(0),
            }
            bytes = rest;
            at += count as u64;
        }
        Ok(())
    }
}
