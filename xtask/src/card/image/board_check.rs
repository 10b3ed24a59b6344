//! The check whether a board boots from an image, before the image is written. Where the check of a compressed image
//! has kept too little, of the files of FIRMWARE alone, the first partition with FAT: the rest is checked on the card.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};

use super::Image;
use super::chunk_hash::{CHUNK, read_chunk};
use crate::base::failure::ExitKind;
use crate::base::{is_all_zero, memfd};
use crate::boot::Board;
use crate::card::inspect::{self, MAX_MEMORY, Partition, PartitionTable};

/// How much of the proof of a board an image has told before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoardCheck {
    /// The board boots by the files of the image.
    Whole,
    /// FIRMWARE has what the board needs.
    Firmware,
    /// Nothing: FIRMWARE takes too much memory.
    Nothing,
}

/// Refuses an `image` from which `board` does not boot, or of which that is unknown. Returns what was proved: the rest
/// is on the card alone.
///
/// # Errors
/// `Refused` with the first fault, and an image that cannot be read.
pub fn check_board(image: &Image, board: Board) -> Result<BoardCheck> {
    let path = image.source.path.display();
    let boards = image.facts().boards.unwrap_or_default();
    if let Some(proof) = boards.iter().find(|proof| proof.board == board) {
        proof.require_boots(ExitKind::Refused).with_context(|| path.to_string())?;
        return Ok(BoardCheck::Whole);
    }
    let front = Front::new(&image.layout, image.size, MAX_MEMORY);
    let front = front.and_then(|front| front.read(image.source.stream()?));
    let Some(front) = front.with_context(|| format!("reading FIRMWARE of {path}"))? else {
        return Ok(BoardCheck::Nothing);
    };
    let proof = inspect::prove_firmware(&front, &image.layout, board)?;
    proof.require_boots(ExitKind::Refused).with_context(|| path.to_string())?;
    Ok(BoardCheck::Firmware)
}

/// The beginning of an image up to the end of FIRMWARE, in memory. Blank parts and other partitions take none.
struct Front<'a> {
    layout: &'a PartitionTable,
    file: File,
    /// How many bytes the file may still take.
    left: u64,
}

impl<'a> Front<'a> {
    /// The front of an image of `size` bytes with this `layout`, which may take `memory` bytes.
    fn new(layout: &'a PartitionTable, size: u64, memory: u64) -> Result<Self> {
        let file = memfd::file("beginning of the image")?;
        file.set_len(size)?;
        Ok(Self { layout, file, left: memory })
    }

    /// Reads the front from `stream`, the content of the image; `None` where it takes more memory than it may.
    fn read(mut self, mut stream: impl Read) -> Result<Option<File>> {
        let mut chunk = vec![0; CHUNK];
        let mut at = 0;
        while !self.is_complete(at)? {
            let size = read_chunk(&mut stream, &mut chunk).map_err(|(_, error)| error)?;
            let bytes = &chunk[..size];
            if !is_all_zero(bytes) && self.needs(at..at + size as u64)? {
                let Some(left) = self.left.checked_sub(size as u64) else { return Ok(None) };
                self.left = left;
                self.file.write_all_at(bytes, at)?;
            }
            at += size as u64;
            if size < chunk.len() {
                break;
            }
        }
        Ok(Some(self.file))
    }

    /// Whether the first `end` bytes have all of FIRMWARE.
    fn is_complete(&self, end: u64) -> Result<bool> {
        for partition in &self.layout.partitions {
            if partition.start >= end {
                return Ok(false);
            }
            if self.is_fat(partition)? {
                return Ok(partition.end() <= end);
            }
        }
        Ok(true)
    }

    /// Whether the bytes at `range` have the start of a partition, or belong to one with FAT.
    fn needs(&self, range: std::ops::Range<u64>) -> Result<bool> {
        for partition in &self.layout.partitions {
            let overlaps = partition.start < range.end && range.start < partition.end();
            if overlaps && (partition.start >= range.start || self.is_fat(partition)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether `partition`, whose start is read, has FAT.
    fn is_fat(&self, partition: &Partition) -> Result<bool> {
        let mut sector = [0; 512];
        self.file.read_exact_at(&mut sector, partition.start).context("reading the start of a partition")?;
        Ok(inspect::identify_filesystem(&sector).is_some_and(|found| found.kind.starts_with("FAT")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::inspect::mbr;

    /// An image of 8 MiB with ext4 on a first partition, a second one with FAT, and data behind.
    fn image() -> Vec<u8> {
        let mut bytes = vec![7; 8 << 20];
        let table = mbr(&[(0x83, true, 2048, 6144), (0x0c, false, 8192, 4096), (0x83, false, 12288, 2048)]);
        bytes[..table.len()].copy_from_slice(&table);
        bytes[(4 << 20) + 82..][..8].copy_from_slice(b"FAT32   ");
        bytes[5 << 20..6 << 20].fill(9);
        bytes
    }

    fn front(bytes: &[u8], memory: u64) -> Option<File> {
        let size = bytes.len() as u64;
        let layout = PartitionTable::parse(&bytes[..1 << 20], size).unwrap();
        Front::new(&layout, size, memory).unwrap().read(bytes).unwrap()
    }

    /// A large FIRMWARE behind another partition is read to its end, and nothing else takes memory.
    #[test]
    fn firmware_is_read_wherever_it_is() {
        let file = front(&image(), 3 << 20).unwrap();
        let mut byte = [0];
        for (at, expected) in [(1 << 20, 7), (2 << 20, 0), (4 << 20, 7), ((6 << 20) - 1, 9), (6 << 20, 0)] {
            file.read_exact_at(&mut byte, at).unwrap();
            assert_eq!(byte, [expected], "{at}");
        }
        assert!(front(&image(), (3 << 20) - 1).is_none());
    }

    #[test]
    fn an_image_without_firmware_takes_little_memory() {
        let mut bytes = image();
        bytes[(4 << 20) + 82] = 0;
        assert!(front(&bytes, 3 << 20).is_some());
    }
}
