//! The superblock of ext4. All that it says is checked here, and nothing else computes with what was not.

use anyhow::Result;

use super::checksum::crc32c;
use crate::base::failure::ExitKind;
use crate::card::inspect::partition::le32;

/// Where it is in a file system, and its size, in bytes.
pub const START: u64 = 1024;
pub const SIZE: usize = 1024;

/// What a reader needs of a superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// The size of a block in bytes: a power of two from 1 KiB to 64 KiB.
    pub block: u64,
    /// All of them fit into the partition.
    pub blocks: u64,
    /// The first block of the first group.
    pub first: u64,
    pub inodes: u32,
    pub free_blocks: u64,
    pub free_inodes: u64,
    pub blocks_in_group: u32,
    pub inodes_in_group: u32,
    /// In bytes: a power of two from 128 to the size of a block.
    pub inode_size: u64,
    /// The size of an entry in the list of groups, in bytes.
    pub descriptor: u64,
    /// Whether an entry has upper halves.
    pub wide: bool,
    /// What the checksums begin with, where there are any.
    pub seed: Option<u32>,
    /// Whether it was not unmounted.
    pub dirty: bool,
    /// The inode of a journal that is not empty.
    pub journal: Option<u32>,
}

// Features that change how something is stored.
const RECOVERY: u32 = 0x4;
const FILE_TYPE: u32 = 0x2;
const WIDE: u32 = 0x80;
const SEED: u32 = 0x2000;
/// Those above, extents, flexible groups, and encryption, which a folder says of itself.
const KNOWN: u32 = RECOVERY | FILE_TYPE | WIDE | SEED | 0x40 | 0x200 | 0x1_0000;
const JOURNAL: u32 = 0x4;
const CHECKSUMS: u32 = 0x400;
const BIGALLOC: u32 = 0x200;

impl Superblock {
    /// Reads the superblock in `bytes`, of a file system in a partition of `room` bytes.
    ///
    /// # Errors
    /// Of [`ExitKind::Verification`], with what is wrong.
    pub fn parse(bytes: &[u8], room: u64) -> Result<Self> {
        let bytes = bytes.first_chunk::<SIZE>().ok_or_else(|| damaged("it is cut off"))?;
        let word = |at: usize| le32(&bytes[at..]);
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let (compatible, incompatible, read_only) = (word(0x5c), word(0x60), word(0x64));
        check(half(0x38) == 0xef53, "it has no magic number")?;
        features(incompatible)?;
        let wide = incompatible & WIDE != 0;
        // The upper halves have a meaning only then.
        let number = |low, high| u64::from(if wide { word(high) } else { 0 }) << 32 | u64::from(word(low));
        check(word(0x18) <= 6, "the size of its blocks")?;
        let superblock = Self {
            block: 1024 << word(0x18),
            blocks: number(0x04, 0x150),
            first: word(0x14).into(),
            inodes: word(0x00),
            free_blocks: number(0x0c, 0x158),
            free_inodes: word(0x10).into(),
            blocks_in_group: word(0x20),
            inodes_in_group: word(0x28),
            // The first revision has no field for it.
            inode_size: if word(0x4c) == 0 { 128 } else { half(0x58).into() },
            descriptor: if wide { half(0xfe).into() } else { 32 },
            wide,
            seed: (read_only & CHECKSUMS != 0)
                .then(|| if incompatible & SEED != 0 { word(0x270) } else { crc32c(!0, &bytes[0x68..0x78]) }),
            dirty: incompatible & RECOVERY != 0,
            journal: (compatible & JOURNAL != 0 && incompatible & RECOVERY != 0).then(|| word(0xe0)),
        };
        superblock.check(room, read_only & BIGALLOC != 0)?;
        let sealed = superblock.seed.is_none() || crc32c(!0, &bytes[..0x3fc]) == word(0x3fc);
        check(sealed, "its checksum")?;
        Ok(superblock)
    }

    fn check(&self, room: u64, clusters: bool) -> Result<()> {
        let end = self.blocks.checked_mul(self.block);
        check(end.is_some_and(|end| end <= room), "it is larger than its partition")?;
        // With clusters they are counted from the beginning of the file system, however small they are.
        check(self.first == u64::from(self.block == 1024 && !clusters), "its first block")?;
        check(self.blocks > self.first + 1, "the number of its blocks")?;
        check(self.free_blocks <= self.blocks, "the number of its free blocks")?;
        check(self.free_inodes <= self.inodes.into(), "the number of its free inodes")?;
        // A group has one block for each of its maps, with a bit for each block or cluster, and for each inode.
        let most = if clusters { 1 << 31 } else { 8 * self.block };
        let per_group = u64::from(self.blocks_in_group);
        check(per_group >= 8 && per_group <= most, "the number of blocks in a group")?;
        let per_group = u64::from(self.inodes_in_group);
        check(per_group >= 1 && per_group <= 8 * self.block, "the number of inodes in a group")?;
        let inodes = self.groups().checked_mul(per_group);
        check(self.inodes >= 2 && inodes == Some(self.inodes.into()), "the number of its inodes")?;
        let fits = |size: u64, least| size.is_power_of_two() && (least..=self.block).contains(&size);
        check(fits(self.inode_size, 128), "the size of its inodes")?;
        check(fits(self.descriptor, if self.wide { 64 } else { 32 }), "the size of its descriptors")?;
        let list = self.groups().checked_mul(self.descriptor).map(|list| list.div_ceil(self.block));
        check(list.is_some_and(|list| list < self.blocks), "the number of its groups")
    }

    /// The first block of the list of groups: behind the superblock.
    pub fn list(&self) -> u64 {
        START / self.block + 1
    }

    pub fn groups(&self) -> u64 {
        (self.blocks - self.first).div_ceil(u64::from(self.blocks_in_group).max(1))
    }

    /// The size of each table of inodes, in blocks.
    pub fn inode_table_blocks(&self) -> u64 {
        (u64::from(self.inodes_in_group) * self.inode_size).div_ceil(self.block)
    }

    /// The first block of the table of inodes of a group, from its `descriptor`.
    ///
    /// # Errors
    /// A table of inodes beyond the end.
    pub fn inode_table(&self, descriptor: &[u8]) -> Result<u64> {
        let word = |at: usize| u64::from(descriptor.get(at..).map_or(0, le32));
        let start = if self.wide { word(0x28) << 32 } else { 0 } | word(0x08);
        let end = start.checked_add(self.inode_table_blocks());
        let inside = start > self.first && end.is_some_and(|end| end <= self.blocks);
        if inside { Ok(start) } else { Err(wrong("a table of inodes lies beyond its end")) }
    }
}

fn features(incompatible: u32) -> Result<()> {
    let unknown = incompatible & !KNOWN;
    if incompatible & FILE_TYPE != 0 && unknown == 0 {
        return Ok(());
    }
    let text = format!("it has features that are not known here ({incompatible:#x})");
    Err(ExitKind::Verification.error(text))
}

fn check(right: bool, what: &str) -> Result<()> {
    if right { Ok(()) } else { Err(damaged(what)) }
}

fn damaged(what: &str) -> anyhow::Error {
    wrong(&format!("its superblock is damaged: {what}"))
}

pub fn wrong(text: &str) -> anyhow::Error {
    ExitKind::Verification.error(text.to_owned())
}
