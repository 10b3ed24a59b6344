//! Inodes: the kind, owner and size of a file, and the positions of its blocks.

use anyhow::Result;

use super::checksum::{crc32c, crc32c_without};
use super::le16;
use crate::bail;
use crate::card::inspect::partition::le32;

/// The fields of an inode that readers need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    pub number: u32,
    /// The kind of file and its permissions, as in `stat`.
    pub mode: u16,
    pub user: u32,
    pub group: u32,
    /// The size in bytes.
    pub size: u64,
    /// The time of the last modification, in seconds since 1970.
    pub modified: i64,
    pub(super) flags: u32,
    /// The root of the extent tree, the block map, or the target of a short link.
    pub(super) block: [u8; 60],
    /// The seed of the checksums of the inode's blocks; `None` for a file system without checksums.
    pub(super) seed: Option<u32>,
}

const ENCRYPTED: u32 = 0x800;
const EXTENTS: u32 = 0x8_0000;

impl Inode {
    /// Parses inode `number`, which has `bytes`: 128 or more. `seed` is that of the file system.
    pub(super) fn parse(number: u32, bytes: &[u8], seed: Option<u32>) -> Result<Self> {
        let word = |at: usize| le32(&bytes[at..]);
        let half = |at: usize| half_at(bytes, at);
        // The checksum of an inode, and of its blocks, begins with its number and its generation.
        let own_seed =
            seed.map(|seed| crc32c(crc32c(seed, &number.to_le_bytes()), &word(0x64).to_le_bytes()));
        if own_seed.is_some_and(|seed| !is_intact(bytes, seed)) {
            bail!(Verification, "the checksum of inode {number} is wrong");
        }
        let mut block = [0; 60];
        block.copy_from_slice(&bytes[0x28..0x28 + 60]);
        Ok(Self {
            number,
            mode: le16(bytes),
            user: half(0x02) | half(0x78) << 16,
            group: half(0x18) | half(0x7a) << 16,
            size: u64::from(word(0x6c)) << 32 | u64::from(word(0x04)),
            modified: modified(bytes),
            flags: word(0x20),
            block,
            seed: own_seed,
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

    /// The target of a link whose target stands in the inode; `None` for any other inode.
    pub(super) fn short_target(&self) -> Option<&[u8]> {
        let len = usize::try_from(self.size).ok()?;
        let is_short_link = self.is_link() && (1..60).contains(&len);
        is_short_link.then(|| &self.block[..len])
    }

    pub(super) fn has_extents(&self) -> bool {
        self.flags & EXTENTS != 0
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.flags & ENCRYPTED != 0
    }
}

/// The seconds since 1970 of the last modification: a signed number, and the epoch where the inode has room for it.
fn modified(bytes: &[u8]) -> i64 {
    let has_epoch = bytes.len() >= 0x8c && half_at(bytes, 0x80) >= 0x0c;
    let epoch = if has_epoch { le32(&bytes[0x88..]) & 3 } else { 0 };
    i64::from(le32(&bytes[0x10..]).cast_signed()) + (i64::from(epoch) << 32)
}

/// The 16-bit number at `at`; 0 behind the end.
fn half_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(bytes.get(at..).map_or(0, le16))
}

/// Whether the checksum of an inode is right. An inode without room for the upper half of the checksum has only the
/// lower half.
fn is_intact(bytes: &[u8], seed: u32) -> bool {
    let has_upper = bytes.len() > 128 && half_at(bytes, 0x80) >= 4;
    let holes = [(0x7c, 2), (0x82, if has_upper { 2 } else { 0 })];
    let sum = crc32c_without(seed, bytes, &holes);
    let upper = if has_upper { half_at(bytes, 0x82) << 16 } else { sum & 0xffff_0000 };
    sum == half_at(bytes, 0x7c) | upper
}
