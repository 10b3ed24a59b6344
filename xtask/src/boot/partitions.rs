//! Which partitions U-Boot scans: those that the partition table marks as bootable, or the first one if none is marked.

use anyhow::{Context, Result};

use crate::{bail, failure};

/// The first of the partitions that are `marked` as bootable.
///
/// # Errors
/// `Verification` where no partition is marked.
pub fn first_marked<T>(marked: &[T]) -> Result<&T> {
    marked.first().ok_or_else(|| failure!(Verification, "no partition is marked bootable"))
}

/// The facts that decide which partitions of a disk U-Boot scans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Whether the partition table is a GPT, not an MBR.
    pub is_gpt: bool,
    /// The numbers of the partitions that are marked as bootable.
    pub marked: Vec<u32>,
    /// The number of the partition with the boot menu.
    pub menu: u32,
}

/// The command that marks partition `number` of `disk` as bootable. In an MBR only `others` then keep their mark, in a
/// GPT all others do.
pub fn mark_command(disk: &str, is_gpt: bool, others: &[u32], number: u32) -> String {
    if is_gpt {
        return format!("sfdisk --part-attrs {disk} {number} LegacyBIOSBootable");
    }
    let numbers = others.iter().chain([&number]).map(|number| format!(" {number}")).collect::<String>();
    format!("sfdisk --activate {disk}{numbers}")
}

impl Scan {
    /// Fails where U-Boot does not scan the partition with the boot menu.
    pub fn check(&self) -> Result<()> {
        // Without a mark U-Boot scans the first partition.
        if self.marked.contains(&self.menu) || self.marked.is_empty() && self.menu == 1 {
            return Ok(());
        }
        let doing = || format!("finding the boot menu on partition {}", self.menu);
        first_marked(&self.marked).with_context(doing)?;
        bail!(Verification, "partition {}, which has the boot menu, is not marked bootable", self.menu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_marked_in_either_table() {
        assert_eq!(mark_command("/dev/sda", false, &[1], 2), "sfdisk --activate /dev/sda 1 2");
        assert_eq!(
            mark_command("/dev/sda", true, &[1], 2),
            "sfdisk --part-attrs /dev/sda 2 LegacyBIOSBootable"
        );
    }

    #[test]
    fn u_boot_scans_the_marked_partitions() {
        for (marked, menu, expected) in [
            (&[1, 2][..], 2, ""),
            (&[2], 2, ""),
            (&[], 1, ""),
            (&[], 2, "finding the boot menu on partition 2: no partition is marked bootable"),
            (&[1], 2, "partition 2, which has the boot menu, is not marked bootable"),
        ] {
            let found = Scan { is_gpt: false, marked: marked.to_vec(), menu }.check();
            let found = found.map_err(|error| format!("{error:#}")).err().unwrap_or_default();
            assert_eq!(found, expected, "{marked:?}, {menu}");
        }
    }
}
