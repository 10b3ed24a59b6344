//! Finding a few files in an ext4 file system that is read once, from its start to its end, such as that of a
//! compressed image. Which inodes and folders matter is known only after all of them are read. So only a few facts are
//! kept: the blocks of all folders, which files are not empty, and the entries and links with relevant names.
//!
//! Checksums are not verified and the journal is not replayed: the result is for a warning.

mod facts;
#[cfg(test)]
mod tests;

use super::folder::for_each_entry;
use super::{Inode, SUPERBLOCK_START, Superblock, le16};
use facts::{Facts, TooManyFacts};

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

/// How far the file system is read.
enum State {
    /// The bytes so far, while the group descriptors are not complete.
    Head(Vec<u8>),
    Blocks(Box<BlockScan>),
    /// The file system is not supported, damaged, or takes too much memory.
    Unknown,
}

/// The scan of all blocks, in order. It begins when the group descriptors are complete.
struct BlockScan {
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
                if blocks.feed(bytes).is_err() {
                    self.state = State::Unknown;
                }
            }
            State::Head(head) => {
                // The head stays within `MAX_HEAD`: `BlockScan::begin` gives up where the descriptors end later.
                head.extend_from_slice(bytes);
                match BlockScan::begin(head, self.size, self.is_relevant) {
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

/// The result of [`BlockScan::begin`].
enum Begin {
    /// The head does not have all group descriptors yet.
    Incomplete,
    /// The file system is not supported, damaged, or takes too much memory.
    Unknown,
    Complete(Box<BlockScan>),
}

impl BlockScan {
    /// Reads the superblock and the group descriptors in `head`, the beginning of a file system of `size` bytes, and
    /// scans the blocks of the head.
    fn begin(head: &[u8], size: u64, is_relevant: IsRelevant) -> Begin {
        let start = usize::try_from(SUPERBLOCK_START).unwrap_or_default();
        let Some(bytes) = head.get(start..2 * start) else { return Begin::Incomplete };
        let Ok(superblock) = Superblock::parse(bytes, size) else { return Begin::Unknown };
        let table_start = superblock.descriptor_table() * superblock.block_size;
        let table_end = table_start.saturating_add(superblock.groups() * superblock.descriptor_size);
        let [Ok(table_start), Ok(table_end)] = [table_start, table_end].map(usize::try_from) else {
            return Begin::Unknown;
        };
        if table_end > MAX_HEAD {
            return Begin::Unknown;
        }
        let Some(table) = head.get(table_start..table_end) else { return Begin::Incomplete };
        let descriptors = table.chunks_exact(usize::try_from(superblock.descriptor_size).unwrap_or(64));
        let starts = descriptors.map(|descriptor| superblock.inode_table(descriptor));
        let Ok(starts) = starts.collect::<Result<Vec<_>, _>>() else { return Begin::Unknown };
        let mut tables = starts.into_iter().zip(0..).collect::<Vec<_>>();
        tables.sort_unstable();
        let facts = Facts::new(is_relevant);
        let mut blocks = Self { superblock, tables, next: 0, partial: Vec::new(), facts };
        match blocks.feed(head) {
            Ok(()) => Begin::Complete(Box::new(blocks)),
            Err(TooManyFacts) => Begin::Unknown,
        }
    }

    /// Scans the blocks that the next `bytes` complete.
    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), TooManyFacts> {
        let size = usize::try_from(self.superblock.block_size).map_err(|_| TooManyFacts)?;
        if !self.partial.is_empty() {
            let missing = size - self.partial.len();
            let (first, rest) = bytes.split_at(missing.min(bytes.len()));
            self.partial.extend_from_slice(first);
            bytes = rest;
            if self.partial.len() < size {
                return Ok(());
            }
            let block = std::mem::take(&mut self.partial);
            self.scan_block(&block)?;
        }
        let blocks = bytes.chunks_exact(size);
        self.partial.extend_from_slice(blocks.remainder());
        blocks.into_iter().try_for_each(|block| self.scan_block(block))
    }

    /// Keeps the facts in the next block, which has `bytes`.
    fn scan_block(&mut self, bytes: &[u8]) -> Result<(), TooManyFacts> {
        let number = self.next;
        self.next += 1;
        if let Some(first) = self.first_inode_in(number) {
            return self.keep_inodes(first, bytes);
        }
        let is_node = self.facts.keep_node(number, bytes);
        if is_node || !may_be_folder(bytes) {
            return Ok(());
        }
        self.keep_folder_block(number, bytes)
    }

    /// The number of the first inode in block `number`; `None` for a block outside the inode tables.
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
    fn keep_inodes(&mut self, first: u32, bytes: &[u8]) -> Result<(), TooManyFacts> {
        let size = usize::try_from(self.superblock.inode_size).map_err(|_| TooManyFacts)?;
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
        Ok(())
    }

    /// Keeps the relevant entries of block `number`, if all of the block is entries of a folder.
    fn keep_folder_block(&mut self, number: u64, bytes: &[u8]) -> Result<(), TooManyFacts> {
        let mut entries = Vec::new();
        let is_relevant = self.facts.is_relevant;
        let mut each = |name: &[u8], inode| {
            if is_relevant(name) {
                entries.push((name.into(), inode));
            }
        };
        match for_each_entry(bytes, &mut each) {
            Ok(()) => self.facts.keep_entries(number, entries),
            Err(_) => Ok(()),
        }
    }
}

/// Whether a block may begin with an entry of a folder: most blocks are the content of files.
fn may_be_folder(block: &[u8]) -> bool {
    let len = usize::from(le16(&block[4..]));
    let name_len = usize::from(block[6]);
    let file_type = block[7];
    // The length of an entry that fills a block of 64 KiB does not fit into 16 bits.
    let fits = (name_len + 8 <= len && len <= block.len()) || block.len() == 65_536;
    let is_blank = len == 0 && name_len == 0;
    fits && len.is_multiple_of(4) && file_type <= 7 && !is_blank
}
