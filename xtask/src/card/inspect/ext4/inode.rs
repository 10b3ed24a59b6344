//! An inode: what a file is, and where its blocks are.

use anyhow::Result;

use super::checksum::{crc32c, crc32c_without};
use super::le16;
use super::superblock::wrong;
use crate::card::inspect::partition::le32;

/// What is needed of an inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    pub number: u32,
    /// With the kind of file, as `stat` has it.
    pub mode: u16,
    pub user: u32,
    pub group: u32,
    /// In bytes.
    pub size: u64,
    pub(super) flags: u32,
    /// The root of the tree of its extents, the map of its blocks, or the target of a short link.
    pub(super) block: [u8; 60],
    /// What the checksums of its blocks begin with, where there are any.
    pub(super) seed: Option<u32>,
}

const ENCRYPTED: u32 = 0x800;
const EXTENTS: u32 = 0x8_0000;

impl Inode {
    /// Reads inode `number` out of `bytes`, of which there are 128 at least.
    pub(super) fn parse(number: u32, bytes: &[u8], seed: Option<u32>) -> Result<Self> {
        let (word, half) =
            (|at: usize| le32(&bytes[at..]), |at: usize| u32::from(bytes.get(at..).map_or(0, le16)));
        let seed = seed.map(|seed| crc32c(crc32c(seed, &number.to_le_bytes()), &word(0x64).to_le_bytes()));
        if let Some(seed) = seed {
            // The second half is there where the inode is long enough.
            let long = bytes.len() > 128 && half(0x80) >= 4;
            let holes = [(0x7c, 2), (0x82, if long { 2 } else { 0 })];
            let sum = crc32c_without(seed, bytes, &holes);
            let stored = half(0x7c) | if long { half(0x82) << 16 } else { sum & 0xffff_0000 };
            if sum != stored {
                return Err(wrong(&format!("the checksum of inode {number} is wrong")));
            }
        }
        let mut block = [0; 60];
        block.copy_from_slice(&bytes[0x28..0x28 + 60]);
        Ok(Self {
            number,
            mode: le16(bytes),
            user: half(0x02) | half(0x78) << 16,
            group: half(0x18) | half(0x7a) << 16,
            size: u64::from(word(0x6c)) << 32 | u64::from(word(0x04)),
            flags: word(0x20),
            block,
            seed,
        })
    }

    pub fn is_folder(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    pub fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    pub fn is_link(&self) -> bool {
        self.mode & 0o170_000 == 0o120_000
    }

    pub(super) fn has_extents(&self) -> bool {
        self.flags & EXTENTS != 0
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.flags & ENCRYPTED != 0
    }
}
