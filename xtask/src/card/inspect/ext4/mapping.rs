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
pub(super) struct ExtentRun {
    /// The first block on the disk; `None` for a hole of the file.
    pub start: Option<u64>,
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
            let run = self.find_run(inode, bytes.len() as u64 / block_size)?;
            let missing = size - bytes.len() as u64;
            let count = missing.min(run.blocks * block_size).min(MAX_READ);
            self.append(&mut bytes, run.start, count)?;
        }
        Ok(bytes)
    }

    /// Passes the content of the file `inode` to `each`, in pieces of at most 1 MiB.
    ///
    /// # Errors
    /// Those of `each`, and a file that cannot be read.
    pub fn read_pieces(&self, inode: &Inode, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let block_size = self.superblock.block_size;
        let mut at = 0;
        let mut piece = Vec::new();
        while at < inode.size {
            piece.clear();
            let run = self.find_run(inode, at / block_size)?;
            let count = (inode.size - at).min(run.blocks * block_size).min(MAX_READ);
            self.append(&mut piece, run.start, count)?;
            each(&piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Appends to `bytes` up to `count` bytes of the disk from block `start` on, or `count` zeros for a hole.
    pub(super) fn append(&self, bytes: &mut Vec<u8>, start: Option<u64>, count: u64) -> Result<()> {
        let len = bytes.len();
        let end = len + usize::try_from(count)?;
        match start {
            None => {
                self.region.budget.spend(count)?;
                bytes.resize(end, 0);
            }
            Some(start) if self.journal.is_empty() => {
                bytes.resize(end, 0);
                self.read_blocks(start, &mut bytes[len..])?;
            }
            // The journal may have newer bytes of some blocks, so that each block is read on its own.
            Some(start) => {
                let block = self.block(start)?;
                bytes.extend_from_slice(&block[..block.len().min(end - len)]);
            }
        }
        Ok(())
    }

    /// Block `index` of the folder `inode`.
    pub(super) fn folder_block(&self, inode: &Inode, index: u64) -> Result<Vec<u8>> {
        let start = self.find_run(inode, index)?.start;
        let hole = || failure!(Verification, "the folder in inode {} has a hole", inode.number);
        self.block(start.ok_or_else(hole)?)
    }

    /// The run of `inode` from its block `index` on. Each call spends a step of the budget, even if it reads nothing.
    pub(super) fn find_run(&self, inode: &Inode, index: u64) -> Result<ExtentRun> {
        self.spend_step()?;
        if inode.has_extents() { self.find_extent(inode, index) } else { self.find_in_map(inode, index) }
    }

    /// The position of block `index` of the journal in `inode`.
    pub(super) fn journal_block(&self, inode: &Inode, index: u64) -> Result<u64> {
        self.find_run(inode, index)?.start.ok_or_else(|| failure!(Verification, "the journal has a hole"))
    }

    /// The run from block `index` on, by the extent tree of `inode`.
    fn find_extent(&self, inode: &Inode, index: u64) -> Result<ExtentRun> {
        let mut node = inode.block.to_vec();
        let mut depth = NodeHeader::parse(&node)?.depth;
        loop {
            let header = NodeHeader::parse(&node)?;
            // The depth decreases by one at each level, so the loop ends.
            if header.depth != depth || depth > MAX_DEPTH {
                bail!(Verification, "the extent tree of inode {} is damaged", inode.number);
            }
            let entries = header.entries_of(&node);
            let found = entries.take_while(|entry| u64::from(le32(entry)) <= index).last();
            let Some(entry) = found else { return Ok(HOLE) };
            if depth == 0 {
                return Ok(leaf_run(entry, index));
            }
            node = self.block(child_block(entry))?;
            check_node(&node, inode)?;
            depth -= 1;
        }
    }

    /// The run of block `index`, by the block map of `inode`: 12 direct blocks, then one tree each of one, two and
    /// three levels.
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

/// Consecutive blocks on the disk.
pub(super) struct DiskRun {
    /// The first block.
    pub start: u64,
    pub blocks: u32,
}

/// Where the blocks of a file are, as far as the inode alone tells.
pub(super) enum ShortMap {
    /// All runs of a file with few fragments.
    Runs(Vec<DiskRun>),
    /// The blocks of the extent tree that have the runs.
    Nodes(Vec<u64>),
    /// A deeper tree, or a damaged one.
    Unknown,
}

/// The map in `inode`; of a block map only the direct blocks.
pub(super) fn short_map(inode: &Inode) -> ShortMap {
    if !inode.has_extents() {
        let numbers = (0..12).map(|index| slot(&inode.block, index)).filter(|number| *number != 0);
        return ShortMap::Runs(numbers.map(|number| DiskRun { start: number.into(), blocks: 1 }).collect());
    }
    match NodeHeader::parse(&inode.block) {
        Ok(NodeHeader { depth: 0, .. }) => ShortMap::Runs(node_runs(&inode.block)),
        Ok(header @ NodeHeader { depth: 1, .. }) => {
            ShortMap::Nodes(header.entries_of(&inode.block).map(child_block).collect())
        }
        _ => ShortMap::Unknown,
    }
}

/// The written runs in `node`; none where `node` is not a leaf of an extent tree.
pub(super) fn node_runs(node: &[u8]) -> Vec<DiskRun> {
    let Ok(header @ NodeHeader { depth: 0, .. }) = NodeHeader::parse(node) else { return Vec::new() };
    let runs = header.entries_of(node).map(|entry| leaf_run(entry, le32(entry).into()));
    runs.filter_map(|run| Some(DiskRun { start: run.start?, blocks: u32::try_from(run.blocks).ok()? }))
        .collect()
}

/// The block with the child of an inner `entry` of an extent tree.
fn child_block(entry: &[u8]) -> u64 {
    u64::from(le16(&entry[8..])) << 32 | u64::from(le32(&entry[4..]))
}

/// The number in the slot `index` of a block `map`; 0 behind the end of the map.
fn slot(map: &[u8], index: u64) -> u32 {
    usize::try_from(index * 4).map_or(0, |at| map.get(at..).map_or(0, le32))
}

/// The run of the one block `number`, where 0 is a hole.
fn mapped_block(number: u32) -> ExtentRun {
    ExtentRun { start: (number != 0).then_some(number.into()), blocks: 1 }
}

/// The header of a node of an extent tree.
struct NodeHeader {
    /// The number of entries, for all of which the node has room.
    entries: u16,
    /// The number of levels below the node; 0 for a leaf.
    depth: u16,
}

impl NodeHeader {
    fn parse(node: &[u8]) -> Result<Self> {
        let [magic, entries, depth] = [0, 2, 6].map(|at| le16(&node[at..]));
        let fits = (usize::from(entries) + 1) * ENTRY <= node.len();
        if magic != 0xf30a || !fits {
            bail!(Verification, "an extent tree is damaged");
        }
        Ok(Self { entries, depth })
    }

    /// The bytes of each entry of `node`, which has this header.
    fn entries_of<'a>(&self, node: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        node[ENTRY..].chunks_exact(ENTRY).take(self.entries.into())
    }
}

/// The run from block `index` of the file on, by the `entry` of a leaf, which begins at or before that block.
fn leaf_run(entry: &[u8], index: u64) -> ExtentRun {
    let first = u64::from(le32(entry));
    let len = le16(&entry[4..]);
    let start = u64::from(le16(&entry[6..])) << 32 | u64::from(le32(&entry[8..]));
    let ahead = index - first;
    match u64::from(len).checked_sub(ahead) {
        Some(blocks) if blocks > 0 && len <= MAX_WRITTEN => ExtentRun { start: Some(start + ahead), blocks },
        _ => HOLE,
    }
}

/// Fails where the checksum behind the entries of `node`, a block of the extent tree of `inode`, is wrong.
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
