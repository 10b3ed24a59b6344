//! What udev has found on a disk or partition: readable by everybody, unlike the device itself.

use super::{Number, Roots};
use crate::base::bounded::{self, Links};

/// The largest entry that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// A filesystem as udev's database describes it; empty where there is no udev or no filesystem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filesystem {
    pub label: Option<String>,
    /// `vfat`, `ext4`, `zfs_member`.
    pub fstype: Option<String>,
}

/// Looks up the block device with this number.
pub fn filesystem(roots: &Roots, number: Option<Number>) -> Filesystem {
    let file = |number| roots.run.join(format!("udev/data/b{number}"));
    let text = number.and_then(|number| bounded::read(&file(number), LARGEST, Links::Follow).ok());
    let text = text.unwrap_or_default();
    parse(&String::from_utf8_lossy(&text))
}

/// Whether udev has looked at the block device with this number; true where there is no udev.
pub fn has_looked(roots: &Roots, number: Option<Number>) -> bool {
    let entry = |number| roots.run.join(format!("udev/data/b{number}")).exists();
    !roots.run.join("udev/control").exists() || number.is_none_or(entry)
}

fn parse(text: &str) -> Filesystem {
    let value = |key: &str| {
        let own =
            |line: &str| Some(line.strip_prefix("E:")?.strip_prefix(key)?.strip_prefix('=')?.to_owned());
        text.lines().find_map(own).filter(|value| !value.is_empty())
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
