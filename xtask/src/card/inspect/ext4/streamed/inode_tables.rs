//! Where the inodes of a file system are that is read from its start to its end.

use super::super::{SUPERBLOCK_START, Superblock};

/// How much of a file system is kept for its superblock and its group descriptors, in bytes.
const MAX_HEAD: usize = 1 << 20;

/// The inode tables of a file system.
#[derive(Debug)]
pub struct InodeTables {
    pub superblock: Superblock,
    /// The end of the group descriptors, in bytes.
    pub descriptors_end: u64,
    /// The first block and the group of each inode table, in ascending order.
    pub(super) starts: Vec<(u64, u32)>,
}

/// The result of [`InodeTables::read`].
pub enum FoundTables {
    /// The head does not have all group descriptors yet.
    Incomplete,
    /// The file system is not supported, damaged, or has its descriptors behind [`MAX_HEAD`].
    Unknown,
    Complete(InodeTables),
}

impl InodeTables {
    /// Reads the superblock and the group descriptors in `head`, the beginning of a file system of `size` bytes.
    pub fn read(head: &[u8], size: u64) -> FoundTables {
        let start = usize::try_from(SUPERBLOCK_START).unwrap_or_default();
        let Some(bytes) = head.get(start..2 * start) else { return FoundTables::Incomplete };
        let Ok(superblock) = Superblock::parse(bytes, size) else { return FoundTables::Unknown };
        let table_start = superblock.descriptor_table() * superblock.block_size;
        let descriptors_end = table_start.saturating_add(superblock.groups() * superblock.descriptor_size);
        let [Ok(table_start), Ok(table_end)] = [table_start, descriptors_end].map(usize::try_from) else {
            return FoundTables::Unknown;
        };
        if table_end > MAX_HEAD {
            return FoundTables::Unknown;
        }
        let Some(table) = head.get(table_start..table_end) else { return FoundTables::Incomplete };
        let descriptors = table.chunks_exact(usize::try_from(superblock.descriptor_size).unwrap_or(64));
        let starts = descriptors.map(|descriptor| superblock.inode_table(descriptor));
        let Ok(starts) = starts.collect::<Result<Vec<_>, _>>() else { return FoundTables::Unknown };
        let mut starts = starts.into_iter().zip(0..).collect::<Vec<_>>();
        starts.sort_unstable();
        FoundTables::Complete(Self { superblock, descriptors_end, starts })
    }

    /// The number of the first inode in block `number`; `None` for a block outside the inode tables.
    pub fn first_inode_in(&self, number: u64) -> Option<u32> {
        let table = self.starts.partition_point(|(start, _)| *start <= number).checked_sub(1)?;
        let (start, group) = self.starts[table];
        let index = number - start;
        let superblock = &self.superblock;
        if index >= superblock.inode_table_blocks() {
            return None;
        }
        let inodes_before = u32::try_from(index * superblock.block_size / superblock.inode_size).ok()?;
        group.checked_mul(superblock.inodes_in_group)?.checked_add(inodes_before)?.checked_add(1)
    }
}
