//! The journal of a file system that was not unmounted: what the blocks in it say counts, as it is played back when the
//! system starts.

use std::collections::HashMap;

use anyhow::{Context, Result};

use super::checksum::{crc32c, crc32c_without};
use super::superblock::wrong;
use super::{Ext4, Inode};

/// What every block of a journal that is none of a file begins with. It counts with the highest byte first.
pub const MAGIC: [u8; 4] = [0xc0, 0x3b, 0x39, 0x98];

/// No journal is larger, in bytes.
const LARGEST: u64 = 1 << 30;

// Kinds of blocks.
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const REVOKE: u32 = 5;

// Features.
const WIDE: u32 = 2;
const SUMS_2: u32 = 8;
const SUMS_3: u32 = 16;
const KNOWN: u32 = 1 | WIDE | SUMS_2 | SUMS_3;

// What a descriptor says of a block.
const ESCAPED: u32 = 1;
const SAME: u32 = 2;
const LAST: u32 = 8;

/// Where blocks of the file system are in the journal, and whether their first bytes were replaced there.
#[derive(Debug, Default)]
pub struct Journal {
    blocks: HashMap<u64, (u64, bool)>,
}

/// A journal that is read.
struct Log<'a, 'b> {
    fs: &'a Ext4<'b>,
    inode: Inode,
    features: u32,
    seed: u32,
    /// Its first block and the one behind its last.
    first: u64,
    end: u64,
}

/// A block that a transaction has written, and the number of that.
struct Written {
    block: u64,
    place: u64,
    escaped: bool,
    transaction: u32,
}

impl Journal {
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Where block `number` is, and whether it is to get the magic number back.
    pub fn place(&self, number: u64) -> (u64, bool) {
        self.blocks.get(&number).copied().unwrap_or((number, false))
    }

    /// Reads the journal in the inode `number` of `fs`.
    pub fn read(fs: &Ext4, number: u32) -> Result<Self> {
        let doing = "reading its journal";
        let inode = fs.inode(number).context(doing)?;
        if !inode.is_file() || inode.size > LARGEST {
            return Err(wrong("it is none")).context(doing);
        }
        let head = fs.block(fs.journal_block(&inode, 0)?).context(doing)?;
        let word = |at: usize| be32(&head[at..]);
        let features = if word(4) == 4 { word(0x28) } else { 0 };
        let (first, end, begin) = (u64::from(word(0x14)), u64::from(word(0x10)), u64::from(word(0x1c)));
        let fits = head[..4] == MAGIC
            && matches!(word(4), 3 | 4)
            && u64::from(word(0x0c)) == fs.facts.block
            && (1..end).contains(&first)
            && end <= inode.size / fs.facts.block
            && (begin == 0 || (first..end).contains(&begin));
        if !fits || features & !KNOWN != 0 {
            return Err(wrong("it is damaged, or has features that are not known here")).context(doing);
        }
        let log = Log { fs, inode, features, seed: crc32c(!0, &head[0x30..0x40]), first, end };
        let blocks = if begin == 0 { HashMap::new() } else { log.play(begin, word(0x18)).context(doing)? };
        Ok(Self { blocks })
    }
}

impl Log<'_, '_> {
    /// The transactions that are whole, from that with the number `transaction` in block `at` on. The first block that
    /// does not belong to it ends it.
    fn play(&self, mut at: u64, mut transaction: u32) -> Result<HashMap<u64, (u64, bool)>> {
        let (mut written, mut revoked, mut left) = (Vec::new(), HashMap::new(), self.end);
        let (mut pending, mut withdrawn) = (Vec::new(), Vec::new());
        while let Some(rest) = left.checked_sub(1) {
            left = rest;
            let block = self.fs.block(self.fs.journal_block(&self.inode, at)?)?;
            if block[..4] != MAGIC || be32(&block[8..]) != transaction || !self.is_sealed(&block) {
                break;
            }
            at = self.after(at);
            match be32(&block[4..]) {
                DESCRIPTOR => {
                    for (number, escaped) in self.tags(&block) {
                        let place = self.fs.journal_block(&self.inode, at)?;
                        pending.push(Written { block: number, place, escaped, transaction });
                        (at, left) = (self.after(at), left.saturating_sub(1));
                        if left == 0 {
                            break;
                        }
                    }
                }
                REVOKE => withdrawn.extend(self.revoked(&block)),
                COMMIT => {
                    written.append(&mut pending);
                    revoked.extend(withdrawn.drain(..).map(|block| (block, transaction)));
                    transaction = transaction.wrapping_add(1);
                }
                _ => break,
            }
        }
        // A block that was freed later may hold something else by now.
        written.retain(|it| {
            revoked.get(&it.block).is_none_or(|at| it.transaction.wrapping_sub(*at).cast_signed() > 0)
        });
        Ok(written.into_iter().map(|it| (it.block, (it.place, it.escaped))).collect())
    }

    fn after(&self, at: u64) -> u64 {
        if at + 1 < self.end { at + 1 } else { self.first }
    }

    /// Whether a block has no checksum or the right one: a commit near its beginning, the others in their last bytes.
    fn is_sealed(&self, block: &[u8]) -> bool {
        if self.features & (SUMS_2 | SUMS_3) == 0 {
            return true;
        }
        let at = if be32(&block[4..]) == COMMIT { 0x10 } else { block.len() - 4 };
        crc32c_without(self.seed, block, &[(at, 4)]) == be32(&block[at..])
    }

    /// The blocks that those behind the descriptor `block` are for.
    fn tags(&self, block: &[u8]) -> Vec<(u64, bool)> {
        let (wide, third) = (self.features & WIDE != 0, self.features & SUMS_3 != 0);
        let size = if third { 16 } else { 8 + if wide { 4 } else { 0 } };
        let end = block.len() - if self.features & (SUMS_2 | SUMS_3) == 0 { 0 } else { 4 };
        let (mut rest, mut tags) = (&block[12..end], Vec::new());
        while let Some(tag) = rest.get(..size) {
            let flags = be32(&tag[4..]) & if third { u32::MAX } else { 0xffff };
            let high = if wide { u64::from(be32(&tag[8..])) << 32 } else { 0 };
            tags.push((high | u64::from(be32(tag)), flags & ESCAPED != 0));
            let next = size + if flags & SAME == 0 { 16 } else { 0 };
            rest = if flags & LAST == 0 { rest.get(next..).unwrap_or_default() } else { &[] };
        }
        tags
    }

    /// The blocks that a revoke `block` withdraws.
    fn revoked(&self, block: &[u8]) -> Vec<u64> {
        let size = if self.features & WIDE == 0 { 4 } else { 8 };
        let end = usize::try_from(be32(&block[12..])).unwrap_or_default().min(block.len() - 4);
        let numbers = block.get(16..end).unwrap_or_default().chunks_exact(size);
        numbers.map(|number| number.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))).collect()
    }
}

fn be32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |word| u32::from_be_bytes(*word))
}
