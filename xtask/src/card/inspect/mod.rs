//! Reading cards and images: partition tables, file systems, and the files that a Pi boots from. All of these bytes are
//! foreign and are read within a [`Budget`].

mod boot_files;
mod boots;
mod budget;
pub mod ext4;
mod extlinux;
mod fat;
mod firmware;
mod gpt;
mod inspection;
mod other_file;
mod partition;
mod partition_table;
mod read_at;
mod verdict;

pub use boot_files::{
    BoardStart, BootFiles, Filesystem, LoginFiles, board_start, identify_filesystem, prove_boards,
    prove_firmware, read_login_files,
};
pub use boots::proofs;
pub use budget::{Budget, LimitedRegion, MAX_MEMORY};
pub use ext4::{Ext4, Inode, Superblock};
#[cfg(test)]
pub(crate) use fat::tests::make_fat32;
pub use inspection::{Inspection, inspect, inspect_partitions};
pub use other_file::{OTHER_HEAD, OtherFile, WITH_DICTIONARY, content_path};
pub use partition::{Partition, SECTOR};
#[cfg(test)]
pub(crate) use partition_table::tests::mbr;
pub use partition_table::{HEAD, PartitionTable};
pub use read_at::ReadAt;
pub use verdict::Verdict;

pub use crate::base::Format;
