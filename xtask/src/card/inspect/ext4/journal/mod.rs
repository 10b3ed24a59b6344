//! The journal of a file system that was not unmounted. The next mount replays it, so its blocks replace those of the
//! file system.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use anyhow::{Context, Result};

use super::checksum::{crc32c, crc32c_without};
use super::{Ext4, Inode};
use crate::bail;

/// The first bytes of every control block of a journal. Numbers in a journal are big-endian.
pub const MAGIC: [u8; 4] = [0xc0, 0x3b, 0x39, 0x98];

/// The size of the largest journal, in bytes.
const MAX_JOURNAL: u64 = 1 << 30;

// Types of control blocks.
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const REVOKE: u32 = 5;

// Incompatible features.
const REVOKE_BLOCKS: u32 = 1;
const SIXTY_FOUR_BIT: u32 = 2;
const CHECKSUMS_V2: u32 = 8;
const CHECKSUMS_V3: u32 = 16;
const CHECKSUMS: u32 = CHECKSUMS_V2 | CHECKSUMS_V3;
/// The incompatible features that this reader knows.
const SUPPORTED: u32 = REVOKE_BLOCKS | SIXTY_FOUR_BIT | CHECKSUMS;

// Flags of a tag in a descriptor block.
const ESCAPED: u32 = 1;
const SAME_UUID: u32 = 2;
const LAST_TAG: u32 = 8;

/// The blocks of the file system of which the journal has newer bytes.
#[derive(Debug, Default)]
pub struct Journal {
    /// Where the newer bytes are, by the number of the block.
    locations: HashMap<u64, Location>,
}

/// Where the bytes of a block are.
#[derive(Clone, Copy, Debug)]
pub struct Location {
    /// The number of the block that has the bytes.
    pub block: u64,
    /// Whether the first four bytes, the magic number, were replaced by zeros.
    pub is_escaped: bool,
}

/// The log of a journal, for its replay.
struct Log<'a, 'b> {
    fs: &'a Ext4<'b>,
    inode: Inode,
    features: u32,
    seed: u32,
    /// The first block of the log.
    first: u64,
    /// The block behind the last one.
    end: u64,
}

/// A block in a transaction of the log.
struct LoggedBlock {
    /// The number of the block in the file system.
    number: u64,
    /// Where the journal has the bytes.
    location: Location,
    /// The number of the transaction.
    transaction: u32,
}

/// An entry of a descriptor block, for one of the blocks that follow it.
struct Tag {
    /// The number of the block in the file system.
    number: u64,
    is_escaped: bool,
}

/// The state of a replay.
#[derive(Default)]
struct Replay {
    /// The blocks of committed transactions.
    committed: Vec<LoggedBlock>,
    /// The last committed transaction that revokes a block.
    revoked: HashMap<u64, u32>,
    /// The blocks of the current transaction.
    pending: Vec<LoggedBlock>,
    /// The revoked blocks of the current transaction.
    pending_revokes: Vec<u64>,
}

impl Journal {
    /// Whether the journal has newer bytes of no block.
    pub fn is_empty(&self) -> bool {
        self.locations.is_empty()
    }

    /// Where the newest bytes of block `number` are: in the journal, or in the block itself.
    pub fn locate(&self, number: u64) -> Location {
        let in_place = Location { block: number, is_escaped: false };
        self.locations.get(&number).copied().unwrap_or(in_place)
    }

    /// Reads the journal in the inode `number` of `fs`.
    pub fn read(fs: &Ext4, number: u32) -> Result<Self> {
        Self::read_log(fs, number).context("reading the journal")
    }

    fn read_log(fs: &Ext4, number: u32) -> Result<Self> {
        let inode = fs.inode(number)?;
        if !inode.is_file() || inode.size > MAX_JOURNAL {
            bail!(Verification, "inode {number} is not a journal");
        }
        let head = fs.block(fs.journal_block(&inode, 0)?)?;
        let word = |at: usize| be32(&head[at..]);
        let version = word(4);
        let features = if version == 4 { word(0x28) } else { 0 };
        let first = u64::from(word(0x14));
        let end = u64::from(word(0x10));
        let begin = u64::from(word(0x1c));
        let fits = head[..4] == MAGIC
            && matches!(version, 3 | 4)
            && u64::from(word(0x0c)) == fs.superblock.block_size
            && (1..end).contains(&first)
            && end <= inode.size / fs.superblock.block_size
            && (begin == 0 || (first..end).contains(&begin));
        if !fits {
            bail!(Verification, "the journal is damaged");
        }
        let unsupported = features & !SUPPORTED;
        if unsupported != 0 {
            bail!(Verification, "the journal has features that are not supported ({unsupported:#x})");
        }
        // A log that begins at block 0 is empty.
        if begin == 0 {
            return Ok(Self::default());
        }
        let log = Log { fs, inode, features, seed: crc32c(!0, &head[0x30..0x40]), first, end };
        Ok(Self { locations: log.replay(begin, word(0x18))? })
    }
}

impl Log<'_, '_> {
    /// Where the bytes of the blocks of all committed transactions are, by the number of the block. Reads the log from
    /// block `at` on, where the transaction with the number `transaction` begins. The first block that does not belong
    /// to the expected transaction ends the log.
    fn replay(&self, mut at: u64, mut transaction: u32) -> Result<HashMap<u64, Location>> {
        let mut replay = Replay::default();
        // The log ends where every block of the journal was read once.
        let mut blocks_left = self.end;
        while blocks_left > 0 {
            blocks_left -= 1;
            let block = self.fs.block(self.fs.journal_block(&self.inode, at)?)?;
            if block[..4] != MAGIC || be32(&block[8..]) != transaction || !self.is_intact(&block) {
                break;
            }
            at = self.next_block(at);
            match be32(&block[4..]) {
                DESCRIPTOR => {
                    let tags = descriptor_tags(self.features, &block);
                    for Tag { number, is_escaped } in tags.into_iter().take(usize::try_from(blocks_left)?) {
                        let block = self.fs.journal_block(&self.inode, at)?;
                        let location = Location { block, is_escaped };
                        replay.pending.push(LoggedBlock { number, location, transaction });
                        at = self.next_block(at);
                        blocks_left -= 1;
                    }
                }
                REVOKE => replay.pending_revokes.extend(revoked_blocks(self.features, &block)),
                COMMIT => {
                    replay.commit(transaction);
                    transaction = transaction.wrapping_add(1);
                }
                _ => break,
            }
        }
        Ok(replay.locations())
    }

    /// The block of the log behind `at`. The last one is followed by the first.
    fn next_block(&self, at: u64) -> u64 {
        if at + 1 < self.end { at + 1 } else { self.first }
    }

    /// Whether the checksum of a control block is right, or the journal has none. A commit block has the checksum in
    /// its header, the others in their last four bytes.
    fn is_intact(&self, block: &[u8]) -> bool {
        if self.features & CHECKSUMS == 0 {
            return true;
        }
        let at = if be32(&block[4..]) == COMMIT { 0x10 } else { block.len() - 4 };
        crc32c_without(self.seed, block, &[(at, 4)]) == be32(&block[at..])
    }
}

/// The tags of the descriptor `block` of a journal with these incompatible `features`, in the order of the blocks that
/// follow it.
fn descriptor_tags(features: u32, block: &[u8]) -> Vec<Tag> {
    let is_64bit = features & SIXTY_FOUR_BIT != 0;
    let is_v3 = features & CHECKSUMS_V3 != 0;
    let size = tag_size(features);
    let mut rest = &without_checksum(features, block)[12..];
    let mut tags = Vec::new();
    while let Some(tag) = rest.get(..size) {
        let flags = be32(&tag[4..]) & if is_v3 { u32::MAX } else { 0xffff };
        let high = if is_64bit { u64::from(be32(&tag[8..])) << 32 } else { 0 };
        let number = high | u64::from(be32(tag));
        tags.push(Tag { number, is_escaped: flags & ESCAPED != 0 });
        // A tag without this flag is followed by a UUID of 16 bytes.
        let next = size + if flags & SAME_UUID == 0 { 16 } else { 0 };
        rest = if flags & LAST_TAG == 0 { rest.get(next..).unwrap_or_default() } else { &[] };
    }
    tags
}

/// The size of a tag of a journal with these incompatible `features`, in bytes. As in `journal_tag_bytes` of the
/// kernel, a tag with `CHECKSUMS_V2` is two bytes larger than its fields.
fn tag_size(features: u32) -> usize {
    if features & CHECKSUMS_V3 != 0 {
        return 16;
    }
    let high = if features & SIXTY_FOUR_BIT == 0 { 0 } else { 4 };
    let padding = if features & CHECKSUMS_V2 == 0 { 0 } else { 2 };
    8 + high + padding
}

/// The numbers of the blocks that a revoke `block` of a journal with these incompatible `features` lists.
fn revoked_blocks(features: u32, block: &[u8]) -> Vec<u64> {
    let size = if features & SIXTY_FOUR_BIT == 0 { 4 } else { 8 };
    let content = without_checksum(features, block);
    let end = usize::try_from(be32(&block[12..])).unwrap_or_default().min(content.len());
    let numbers = content.get(16..end).unwrap_or_default().chunks_exact(size);
    numbers.map(|number| number.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))).collect()
}

/// The descriptor or revoke `block` of a journal with these incompatible `features`, without the checksum in its last
/// four bytes; the whole block where the journal has no checksums.
fn without_checksum(features: u32, block: &[u8]) -> &[u8] {
    let tail = if features & CHECKSUMS == 0 { 0 } else { 4 };
    &block[..block.len() - tail]
}

impl Replay {
    /// Commits the current transaction, whose number is `transaction`.
    fn commit(&mut self, transaction: u32) {
        self.committed.append(&mut self.pending);
        self.revoked.extend(self.pending_revokes.drain(..).map(|number| (number, transaction)));
    }

    /// The last committed location of each block, by the number of the block. A revoke cancels the block in its own and
    /// earlier transactions: the block was freed, and may have other content by now.
    fn locations(self) -> HashMap<u64, Location> {
        let is_current = |logged: &LoggedBlock| {
            let revoked_by = self.revoked.get(&logged.number);
            revoked_by.is_none_or(|revoke| is_later(logged.transaction, *revoke))
        };
        let current = self.committed.into_iter().filter(is_current);
        current.map(|logged| (logged.number, logged.location)).collect()
    }
}

/// Whether `transaction` comes after `other`. The numbers of transactions begin again at 0 after the highest one.
fn is_later(transaction: u32, other: u32) -> bool {
    transaction.wrapping_sub(other).cast_signed() > 0
}

/// The big-endian number at the start of `bytes`; 0 where there are fewer than four.
fn be32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |word| u32::from_be_bytes(*word))
}
