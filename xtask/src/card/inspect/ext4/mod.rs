//! A reader of ext4 that finds files by their paths. It trusts no number of the file system: each is checked, each step
//! is spent from a [`Budget`], and the memory is limited to that of one folder.

mod checksum;
mod folder;
mod inode;
mod journal;
mod mapping;
mod path;
mod streamed;
mod superblock;
#[cfg(test)]
pub(crate) mod tests;

use std::cell::RefCell;
use std::fs::File;

use anyhow::Result;

use super::budget::{Budget, LimitedRegion};
use crate::bail;
use checksum::{crc32c, crc32c_without};
use folder::Folders;
use journal::Journal;

pub use inode::Inode;
pub use streamed::StreamedExt4;
pub use superblock::{SUPERBLOCK_SIZE, SUPERBLOCK_START, Superblock};

/// An open file system.
#[derive(Debug)]
pub struct Ext4<'a> {
    disk: LimitedRegion<'a>,
    superblock: Superblock,
    journal: Journal,
    folders: RefCell<Folders>,
}

impl<'a> Ext4<'a> {
    /// Opens the file system in the `size` bytes of `disk` from `start` on.
    ///
    /// # Errors
    /// Bytes that are no ext4, or a damaged one.
    pub fn open(disk: &'a File, start: u64, size: u64, budget: Budget<'a>) -> Result<Self> {
        let disk = LimitedRegion::new(disk, start, size, budget);
        let mut bytes = [0; SUPERBLOCK_SIZE];
        disk.read(SUPERBLOCK_START, &mut bytes)?;
        let superblock = Superblock::parse(&bytes, disk.size())?;
        let mut opened = Self { disk, superblock, journal: Journal::default(), folders: RefCell::default() };
        if let Some(inode) = opened.superblock.journal {
            opened.journal = Journal::read(&opened, inode)?;
        }
        Ok(opened)
    }

    /// Block `number`, as it is after the replay of the journal.
    fn block(&self, number: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.superblock.block_size)?];
        let (location, escaped) = self.journal.locate(number);
        self.raw(location, &mut bytes)?;
        if escaped {
            bytes[..4].copy_from_slice(&journal::MAGIC);
        }
        Ok(bytes)
    }

    /// Fills `bytes` from block `number` on. Block 0 belongs to no file.
    fn raw(&self, number: u64, bytes: &mut [u8]) -> Result<()> {
        let count = (bytes.len() as u64).div_ceil(self.superblock.block_size);
        let inside = number > 0 && number.checked_add(count).is_some_and(|end| end <= self.superblock.blocks);
        if !inside {
            bail!(Verification, "block {number} lies beyond the end of the file system");
        }
        self.disk.read(number * self.superblock.block_size, bytes)
    }

    /// Spends a step that reads nothing from the budget.
    fn spend_step(&self) -> Result<()> {
        self.disk.budget.spend(64)
    }

    fn inode(&self, number: u32) -> Result<Inode> {
        let superblock = &self.superblock;
        let Some(index) = number.checked_sub(1).filter(|_| number <= superblock.inodes) else {
            bail!(Verification, "there is no inode {number}");
        };
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
            bail!(Verification, "the checksum of group {group} is wrong");
        }
        Ok(bytes)
    }
}

fn le16(bytes: &[u8]) -> u16 {
    bytes.first_chunk().map_or(0, |word| u16::from_le_bytes(*word))
}
