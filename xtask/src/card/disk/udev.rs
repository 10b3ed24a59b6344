//! The database of udev with the file systems of disks and partitions: readable by every user, unlike the devices.

use std::path::PathBuf;

use super::{DeviceNumber, Roots};
use crate::base::bounded::{self, Links};

/// The size of the largest entry that is read, in bytes.
const MAX_ENTRY: u64 = 1 << 20;

/// A file system, by the database of udev or by the disk itself; without label and type where neither shows one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filesystem {
    pub label: Option<String>,
    /// The type: `vfat`, `ext4`, `zfs_member`.
    pub fstype: Option<String>,
}

/// The file system on the block device with this number.
pub fn filesystem(roots: &Roots, number: Option<DeviceNumber>) -> Filesystem {
    let entry =
        number.and_then(|number| bounded::read(&entry_path(roots, number), MAX_ENTRY, Links::Follow).ok());
    parse(&String::from_utf8_lossy(&entry.unwrap_or_default()))
}

/// Whether udev has processed the block device with this number; true where no udev runs, and for a disk without a
/// number.
pub fn has_processed(roots: &Roots, number: Option<DeviceNumber>) -> bool {
    let is_running = roots.run.join("udev/control").exists();
    !is_running || number.is_none_or(|number| entry_path(roots, number).exists())
}

/// The path of the entry for the block device with this number.
fn entry_path(roots: &Roots, number: DeviceNumber) -> PathBuf {
    roots.run.join(format!("udev/data/b{number}"))
}

/// Parses an entry of the database.
fn parse(entry: &str) -> Filesystem {
    Filesystem { label: property(entry, "ID_FS_LABEL"), fstype: property(entry, "ID_FS_TYPE") }
}

/// The value of `key` in `entry`, by the line `E:KEY=VALUE`; `None` where it is absent or empty.
fn property(entry: &str, key: &str) -> Option<String> {
    let mut properties = entry.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('='));
    let (_, value) = properties.find(|(name, _)| *name == key)?;
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_and_the_type_of_a_file_system_are_read() {
        let text = "S:disk/by-label/NIXOS_SD\nE:ID_FS_LABEL=NIXOS_SD\nE:ID_FS_LABEL_ENC=NIXOS_SD\nE:ID_FS_TYPE=ext4\n";
        let found = Filesystem { label: Some("NIXOS_SD".to_owned()), fstype: Some("ext4".to_owned()) };
        assert_eq!(parse(text), found);
        assert_eq!(parse("E:DEVTYPE=partition\n"), Filesystem::default());
    }

    #[test]
    fn fuzz_an_entry_of_the_database() {
        let text = "S:disk/by-label/NIXOS_SD\nE:ID_FS_LABEL=NIXOS_SD\nE:ID_FS_TYPE=ext4\n";
        crate::base::fuzz::check_text(&[text], parse);
    }
}
