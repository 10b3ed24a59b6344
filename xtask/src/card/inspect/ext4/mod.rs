//! As much of ext4 as it takes to read a file by its path. Nothing that a file system says of itself is believed: each
//! number is checked, each step is paid for from a [`Budget`], and no more memory is taken than one folder needs.

mod checksum;
mod folder;
mod inode;
mod journal;
mod mapping;
mod path;
mod superblock;
#[cfg(test)]
pub(crate) mod tests;

use std::cell::RefCell;
use std::fs::File;

use anyhow::Result;

use super::budget::{Budget, Limited};
use checksum::{crc32c, crc32c_without};
use folder::Folders;
use journal::Journal;

pub use inode::Inode;
pub use superblock::{SIZE, START, Superblock};

/// A file system that is read.
#[derive(Debug)]
pub struct Ext4<'a> {
    disk: Limited<'a>,
    facts: Superblock,
    journal: Journal,
    folders: RefCell<Folders>,
}

impl<'a> Ext4<'a> {
    /// The file system in the `size` bytes of `disk` from `start` on.
    ///
    /// # Errors
    /// What is no ext4, or a damaged one.
    pub fn open(disk: &'a File, start: u64, size: u64, budget: Budget<'a>) -> Result<Self> {
        let disk = Limited::new(disk, start, size, budget);
        let mut bytes = [0; SIZE];
        disk.read(START, &mut bytes)?;
        let facts = Superblock::parse(&bytes, disk.size())?;
        let mut found = Self { disk, facts, journal: Journal::default(), folders: RefCell::default() };
        if let Some(inode) = found.facts.journal {
            found.journal = Journal::read(&found, inode)?;
        }
        Ok(found)
    }

    /// Block `number`, as it is once the journal is played back.
    fn block(&self, number: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.facts.block)?];
        let (place, escaped) = self.journal.place(number);
        self.raw(place, &mut bytes)?;
        if escaped {
            bytes[..4].copy_from_slice(&journal::MAGIC);
        }
        Ok(bytes)
    }

    /// The bytes of block `number` and of those behind it. Block 0 is none of a file.
    fn raw(&self, number: u64, bytes: &mut [u8]) -> Result<()> {
        let count = (bytes.len() as u64).div_ceil(self.facts.block);
        let inside = number > 0 && number.checked_add(count).is_some_and(|end| end <= self.facts.blocks);
        if !inside {
            return Err(superblock::wrong(&format!("block {number} of a file lies beyond its end")));
        }
        self.disk.read(number * self.facts.block, bytes)
    }

    /// Pays for a step that reads nothing.
    fn step(&self) -> Result<()> {
        self.disk.budget.spend(64)
    }

    fn inode(&self, number: u32) -> Result<Inode> {
        let facts = &self.facts;
        let index = number.checked_sub(1).filter(|_| number <= facts.inodes);
        let index = index.ok_or_else(|| superblock::wrong(&format!("there is no inode {number}")))?;
        let (group, index) = (index / facts.inodes_in_group, u64::from(index % facts.inodes_in_group));
        let table = facts.inode_table(&self.descriptor(group)?)?;
        let at = index * facts.inode_size;
        let block = self.block(table + at / facts.block)?;
        let at = usize::try_from(at % facts.block)?;
        let bytes = &block[at..at + usize::try_from(facts.inode_size)?];
        Inode::parse(number, bytes, facts.seed)
    }

    /// The entry of `group` in the list of groups.
    fn descriptor(&self, group: u32) -> Result<Vec<u8>> {
        let facts = &self.facts;
        let at = u64::from(group) * facts.descriptor;
        let block = self.block(facts.list() + at / facts.block)?;
        let at = usize::try_from(at % facts.block)?;
        let bytes = block[at..at + usize::try_from(facts.descriptor)?].to_vec();
        let Some(seed) = facts.seed else { return Ok(bytes) };
        let sum = crc32c_without(crc32c(seed, &group.to_le_bytes()), &bytes, &[(0x1e, 2)]);
        if sum.to_le_bytes()[..2] == bytes[0x1e..0x20] {
            return Ok(bytes);
        }
        Err(superblock::wrong(&format!("the checksum of group {group} is wrong")))
    }
}

fn le16(bytes: &[u8]) -> u16 {
    bytes.first_chunk().map_or(0, |word| u16::from_le_bytes(*word))
}
