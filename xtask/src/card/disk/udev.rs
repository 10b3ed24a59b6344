//! The database of udev with the file systems of disks and partitions: readable by every user, unlike the devices.

use super::{DeviceNumber, Roots};
use crate::base::bounded::{self, Links};

/// The size of the largest entry that is read, in bytes.
const MAX_ENTRY: u64 = 1 << 20;

/// A file system as the database describes it; empty where there is no udev or no file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filesystem {
    pub label: Option<String>,
    /// `vfat`, `ext4`, `zfs_member`.
    pub fstype: Option<String>,
}

/// The file system on the block device with this number.
pub fn filesystem(roots: &Roots, number: Option<DeviceNumber>) -> Filesystem {
    let file = |number| roots.run.join(format!("udev/data/b{number}"));
    let text = number.and_then(|number| bounded::read(&file(number), MAX_ENTRY, Links::Follow).ok());
    parse(&String::from_utf8_lossy(&text.unwrap_or_default()))
}

/// Whether udev has processed the block device with this number; true where there is no udev.
pub fn has_processed(roots: &Roots, number: Option<DeviceNumber>) -> bool {
    let entry = |number| roots.run.join(format!("udev/data/b{number}")).exists();
    !roots.run.join("udev/control").exists() || number.is_none_or(entry)
}

fn parse(text: &str) -> Filesystem {
    let value = |key: &str| {
        let value_of =
            |line: &str| Some(line.strip_prefix("E:")?.strip_prefix(key)?.strip_prefix('=')?.to_owned());
        text.lines().find_map(value_of).filter(|value| !value.is_empty())
    };
    Filesystem { label: value("ID_FS_LABEL"), fstype: value("ID_FS_TYPE") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_an_entry_of_the_database() {
        let text = "S:disk/by-label/NIXOS_SD\nE:ID_FS_LABEL=NIXOS_SD\nE:ID_FS_LABEL_ENC=NIXOS_SD\nE:ID_FS_TYPE=ext4\n";
        let found = Filesystem { label: Some("NIXOS_SD".to_owned()), fstype: Some("ext4".to_owned()) };
        assert_eq!(parse(text), found);
        assert_eq!(parse("E:DEVTYPE=partition\n"), Filesystem::default());
        crate::base::fuzz::check_text(&[text], parse);
    }
}
