//! Where the blocks of a file are: by a tree of extents, or by a map of blocks.

use anyhow::Result;

use super::checksum::crc32c;
use super::superblock::wrong;
use super::{Ext4, Inode, le16};
use crate::card::inspect::partition::le32;

/// The size of a header and of an entry of a tree, in bytes.
const ENTRY: usize = 12;
/// No tree is deeper.
const DEEPEST: u16 = 5;
/// An extent that is longer has room, and nothing written to it.
const LONGEST: u16 = 32_768;
/// The content of a file is read in such pieces, in bytes.
const PIECE: u64 = 1 << 20;

/// Blocks of a file that lie in a row.
#[derive(Debug, PartialEq, Eq)]
struct ExtentRun {
    /// Nothing where the file has a hole.
    start: Option<u64>,
    blocks: u64,
}

const HOLE: ExtentRun = ExtentRun { start: None, blocks: 1 };

impl Ext4<'_> {
    /// The content of the file `inode`, of which there are at most `limit` bytes.
    ///
    /// # Errors
    /// A larger one, of which nothing is read.
    pub fn content(&self, inode: &Inode, limit: u64) -> Result<Vec<u8>> {
        if inode.size > limit {
            return Err(wrong(&format!(
                "it has {} bytes, more than the {limit} that it may have",
                inode.size
            )));
        }
        self.beginning(inode, limit)
    }

    /// The first `limit` bytes of the file `inode`, or all where there are fewer.
    pub fn beginning(&self, inode: &Inode, limit: u64) -> Result<Vec<u8>> {
        let (size, block) = (inode.size.min(limit), self.facts.block);
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < size {
            let ExtentRun { start, blocks } = self.run(inode, bytes.len() as u64 / block)?;
            let (at, count) = (bytes.len(), (size - bytes.len() as u64).min(blocks * block).min(PIECE));
            bytes.resize(at + usize::try_from(count)?, 0);
            match start {
                Some(start) if self.journal.is_empty() => self.raw(start, &mut bytes[at..])?,
                // The block of a link may be in the journal, or be there alone.
                Some(start) => {
                    bytes.truncate(at + usize::try_from(count.min(block))?);
                    let count = bytes.len() - at;
                    bytes[at..].copy_from_slice(&self.block(start)?[..count]);
                }
                None => self.disk.budget.spend(count)?,
            }
        }
        Ok(bytes)
    }

    /// Block `index` of the folder `inode`.
    pub(super) fn folder_block(&self, inode: &Inode, index: u64) -> Result<Vec<u8>> {
        let start = self.run(inode, index)?.start;
        self.block(start.ok_or_else(|| wrong("a folder has a hole"))?)
    }

    /// Where block `index` of `inode` and those behind it are. This costs something even where nothing is read.
    fn run(&self, inode: &Inode, index: u64) -> Result<ExtentRun> {
        self.step()?;
        if inode.has_extents() { self.extent(inode, index) } else { self.mapped(inode, index) }
    }

    /// The number of a block of the journal, before that is known.
    pub(super) fn journal_block(&self, inode: &Inode, index: u64) -> Result<u64> {
        self.run(inode, index)?.start.ok_or_else(|| wrong("the journal has a hole"))
    }

    fn extent(&self, inode: &Inode, index: u64) -> Result<ExtentRun> {
        let mut node = inode.block.to_vec();
        let mut depth = header(&node)?.1.min(DEEPEST + 1);
        loop {
            let (entries, own) = header(&node)?;
            // Each level is one less deep than the one before: so it ends.
            if own != depth || depth > DEEPEST {
                return Err(wrong(&format!("the tree of inode {} is damaged", inode.number)));
            }
            let entries = node[ENTRY..].chunks_exact(ENTRY).take(entries.into());
            let found = entries.take_while(|entry| u64::from(le32(entry)) <= index).last();
            let Some(entry) = found else { return Ok(HOLE) };
            if depth == 0 {
                return Ok(leaf(entry, index));
            }
            let child = u64::from(le16(&entry[8..])) << 32 | u64::from(le32(&entry[4..]));
            node = self.block(child)?;
            check_node(&node, inode)?;
            depth -= 1;
        }
    }

    fn mapped(&self, inode: &Inode, index: u64) -> Result<ExtentRun> {
        let per_block = self.facts.block / 4;
        let found = |number: u32| ExtentRun { start: (number != 0).then_some(number.into()), blocks: 1 };
        let slot =
            |table: &[u8], at: u64| usize::try_from(at * 4).map_or(0, |at| table.get(at..).map_or(0, le32));
        if index < 12 {
            return Ok(found(slot(&inode.block, index)));
        }
        let (mut index, mut covered, mut level) = (index - 12, per_block, 0);
        while index >= covered {
            index -= covered;
            covered *= per_block;
            level += 1;
            if level > 2 {
                return Err(wrong(&format!("inode {} is larger than its map", inode.number)));
            }
        }
        let mut number = slot(&inode.block, 12 + level);
        while covered > 1 && number != 0 {
            covered /= per_block;
            number = slot(&self.block(number.into())?, index / covered);
            index %= covered;
        }
        Ok(found(number))
    }
}

/// The number of entries and the depth of a node, all of whose entries are in `node`.
fn header(node: &[u8]) -> Result<(u16, u16)> {
    let [magic, entries, depth] = [0, 2, 6].map(|at| le16(&node[at..]));
    let fits = (usize::from(entries) + 1) * ENTRY <= node.len();
    if magic == 0xf30a && fits { Ok((entries, depth)) } else { Err(wrong("a tree of extents is damaged")) }
}

fn leaf(entry: &[u8], index: u64) -> ExtentRun {
    let (first, len) = (u64::from(le32(entry)), le16(&entry[4..]));
    let start = u64::from(le16(&entry[6..])) << 32 | u64::from(le32(&entry[8..]));
    let ahead = index - first;
    match u64::from(len).checked_sub(ahead) {
        Some(blocks) if blocks > 0 && len <= LONGEST => ExtentRun { start: Some(start + ahead), blocks },
        _ => HOLE,
    }
}

/// Compares the checksum behind the entries of a node that is a block.
fn check_node(node: &[u8], inode: &Inode) -> Result<()> {
    let Some(seed) = inode.seed else { return Ok(()) };
    let end = (usize::from(le16(&node[4..])) + 1) * ENTRY;
    let sum = node.get(end..end + 4).map(le32);
    if sum == node.get(..end).map(|sealed| crc32c(seed, sealed)) && sum.is_some() {
        return Ok(());
    }
    Err(wrong(&format!("a checksum in the tree of inode {} is wrong", inode.number)))
}
