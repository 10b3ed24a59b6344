//! The file systems on partitions that a Pi boots from, with their labels.

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

use super::read;
use crate::base::Bytes;
use crate::card::inspect::partition::Partition;
use crate::card::inspect::partition_table::PartitionTable;
use crate::card::inspect::{Budget, ReadAt};

pub const EXT4: &str = "ext4";
const FAT32: &str = "FAT32";
pub const FAT16: &str = "FAT16";

/// A partition with the file system on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Volume {
    pub partition: Partition,
    pub filesystem: String,
    pub label: String,
}

impl Volume {
    /// Whether the firmware of a Pi can be read from this file system.
    pub fn is_fat(&self) -> bool {
        matches!(self.filesystem.as_str(), FAT32 | FAT16)
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, filesystem, label } = self;
        let boot = if partition.bootable { ", bootable" } else { "" };
        write!(f, "{}: {label}, {filesystem}, {}{boot}", partition.number, Bytes(partition.size))
    }
}

/// The partitions with ext4, FAT32 or FAT16.
pub fn volumes(disk: &dyn ReadAt, layout: &PartitionTable, budget: &Budget) -> Result<Vec<Volume>> {
    let found = layout.partitions.iter().map(|partition| volume(disk, partition, budget));
    found.filter_map(Result::transpose).collect()
}

/// The file system on `partition`; `None` where it is neither ext4 nor FAT32 nor FAT16.
fn volume(disk: &dyn ReadAt, partition: &Partition, budget: &Budget) -> Result<Option<Volume>> {
    let head = read(disk, partition.start, partition.size.min(2048), budget)?;
    let Some(Filesystem { kind, label }) = identify_filesystem(&head) else { return Ok(None) };
    Ok(Some(Volume { partition: partition.clone(), filesystem: kind.to_owned(), label }))
}

/// The kind and the label of a file system.
#[derive(Debug, PartialEq, Eq)]
pub struct Filesystem {
    pub kind: &'static str,
    pub label: String,
}

/// The file system that begins with `head`, which has 2 KiB or more; `None` where it is neither ext4 nor FAT32 nor
/// FAT16.
pub fn identify_filesystem(head: &[u8]) -> Option<Filesystem> {
    let text = |at: usize, len: usize| {
        let bytes = head.get(at..at + len).unwrap_or_default();
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).trim_end().to_owned()
    };
    // The magic number and the label in the superblock, which begins at 1024.
    if head.get(1024 + 56..1024 + 58) == Some(&[0x53, 0xef]) {
        return Some(Filesystem { kind: EXT4, label: text(1024 + 120, 16) });
    }
    if text(82, 8) == FAT32 {
        return Some(Filesystem { kind: FAT32, label: text(71, 11) });
    }
    (text(54, 8) == FAT16).then(|| Filesystem { kind: FAT16, label: text(43, 11) })
}
