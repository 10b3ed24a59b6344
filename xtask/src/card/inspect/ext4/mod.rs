//! A reader of ext4 that finds files by their paths. The reader trusts no number of the file system: each number is
//! checked, each step spends from a [`Budget`], and the memory is limited to that of the cached folders.

mod checksum;
mod file_reader;
mod folder;
mod inode;
mod journal;
mod kept_blocks;
mod mapping;
mod path;
mod streamed;
mod superblock;
#[cfg(test)]
pub(crate) mod tests;

use std::cell::RefCell;

use anyhow::Result;

use super::budget::{Budget, LimitedRegion};
use super::read_at::ReadAt;
use crate::bail;
use checksum::{crc32c, crc32c_without};
use folder::FolderCache;
use journal::{Journal, Location};

pub use inode::Inode;
pub use kept_blocks::KeptBlocks;
pub use streamed::{FoundFiles, StreamedExt4};
pub use superblock::{SUPERBLOCK_SIZE, SUPERBLOCK_START, Superblock};

/// An open file system.
#[derive(Debug)]
pub struct Ext4<'a> {
    region: LimitedRegion<'a>,
    superblock: Superblock,
    journal: Journal,
    folders: RefCell<FolderCache>,
}

impl<'a> Ext4<'a> {
    /// Opens the file system in the `size` bytes of `disk` from `start` on.
    ///
    /// # Errors
    /// Bytes that are no ext4, or a damaged one.
    pub fn open(disk: &'a dyn ReadAt, start: u64, size: u64, budget: Budget<'a>) -> Result<Self> {
        let region = LimitedRegion::new(disk, start, size, budget);
        let mut bytes = [0; SUPERBLOCK_SIZE];
        region.read(SUPERBLOCK_START, &mut bytes)?;
        let superblock = Superblock::parse(&bytes, region.size())?;
        let mut opened =
            Self { region, superblock, journal: Journal::default(), folders: RefCell::default() };
        if let Some(inode) = opened.superblock.journal {
            opened.journal = Journal::read(&opened, inode)?;
        }
        Ok(opened)
    }

    /// The bytes of block `number`, as they are after the replay of the journal.
    fn block(&self, number: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.superblock.block_size)?];
        let Location { block, is_escaped } = self.journal.locate(number);
        self.read_blocks(block, &mut bytes)?;
        if is_escaped {
            bytes[..4].copy_from_slice(&journal::MAGIC);
        }
        Ok(bytes)
    }

    /// Fills `bytes` from block `number` on, whatever the journal has. Block 0 is refused, because it belongs to no
    /// file.
    fn read_blocks(&self, number: u64, bytes: &mut [u8]) -> Result<()> {
        let count = (bytes.len() as u64).div_ceil(self.superblock.block_size);
        let inside = number > 0 && number.checked_add(count).is_some_and(|end| end <= self.superblock.blocks);
        if !inside {
            let all = self.superblock.blocks;
            bail!(
                Verification,
                "no file can have {count} blocks from block {number} on: the file system has {all}"
            );
        }
        self.region.read(number * self.superblock.block_size, bytes)
    }

    /// Spends from the budget the price of a step that reads no bytes.
    fn spend_step(&self) -> Result<()> {
        self.region.budget.spend(64)
    }

    /// Inode `number`.
    fn inode(&self, number: u32) -> Result<Inode> {
        let superblock = &self.superblock;
        if !(1..=superblock.inodes).contains(&number) {
            bail!(Verification, "there is no inode {number}");
        }
        let index = number - 1;
        let group = index / superblock.inodes_in_group;
        let table = superblock.inode_table(&self.descriptor(group)?)?;
        let offset = u64::from(index % superblock.inodes_in_group) * superblock.inode_size;
        let block = self.block(table + offset / superblock.block_size)?;
        let at = usize::try_from(offset % superblock.block_size)?;
        let bytes = &block[at..at + usize::try_from(superblock.inode_size)?];
        Inode::parse(number, bytes, superblock.seed)
    }

    /// The descriptor of `group`.
    fn descriptor(&self, group: u32) -> Result<Vec<u8>> {
        let superblock = &self.superblock;
        let offset = u64::from(group) * superblock.descriptor_size;
        let block = self.block(superblock.descriptor_table() + offset / superblock.block_size)?;
        let at = usize::try_from(offset % superblock.block_size)?;
        let bytes = block[at..at + usize::try_from(superblock.descriptor_size)?].to_vec();
        let Some(seed) = superblock.seed else { return Ok(bytes) };
        let sum = crc32c_without(crc32c(seed, &group.to_le_bytes()), &bytes, &[(0x1e, 2)]);
        if sum.to_le_bytes()[..2] != bytes[0x1e..0x20] {
            bail!(Verification, "the checksum of block group {group} is wrong");
        }
        Ok(bytes)
    }
}

/// The little-endian number at the start of `bytes`; 0 where there are fewer than two.
fn le16(bytes: &[u8]) -> u16 {
    bytes.first_chunk().map_or(0, |word| u16::from_le_bytes(*word))
}
