//! What a disk is, told by its name, its place on the buses and what the card says of itself.
//! `removable` is not asked: USB readers report 0.

use std::path::{Component, Path, PathBuf};

use super::Kind;
use super::sysfs::Node;

/// Devices that are no card whatever they hold, by the start of their names.
const OTHER: [(&str, &str); 10] = [
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

/// The buses of internal disks: how their component of the device path begins, and what people call them.
const INTERNAL: [(&str, &str); 5] = [
    ("nvme", "NVMe disk"),
    ("ata", "SATA disk"),
    ("virtio", "virtio disk"),
    ("session", "iSCSI disk"),
    ("host", "SCSI disk"),
];

/// The kind of the whole disk `node`.
pub fn kind(node: &Node) -> Kind {
    let name = node.name();
    let other = |why: &str| Kind::Other { why: why.to_owned() };
    if begins(&name, "loop") {
        return Kind::Loop { backing: node.text("loop/backing_file").map(PathBuf::from) };
    }
    if let Some((_, why)) = OTHER.iter().find(|(prefix, _)| begins(&name, prefix)) {
        return other(why);
    }
    if name.starts_with("mmcblk") {
        return mmc(node, &name);
    }
    if node.flag("hidden") {
        return other("a hidden path of another disk");
    }
    on_bus(node.dir()).unwrap_or_else(|| other("a device of an unknown kind"))
}

fn mmc(node: &Node, name: &str) -> Kind {
    if name.contains("boot") || name.contains("rpmb") || name.contains("gp") {
        return Kind::Other { why: "a boot or protected area of an eMMC".to_owned() };
    }
    match node.text("device/type").as_deref() {
        Some("SD") => Kind::SdCard,
        _ => Kind::SolderedEmmc,
    }
}

fn on_bus(dir: &Path) -> Option<Kind> {
    let parts = dir.components().filter_map(|part| match part {
        Component::Normal(part) => part.to_str(),
        _ => None,
    });
    let parts = parts.collect::<Vec<_>>();
    if parts.iter().any(|part| begins(part, "usb")) {
        return Some(Kind::Usb);
    }
    let known = |prefix: &str| parts.iter().any(|part| begins(part, prefix));
    let bus = INTERNAL.iter().find(|(prefix, _)| known(prefix))?;
    Some(Kind::Internal { bus: bus.1.to_owned() })
}

/// Whether `name` is `prefix` and a number: `loop10` begins with `loop`, `sram` does not with `ram`.
fn begins(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}
