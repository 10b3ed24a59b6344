//! The kind of a disk, by its name, the buses of its device path and the type that a card reports.
//! `removable` is not read: USB readers report 0.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::DiskKind;
use super::sysfs::BlockDevice;

/// The devices that are never a card: the prefix of their names, and what they are, for messages.
const OTHER_BY_NAME: &[(&str, &str)] = &[
    ("dm-", "a device-mapper volume"),
    ("fd", "a floppy drive"),
    ("md", "a RAID array"),
    ("mtdblock", "raw flash of the machine"),
    ("nbd", "a network block device"),
    ("pmem", "persistent memory"),
    ("ram", "a RAM disk"),
    ("sr", "an optical drive"),
    ("zd", "a ZFS volume"),
    ("zram", "compressed memory"),
];

/// The buses of internal disks: the prefix of the component in the device path, and the name for messages. The first
/// that matches counts: SATA and iSCSI disks are below a `host` too.
const INTERNAL_BUSES: &[(&str, &str)] = &[
    ("nvme", "NVMe disk"),
    ("ata", "SATA disk"),
    ("virtio", "virtio disk"),
    ("session", "iSCSI disk"),
    ("host", "SCSI disk"),
];

/// The kind of a whole disk.
pub fn disk_kind(disk: &BlockDevice) -> DiskKind {
    let name = disk.name();
    let other = |why: &str| DiskKind::Other { why: why.to_owned() };
    if is_numbered(&name, "loop") {
        return DiskKind::Loop { backing: disk.text("loop/backing_file").map(PathBuf::from) };
    }
    if let Some((_, why)) = OTHER_BY_NAME.iter().find(|(prefix, _)| is_numbered(&name, prefix)) {
        return other(why);
    }
    if name.starts_with("mmcblk") {
        return mmc_kind(disk, &name);
    }
    if disk.is_set("hidden") {
        return other("a hidden path of another disk");
    }
    kind_by_bus(disk.dir()).unwrap_or_else(|| other("a device of an unknown kind"))
}

/// The kind of the disk `name`, which has the driver of SD cards and eMMC.
fn mmc_kind(disk: &BlockDevice, name: &str) -> DiskKind {
    let is_special_area = ["boot", "rpmb", "gp"].iter().any(|area| name.contains(area));
    if is_special_area {
        return DiskKind::Other { why: "a boot or protected area of an eMMC".to_owned() };
    }
    match disk.text("device/type").as_deref() {
        Some("SD") => DiskKind::SdCard,
        _ => DiskKind::SolderedEmmc,
    }
}

/// The kind of the disk with the device path `dir` in sysfs, by the bus to which the disk is connected; `None` for an
/// unknown bus.
fn kind_by_bus(dir: &Path) -> Option<DiskKind> {
    let parts = dir.iter().filter_map(OsStr::to_str).collect::<Vec<_>>();
    let is_on_bus = |prefix: &str| parts.iter().any(|part| is_numbered(part, prefix));
    if is_on_bus("usb") {
        return Some(DiskKind::Usb);
    }
    let (_, bus) = INTERNAL_BUSES.iter().find(|(prefix, _)| is_on_bus(prefix))?;
    Some(DiskKind::Internal { bus: (*bus).to_owned() })
}

/// Whether `name` begins with `prefix` and a digit: true for `loop10` and `loop`, false for `sram` and `sr`.
fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}
