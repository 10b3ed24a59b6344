//! The superblock of ext4. Every field that other modules use is checked here.

use anyhow::Result;

use super::checksum::crc32c;
use crate::card::inspect::partition::le32;
use crate::{bail, failure};

/// The start of the superblock, in bytes from the start of the file system.
pub const SUPERBLOCK_START: u64 = 1024;
/// The size of the superblock in bytes.
pub const SUPERBLOCK_SIZE: usize = 1024;

/// The fields of a superblock that readers and writers need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// The size of a block in bytes: a power of two from 1 KiB to 64 KiB.
    pub block_size: u64,
    /// The number of blocks, all of which are in the partition.
    pub blocks: u64,
    /// The first block of the first group.
    pub first: u64,
    /// The number of inodes.
    pub inodes: u32,
    pub free_blocks: u64,
    pub free_inodes: u64,
    pub blocks_in_group: u32,
    pub inodes_in_group: u32,
    /// The size of an inode in bytes: a power of two from 128 to the size of a block.
    pub inode_size: u64,
    /// The size of a group descriptor in bytes.
    pub descriptor_size: u64,
    /// Whether numbers of blocks have 64 bits.
    pub is_64bit: bool,
    /// The seed of the checksums; `None` for a file system without checksums.
    pub seed: Option<u32>,
    /// Whether the file system was not unmounted.
    pub dirty: bool,
    /// The inode of the journal, if the journal is not empty.
    pub journal: Option<u32>,
}

// Incompatible features: a reader must know all of them.
const RECOVERY: u32 = 0x4;
const FILE_TYPE: u32 = 0x2;
const SIXTY_FOUR_BIT: u32 = 0x80;
const CHECKSUM_SEED: u32 = 0x2000;
/// The incompatible features that this reader knows: those above, extents, flexible groups, and encryption, of which
/// each encrypted folder has a flag of its own.
const SUPPORTED: u32 = RECOVERY | FILE_TYPE | SIXTY_FOUR_BIT | CHECKSUM_SEED | 0x40 | 0x200 | 0x1_0000;

/// A compatible feature.
const JOURNAL: u32 = 0x4;

// Features that are compatible for readers.
const CHECKSUMS: u32 = 0x400;
const BIGALLOC: u32 = 0x200;

impl Superblock {
    /// Parses the superblock in `bytes`, of a file system in a partition of `partition_size` bytes.
    ///
    /// # Errors
    /// `Verification` with the first field that is wrong.
    pub fn parse(bytes: &[u8], partition_size: u64) -> Result<Self> {
        let bytes = bytes.first_chunk::<SUPERBLOCK_SIZE>().ok_or_else(|| damaged_error("truncated"))?;
        let word = |at: usize| le32(&bytes[at..]);
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let compatible = word(0x5c);
        let incompatible = word(0x60);
        let read_compatible = word(0x64);
        check(half(0x38) == 0xef53, "no magic number")?;
        check_features(incompatible)?;
        let is_64bit = incompatible & SIXTY_FOUR_BIT != 0;
        // Without 64 bits the upper halves are undefined.
        let number =
            |low, high| u64::from(if is_64bit { word(high) } else { 0 }) << 32 | u64::from(word(low));
        check(word(0x18) <= 6, "wrong block size")?;
        let superblock = Self {
            block_size: 1024 << word(0x18),
            blocks: number(0x04, 0x150),
            first: word(0x14).into(),
            inodes: word(0x00),
            free_blocks: number(0x0c, 0x158),
            free_inodes: word(0x10).into(),
            blocks_in_group: word(0x20),
            inodes_in_group: word(0x28),
            // The first revision has no field for the size.
            inode_size: if word(0x4c) == 0 { 128 } else { half(0x58).into() },
            descriptor_size: if is_64bit { half(0xfe).into() } else { 32 },
            is_64bit,
            seed: (read_compatible & CHECKSUMS != 0).then(|| checksum_seed(bytes, incompatible)),
            dirty: incompatible & RECOVERY != 0,
            journal: (compatible & JOURNAL != 0 && incompatible & RECOVERY != 0).then(|| word(0xe0)),
        };
        superblock.check_counts(partition_size, read_compatible & BIGALLOC != 0)?;
        superblock.check_sizes()?;
        let is_intact = superblock.seed.is_none() || crc32c(!0, &bytes[..0x3fc]) == word(0x3fc);
        check(is_intact, "wrong checksum")?;
        Ok(superblock)
    }

    fn check_counts(&self, partition_size: u64, has_clusters: bool) -> Result<()> {
        let end = self.blocks.checked_mul(self.block_size);
        check(end.is_some_and(|end| end <= partition_size), "larger than the partition")?;
        // Clusters are counted from the start of the file system, whatever the size of a block is.
        check(self.first == u64::from(self.block_size == 1024 && !has_clusters), "wrong first block")?;
        check(self.blocks > self.first + 1, "wrong number of blocks")?;
        check(self.free_blocks <= self.blocks, "wrong number of free blocks")?;
        check(self.free_inodes <= self.inodes.into(), "wrong number of free inodes")?;
        // Each bitmap of a group is one block, with a bit for each block or cluster, or for each inode.
        let max_blocks = if has_clusters { 1 << 31 } else { 8 * self.block_size };
        let blocks = u64::from(self.blocks_in_group);
        check(blocks >= 8 && blocks <= max_blocks, "wrong number of blocks in a group")?;
        let inodes = u64::from(self.inodes_in_group);
        check(inodes >= 1 && inodes <= 8 * self.block_size, "wrong number of inodes in a group")?;
        let all_inodes = self.groups().checked_mul(inodes);
        check(self.inodes >= 2 && all_inodes == Some(self.inodes.into()), "wrong number of inodes")
    }

    fn check_sizes(&self) -> Result<()> {
        let fits = |size: u64, min| size.is_power_of_two() && (min..=self.block_size).contains(&size);
        check(fits(self.inode_size, 128), "wrong inode size")?;
        check(fits(self.descriptor_size, if self.is_64bit { 64 } else { 32 }), "wrong descriptor size")?;
        let table =
            self.groups().checked_mul(self.descriptor_size).map(|table| table.div_ceil(self.block_size));
        check(table.is_some_and(|table| table < self.blocks), "wrong number of groups")
    }

    /// The first block of the group descriptors: the one behind the superblock.
    pub fn descriptor_table(&self) -> u64 {
        SUPERBLOCK_START / self.block_size + 1
    }

    /// The number of groups.
    pub fn groups(&self) -> u64 {
        (self.blocks - self.first).div_ceil(u64::from(self.blocks_in_group).max(1))
    }

    /// The size of the inode table of a group, in blocks.
    pub fn inode_table_blocks(&self) -> u64 {
        (u64::from(self.inodes_in_group) * self.inode_size).div_ceil(self.block_size)
    }

    /// The first block of the inode table of a group, from its `descriptor`.
    ///
    /// # Errors
    /// An inode table beyond the end of the file system.
    pub fn inode_table(&self, descriptor: &[u8]) -> Result<u64> {
        let word = |at: usize| u64::from(descriptor.get(at..).map_or(0, le32));
        let start = if self.is_64bit { word(0x28) << 32 } else { 0 } | word(0x08);
        let end = start.checked_add(self.inode_table_blocks());
        let inside = start > self.first && end.is_some_and(|end| end <= self.blocks);
        if !inside {
            bail!(Verification, "an inode table lies beyond the end of the file system");
        }
        Ok(start)
    }
}

/// The seed of the checksums: stored where the file system has that feature, or else computed from the UUID.
fn checksum_seed(superblock: &[u8; SUPERBLOCK_SIZE], incompatible: u32) -> u32 {
    if incompatible & CHECKSUM_SEED == 0 {
        crc32c(!0, &superblock[0x68..0x78])
    } else {
        le32(&superblock[0x270..])
    }
}

/// Fails where the reader does not know all of the `incompatible` features.
fn check_features(incompatible: u32) -> Result<()> {
    if incompatible & FILE_TYPE == 0 || incompatible & !SUPPORTED != 0 {
        bail!(Verification, "the file system has features that are not supported ({incompatible:#x})");
    }
    Ok(())
}

/// Fails with `fault` unless the superblock `is_right`.
fn check(is_right: bool, fault: &str) -> Result<()> {
    if is_right { Ok(()) } else { Err(damaged_error(fault)) }
}

fn damaged_error(fault: &str) -> anyhow::Error {
    failure!(Verification, "the superblock is damaged: {fault}")
}
