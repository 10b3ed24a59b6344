//! Finding a few files in an ext4 file system that is read once, from its start to its end, such as that of a
//! compressed image. Which inodes and folders matter is known only after all of them are read. So only a few facts are
//! kept: the blocks of all folders, which files are not empty, and the entries and links with relevant names.
//!
//! Checksums are not verified and the journal is not replayed: the result is for a warning.

mod blocks;
mod facts;
mod inode_tables;
#[cfg(test)]
mod tests;

use super::folder::for_each_entry;
use super::{Inode, le16};
use facts::{Facts, TooManyFacts};

pub use blocks::BlockSplitter;
pub use facts::FoundFiles;
pub use inode_tables::{FoundTables, InodeTables};

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
    blocks: BlockSplitter,
    scanner: Scanner,
}

/// What is kept of the blocks.
struct Scanner {
    tables: InodeTables,
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
                // The head stays small: `InodeTables::read` gives up where the descriptors end late.
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
            State::Blocks(blocks) => blocks.scanner.facts.resolve(),
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
    /// Reads the group descriptors in `head`, the beginning of a file system of `size` bytes, and scans the blocks of
    /// the head.
    fn begin(head: &[u8], size: u64, is_relevant: IsRelevant) -> Begin {
        let tables = match InodeTables::read(head, size) {
            FoundTables::Incomplete => return Begin::Incomplete,
            FoundTables::Unknown => return Begin::Unknown,
            FoundTables::Complete(tables) => tables,
        };
        let blocks = BlockSplitter::new(tables.superblock.block_size);
        let mut scan = Self { blocks, scanner: Scanner { tables, facts: Facts::new(is_relevant) } };
        match scan.feed(head) {
            Ok(()) => Begin::Complete(Box::new(scan)),
            Err(TooManyFacts) => Begin::Unknown,
        }
    }

    /// Scans the blocks that the next `bytes` complete.
    fn feed(&mut self, bytes: &[u8]) -> Result<(), TooManyFacts> {
        let Self { blocks, scanner } = self;
        blocks.feed(bytes, &mut |number, block| scanner.scan_block(number, block))
    }
}

impl Scanner {
    /// Keeps the facts in block `number`, which has `bytes`.
    fn scan_block(&mut self, number: u64, bytes: &[u8]) -> Result<(), TooManyFacts> {
        if let Some(first) = self.tables.first_inode_in(number) {
            return self.keep_inodes(first, bytes);
        }
        let is_node = self.facts.keep_node(number, bytes);
        if is_node || !may_be_folder(bytes) {
            return Ok(());
        }
        self.keep_folder_block(number, bytes)
    }

    /// Keeps the facts of the inodes in `bytes`, the first of which has the number `first`.
    fn keep_inodes(&mut self, first: u32, bytes: &[u8]) -> Result<(), TooManyFacts> {
        let size = usize::try_from(self.tables.superblock.inode_size).map_err(|_| TooManyFacts)?;
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
pub fn may_be_folder(block: &[u8]) -> bool {
    let len = usize::from(le16(&block[4..]));
    let name_len = usize::from(block[6]);
    let file_type = block[7];
    // The length of an entry that fills a block of 64 KiB does not fit into 16 bits.
    let fits = (name_len + 8 <= len && len <= block.len()) || block.len() == 65_536;
    let is_blank = len == 0 && name_len == 0;
    fits && len.is_multiple_of(4) && file_type <= 7 && !is_blank
}
