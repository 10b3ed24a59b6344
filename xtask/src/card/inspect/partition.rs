//! A partition, as an MBR or a GPT describes it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Bytes;

/// The size of a sector in partition tables, in bytes.
pub const SECTOR: u64 = 512;

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ImagePartition")]
pub struct Partition {
    /// The number, from 1.
    pub number: u32,
    pub kind: Type,
    pub bootable: bool,
    /// The start, in bytes from the start of the disk.
    // Receipts of earlier versions have the alias, here and below.
    #[serde(rename = "start_bytes", alias = "start")]
    pub start: u64,
    /// The size in bytes.
    #[serde(rename = "bytes", alias = "size")]
    pub size: u64,
}

/// The type of a partition, as its table has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Type {
    /// 0x0b and 0x0c are FAT32; 0x04, 0x06 and 0x0e are FAT16; 0x83 is Linux.
    Mbr(u8),
    /// A GUID in lower case.
    Gpt(String),
}

impl Partition {
    /// The first byte behind the partition, from the start of the disk.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.size)
    }

    /// Whether a GPT, not an MBR, describes the partition.
    pub fn is_in_gpt(&self) -> bool {
        matches!(self.kind, Type::Gpt(_))
    }
}

/// The little-endian number at the start of `bytes`; 0 where there are fewer than four.
pub fn le32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |word| u32::from_le_bytes(*word))
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let boot = if self.bootable { ", bootable" } else { "" };
        write!(f, "{}: {}, {}{boot}", self.number, self.kind, Bytes(self.size))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mbr(0x0b | 0x0c) => f.write_str("FAT32"),
            Self::Mbr(0x04 | 0x06 | 0x0e) => f.write_str("FAT16"),
            Self::Mbr(0x83) => f.write_str("Linux"),
            Self::Mbr(other) => write!(f, "type {other:#04x}"),
            Self::Gpt(guid) => match guid.as_str() {
                "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" => f.write_str("EFI system"),
                "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7" => f.write_str("basic data"),
                "0fc63daf-8483-4772-8e79-3d69d8477de4" => f.write_str("Linux"),
                "b921b045-1df0-41c3-af44-4c6f280d3fae" => f.write_str("Linux root for AArch64"),
                other => write!(f, "type {other}"),
            },
        }
    }
}
