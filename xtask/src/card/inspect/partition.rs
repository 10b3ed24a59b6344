//! One entry of a partition table, whichever kind of table it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::Bytes;

/// The sector size in which an MBR counts, in bytes.
pub const SECTOR: u64 = 512;

/// A partition that can hold a file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Counted from 1.
    pub number: u32,
    pub kind: Type,
    pub bootable: bool,
    /// Where it begins, in bytes from the start of the disk.
    pub start: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// What a partition is for, in the words of its table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Type {
    /// 0x0b and 0x0c are FAT32, 0x83 is Linux.
    Mbr(u8),
    /// A GUID in lower case.
    Gpt(String),
}

impl Partition {
    /// The first byte behind it.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.size)
    }
}

/// The number that `bytes` begin with, little-endian; 0 where they are too short for one.
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
