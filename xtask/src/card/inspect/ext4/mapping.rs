//! The positions of the blocks of a file, by its extent tree or its block map.

use anyhow::Result;

use super::checksum::crc32c;
use super::{Ext4, Inode, le16};
use crate::card::inspect::partition::le32;
use crate::{bail, failure};

/// The size of the header and of each entry of an extent tree, in bytes.
const ENTRY: usize = 12;
/// The depth of the deepest extent tree.
const MAX_DEPTH: u16 = 5;
/// The length of the longest written extent, in blocks. A longer one is allocated, but not written.
const MAX_WRITTEN: u16 = 32_768;
/// The size of the largest read of a file's content, in bytes.
const MAX_READ: u64 = 1 << 20;

/// Consecutive blocks of a file.
#[derive(Debug, PartialEq, Eq)]
struct ExtentRun {
    /// The first block on the disk; `None` for a hole of the file.
    start: Option<u64>,
    blocks: u64,
}

const HOLE: ExtentRun = ExtentRun { start: None, blocks: 1 };

impl Ext4<'_> {
    /// The content of the file `inode`, which has at most `limit` bytes.
    ///
    /// # Errors
    /// A larger file, of which nothing is read.
    pub fn content(&self, inode: &Inode, limit: u64) -> Result<Vec<u8>> {
        if inode.size > limit {
            bail!(Verification, "the file has {} bytes, more than the limit of {limit} bytes", inode.size);
        }
        self.beginning(inode, limit)
    }

    /// The first `limit` bytes of the file `inode`, or all bytes of a smaller one.
    pub fn beginning(&self, inode: &Inode, limit: u64) -> Result<Vec<u8>> {
        let size = inode.size.min(limit);
        let block_size = self.superblock.block_size;
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < size {
            let ExtentRun { start, blocks } = self.run(inode, bytes.len() as u64 / block_size)?;
            let at = bytes.len();
            let count = (size - at as u64).min(blocks * block_size).min(MAX_READ);
            bytes.resize(at + usize::try_from(count)?, 0);
            match start {
                Some(start) if self.journal.is_empty() => self.raw(start, &mut bytes[at..])?,
                // The journal may have newer bytes of a single block, such as that of a link.
                Some(start) => {
                    bytes.truncate(at + usize::try_from(count.min(block_size))?);
                    let len = bytes.len() - at;
                    bytes[at..].copy_from_slice(&self.block(start)?[..len]);
                }
                None => self.disk.budget.spend(count)?,
            }
        }
        Ok(bytes)
    }

    /// Block `index` of the folder `inode`.
    pub(super) fn folder_block(&self, inode: &Inode, index: u64) -> Result<Vec<u8>> {
        let start = self.run(inode, index)?.start;
        self.block(start.ok_or_else(|| failure!(Verification, "a folder has a hole"))?)
    }

    /// The position of block `index` of `inode` and of the blocks behind it. Each call spends a step of the budget,
    /// even if it reads nothing.
    fn run(&self, inode: &Inode, index: u64) -> Result<ExtentRun> {
        self.spend_step()?;
        if inode.has_extents() { self.find_extent(inode, index) } else { self.find_in_map(inode, index) }
    }

    /// The position of block `index` of the journal in `inode`.
    pub(super) fn journal_block(&self, inode: &Inode, index: u64) -> Result<u64> {
        self.run(inode, index)?.start.ok_or_else(|| failure!(Verification, "the journal has a hole"))
    }

    /// The run of block `index` by the extent tree of `inode`.
    fn find_extent(&self, inode: &Inode, index: u64) -> Result<ExtentRun> {
        let mut node = inode.block.to_vec();
        let mut depth = header(&node)?.1.min(MAX_DEPTH + 1);
        loop {
            let (entries, own) = header(&node)?;
            // The depth decreases by one at each level, so the loop ends.
            if own != depth || depth > MAX_DEPTH {
                bail!(Verification, "the extent tree of inode {} is damaged", inode.number);
            }
            let entries = node[ENTRY..].chunks_exact(ENTRY).take(entries.into());
            let found = entries.take_while(|entry| u64::from(le32(entry)) <= index).last();
            let Some(entry) = found else { return Ok(HOLE) };
            if depth == 0 {
                return Ok(leaf(entry, index));
            }
            node = self.block(child(entry))?;
            check_node(&node, inode)?;
            depth -= 1;
        }
    }

    /// Block `index` by the block map of `inode`: 12 direct blocks, then one tree each of one, two and three levels.
    fn find_in_map(&self, inode: &Inode, index: u64) -> Result<ExtentRun> {
        if index < 12 {
            return Ok(mapped_block(slot(&inode.block, index)));
        }
        let per_block = self.superblock.block_size / 4;
        let mut rest = index - 12;
        let mut covered = per_block;
        let mut level = 0;
        while rest >= covered {
            rest -= covered;
            covered *= per_block;
            level += 1;
            if level > 2 {
                bail!(Verification, "inode {} is larger than its block map", inode.number);
            }
        }
        let mut number = slot(&inode.block, 12 + level);
        while covered > 1 && number != 0 {
            covered /= per_block;
            number = slot(&self.block(number.into())?, rest / covered);
            rest %= covered;
        }
        Ok(mapped_block(number))
    }
}

/// Where the blocks of a file are, as far as its inode says.
pub(super) enum ShortMap {
    /// The start and the length of each run, in blocks: all runs of a file with few fragments.
    Runs(Vec<(u64, u32)>),
    /// The blocks of the extent tree that have the runs.
    Nodes(Vec<u64>),
    /// A deeper tree.
    Unknown,
}

/// The map in `inode`; of a block map only the direct blocks.
pub(super) fn short_map(inode: &Inode) -> ShortMap {
    if !inode.has_extents() {
        let numbers = (0..12).map(|index| slot(&inode.block, index)).filter(|number| *number != 0);
        return ShortMap::Runs(numbers.map(|number| (number.into(), 1)).collect());
    }
    match header(&inode.block) {
        Ok((_, 0)) => ShortMap::Runs(node_runs(&inode.block)),
        Ok((entries, 1)) => {
            let entries = inode.block[ENTRY..].chunks_exact(ENTRY).take(entries.into());
            ShortMap::Nodes(entries.map(child).collect())
        }
        _ => ShortMap::Unknown,
    }
}

/// The written runs in `node`, a leaf of an extent tree.
pub(super) fn node_runs(node: &[u8]) -> Vec<(u64, u32)> {
    let Ok((entries, 0)) = header(node) else { return Vec::new() };
    let entries = node[ENTRY..].chunks_exact(ENTRY).take(entries.into());
    let runs = entries.map(|entry| leaf(entry, le32(entry).into()));
    runs.filter_map(|run| Some((run.start?, u32::try_from(run.blocks).ok()?))).collect()
}

/// The block of the child of an inner `entry` of an extent tree.
fn child(entry: &[u8]) -> u64 {
    u64::from(le16(&entry[8..])) << 32 | u64::from(le32(&entry[4..]))
}

/// The number in the slot `index` of a block map; 0 behind its end.
fn slot(map: &[u8], index: u64) -> u32 {
    usize::try_from(index * 4).map_or(0, |at| map.get(at..).map_or(0, le32))
}

/// The run of the one block `number`, where 0 is a hole.
fn mapped_block(number: u32) -> ExtentRun {
    ExtentRun { start: (number != 0).then_some(number.into()), blocks: 1 }
}

/// The number of entries and the depth of `node`, which has room for all of its entries.
fn header(node: &[u8]) -> Result<(u16, u16)> {
    let [magic, entries, depth] = [0, 2, 6].map(|at| le16(&node[at..]));
    let fits = (usize::from(entries) + 1) * ENTRY <= node.len();
    if magic != 0xf30a || !fits {
        bail!(Verification, "an extent tree is damaged");
    }
    Ok((entries, depth))
}

/// The run from block `index` of the file on, by the `entry` of a leaf, which begins at or before that block.
fn leaf(entry: &[u8], index: u64) -> ExtentRun {
    let first = u64::from(le32(entry));
    let len = le16(&entry[4..]);
    let start = u64::from(le16(&entry[6..])) << 32 | u64::from(le32(&entry[8..]));
    let ahead = index - first;
    match u64::from(len).checked_sub(ahead) {
        Some(blocks) if blocks > 0 && len <= MAX_WRITTEN => ExtentRun { start: Some(start + ahead), blocks },
        _ => HOLE,
    }
}

/// Checks the checksum behind the entries of a node that is a block of its own.
fn check_node(node: &[u8], inode: &Inode) -> Result<()> {
    let Some(seed) = inode.seed else { return Ok(()) };
    let end = (usize::from(le16(&node[4..])) + 1) * ENTRY;
    let stored = node.get(end..end + 4).map(le32);
    let computed = node.get(..end).map(|entries| crc32c(seed, entries));
    if stored.is_none() || stored != computed {
        bail!(Verification, "a checksum in the extent tree of inode {} is wrong", inode.number);
    }
    Ok(())
}
