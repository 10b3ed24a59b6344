//! The blocks that are worth keeping of an ext4 that is read once, from its start to its end, such as that of a
//! compressed image: with these, [`Ext4`](super::Ext4) finds later what it looks for. The others are files of programs.
//!
//! A block is judged by its bytes, as its file may be known only after it: kept are all inodes and folders, and of the
//! files those blocks that look like a login key, a boot menu, an `fstab`, the target of a link or the start of a
//! kernel.

use memchr::memmem;

use super::folder::for_each_entry;
use super::journal;
use super::streamed::{BlockSplitter, FoundTables, InodeTables, may_be_folder};
use crate::base::is_all_zero;

/// What a block has that is kept of a file.
const WORDS: &[&[u8]] = &[
    // Every public key of ssh: the length of the name of its type, in base64.
    b"AAAA",
    // The boot menu.
    b"init=/nix/store/",
    // An `fstab` of NixOS.
    b"# <file system>",
    b" ext4 ",
];

/// How much of a block decides whether it is text, in bytes: most files of programs are none, and are not searched.
const TEXT: usize = 64;

/// How the content of a file begins that is kept: the long target of a link.
const LINK: &[u8] = b"/nix/store/";

/// The position of the magic number in the header of a kernel, and the number.
const KERNEL: (usize, &[u8]) = (56, b"ARM\x64");

/// The first bytes of a node of an extent tree.
const EXTENT_NODE: &[u8] = &[0x0a, 0xf3];

/// Chooses the blocks.
#[derive(Debug)]
pub struct KeptBlocks {
    /// The size of the partition in bytes.
    size: u64,
    state: State,
}

/// How far the file system is read.
#[derive(Debug)]
enum State {
    /// The bytes so far, while the group descriptors are not complete.
    Head(Vec<u8>),
    Blocks(Box<(InodeTables, BlockSplitter)>),
    /// The file system is not supported or damaged: nothing is kept.
    Unknown,
}

impl KeptBlocks {
    /// Reads a partition of `size` bytes.
    pub fn new(size: u64) -> Self {
        Self { size, state: State::Head(Vec::new()) }
    }

    /// Takes the next `bytes`, and calls `keep` with the position in the partition and the bytes of each block that is
    /// kept.
    ///
    /// # Errors
    /// Those of `keep`.
    pub fn feed<E>(
        &mut self,
        bytes: &[u8],
        keep: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match &mut self.state {
            State::Unknown => Ok(()),
            State::Blocks(blocks) => feed_blocks(blocks, bytes, keep),
            State::Head(head) => {
                head.extend_from_slice(bytes);
                match InodeTables::read(head, self.size) {
                    FoundTables::Incomplete => Ok(()),
                    FoundTables::Unknown => {
                        self.state = State::Unknown;
                        Ok(())
                    }
                    FoundTables::Complete(tables) => {
                        let head = std::mem::take(head);
                        let splitter = BlockSplitter::new(tables.superblock.block_size);
                        let mut blocks = Box::new((tables, splitter));
                        let fed = feed_blocks(&mut blocks, &head, keep);
                        self.state = State::Blocks(blocks);
                        fed
                    }
                }
            }
        }
    }
}

/// Keeps the blocks that the next `bytes` complete.
fn feed_blocks<E>(
    (tables, splitter): &mut (InodeTables, BlockSplitter),
    bytes: &[u8],
    keep: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    splitter.feed(bytes, &mut |number, block| {
        let position = number * tables.superblock.block_size;
        let is_kept = position < tables.descriptors_end
            || tables.first_inode_in(number).is_some()
            || is_metadata(block)
            || is_of_interest(block);
        if is_kept { keep(position, block) } else { Ok(()) }
    })
}

/// Whether `block` may be a part of a folder, of an extent tree or of the journal. A blank block is kept too: it costs
/// nothing.
fn is_metadata(block: &[u8]) -> bool {
    block.starts_with(EXTENT_NODE)
        || block.starts_with(&journal::MAGIC)
        || is_all_zero(block)
        || may_be_folder(block) && for_each_entry(block, &mut |_, _| ()).is_ok()
}

/// Whether `block` may be the content of a file that tells who logs in or what boots.
fn is_of_interest(block: &[u8]) -> bool {
    let (at, magic) = KERNEL;
    block.starts_with(LINK)
        || block[at..].starts_with(magic)
        || (begins_as_text(block) && WORDS.iter().any(|word| memmem::find(block, word).is_some()))
}

/// Whether `block` may be text, perhaps up to a null byte.
fn begins_as_text(block: &[u8]) -> bool {
    let start = &block[..TEXT.min(block.len())];
    let text = start.split(|byte| *byte == 0).next().unwrap_or_default();
    !text.is_empty() && text.iter().all(|byte| !byte.is_ascii_control() || b"\t\n\r".contains(byte))
}
