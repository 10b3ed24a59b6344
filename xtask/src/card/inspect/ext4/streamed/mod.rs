//! Finding a few files in an ext4 file system that is read once, from its start to its end, such as that of a
//! compressed image. Inodes and folders are read long before it is known which of them matter. So only a few facts are
//! kept: the blocks of all folders, which files are not empty, and the entries and links with relevant names.
//!
//! Checksums are not verified and the journal is not replayed: the result is for a warning.

mod facts;
#[cfg(test)]
mod tests;

use super::folder::each_entry;
use super::{Inode, SUPERBLOCK_START, Superblock, le16};
use facts::Facts;

pub use facts::FoundFiles;

/// How much of a file system is kept for its superblock and its group descriptors, in bytes.
const MAX_HEAD: usize = 1 << 20;

/// Whether a name is relevant: it can be a part of the path of a wanted file.
pub type IsRelevant = fn(&[u8]) -> bool;

/// An ext4 file system that is read from its start to its end.
pub struct StreamedExt4 {
    size: u64,
    is_relevant: IsRelevant,
    state: State,
}

enum State {
    /// The bytes so far, while the group descriptors are not complete.
    Head(Vec<u8>),
    Blocks(Box<Blocks>),
    /// The file system is not supported, damaged, or takes too much memory.
    Unknown,
}

/// The blocks behind the head.
struct Blocks {
    superblock: Superblock,
    /// The first block and the group of each inode table, in ascending order.
    tables: Vec<(u64, u32)>,
    /// The number of the next block.
    next: u64,
    /// The bytes of the next block so far.
    partial: Vec<u8>,
    facts: Facts,
}

impl StreamedExt4 {
    /// Reads a partition of `size` bytes.
    pub fn new(size: u64, is_relevant: IsRelevant) -> Self {
        Self { size, is_relevant, state: State::Head(Vec::new()) }
    }

    /// Takes the next `bytes`.
    pub fn feed(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Unknown => {}
            State::Blocks(blocks) => {
                if blocks.feed(bytes).is_none() {
                    self.state = State::Unknown;
                }
            }
            State::Head(head) => {
                // The head stays within `MAX_HEAD`: `Blocks::begin` gives up where the descriptors end later.
                head.extend_from_slice(bytes);
                match Blocks::begin(head, self.size, self.is_relevant) {
                    Begin::Incomplete => {}
                    Begin::Unknown => self.state = State::Unknown,
                    Begin::Complete(blocks) => self.state = State::Blocks(blocks),
                }
            }
        }
    }

    /// The files that were found; none where the file system is unknown.
    pub fn finish(self) -> FoundFiles {
        match self.state {
            State::Blocks(blocks) => blocks.facts.resolve(),
            State::Head(_) | State::Unknown => FoundFiles::default(),
        }
    }
}

enum Begin {
    Incomplete,
    Unknown,
    Complete(Box<Blocks>),
}

impl Blocks {
    /// Reads the superblock and the group descriptors in `head`, and the blocks in it.
    fn begin(head: &[u8], size: u64, is_relevant: IsRelevant) -> Begin {
        let start = usize::try_from(SUPERBLOCK_START).unwrap_or_default();
        let Some(superblock) = head.get(start..2 * start) else { return Begin::Incomplete };
        let Ok(superblock) = Superblock::parse(superblock, size) else { return Begin::Unknown };
        let first = superblock.descriptor_table() * superblock.block_size;
        let last = first.saturating_add(superblock.groups() * superblock.descriptor_size);
        let [Ok(first), Ok(last)] = [first, last].map(usize::try_from) else { return Begin::Unknown };
        if last > MAX_HEAD {
            return Begin::Unknown;
        }
        let Some(table) = head.get(first..last) else { return Begin::Incomplete };
        let descriptors = table.chunks_exact(usize::try_from(superblock.descriptor_size).unwrap_or(64));
        let starts = descriptors.map(|descriptor| superblock.inode_table(descriptor));
        let Ok(starts) = starts.collect::<Result<Vec<_>, _>>() else { return Begin::Unknown };
        let mut tables = starts.into_iter().zip(0..).collect::<Vec<_>>();
        tables.sort_unstable();
        let facts = Facts::new(is_relevant);
        let mut blocks = Self { superblock, tables, next: 0, partial: Vec::new(), facts };
        match blocks.feed(head) {
            Some(()) => Begin::Complete(Box::new(blocks)),
            None => Begin::Unknown,
        }
    }

    /// Takes the next `bytes`; `None` where the facts take too much memory.
    fn feed(&mut self, mut bytes: &[u8]) -> Option<()> {
        let size = usize::try_from(self.superblock.block_size).ok()?;
        if !self.partial.is_empty() {
            let missing = size - self.partial.len();
            let (first, rest) = bytes.split_at(missing.min(bytes.len()));
            self.partial.extend_from_slice(first);
            bytes = rest;
            if self.partial.len() < size {
                return Some(());
            }
            let block = std::mem::take(&mut self.partial);
            self.take_block(&block)?;
        }
        let blocks = bytes.chunks_exact(size);
        self.partial.extend_from_slice(blocks.remainder());
        blocks.into_iter().try_for_each(|block| self.take_block(block))
    }

    /// Keeps the facts in the next block; `None` where they take too much memory.
    fn take_block(&mut self, bytes: &[u8]) -> Option<()> {
        let number = self.next;
        self.next += 1;
        match self.first_inode_in(number) {
            Some(first) => self.keep_inodes(first, bytes),
            None if self.facts.keep_node(number, bytes).is_some() => Some(()),
            None if may_be_folder(bytes) => self.keep_folder_block(number, bytes),
            None => Some(()),
        }
    }

    /// The number of the first inode in block `number`, if this is part of an inode table.
    fn first_inode_in(&self, number: u64) -> Option<u32> {
        let table = self.tables.partition_point(|(start, _)| *start <= number).checked_sub(1)?;
        let (start, group) = self.tables[table];
        let index = number - start;
        let superblock = &self.superblock;
        if index >= superblock.inode_table_blocks() {
            return None;
        }
        let inodes_before = u32::try_from(index * superblock.block_size / superblock.inode_size).ok()?;
        group.checked_mul(superblock.inodes_in_group)?.checked_add(inodes_before)?.checked_add(1)
    }

    /// Keeps the facts of the inodes in `bytes`, the first of which has the number `first`.
    fn keep_inodes(&mut self, first: u32, bytes: &[u8]) -> Option<()> {
        let size = usize::try_from(self.superblock.inode_size).ok()?;
        for (slot, number) in bytes.chunks_exact(size).zip(first..) {
            let links = le16(&slot[0x1a..]);
            // An inode without a name is deleted.
            if links == 0 {
                continue;
            }
            if let Ok(inode) = Inode::parse(number, slot, None) {
                self.facts.keep_inode(&inode)?;
            }
        }
        Some(())
    }

    /// Keeps the relevant entries of block `number`, if it is one of a folder.
    fn keep_folder_block(&mut self, number: u64, bytes: &[u8]) -> Option<()> {
        let mut entries = Vec::new();
        let is_relevant = self.facts.is_relevant;
        let mut each = |name: &[u8], inode| {
            if is_relevant(name) {
                entries.push((name.into(), inode));
            }
        };
        match each_entry(bytes, &mut each) {
            Ok(()) => self.facts.keep_entries(number, entries),
            Err(_) => Some(()),
        }
    }
}

/// Whether a block may begin with an entry of a folder: most blocks are the content of files.
fn may_be_folder(block: &[u8]) -> bool {
    let len = usize::from(le16(&block[4..]));
    let fits = usize::from(block[6]) + 8 <= len && len <= block.len();
    (fits || block.len() == 65_536) && len.is_multiple_of(4) && block[7] <= 7 && (len > 0 || block[6] > 0)
}
