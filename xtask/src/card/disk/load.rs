//! Finding disks: one by its path, or all of them.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result};

use super::sysfs::Node;
use super::usage::Usage;
use super::{Disk, Kind, Number, Partition, Roots, kind, probe, udev};
use crate::base::failure::ExitKind as Failure;

/// The logical sector size of disks that do not tell, and of plain files, in bytes.
const SECTOR: u32 = 512;

impl Disk {
    /// The disk at `path`: a device node, a link to one (`/dev/disk/by-id/...`) or a plain file.
    /// Fails where it is absent, no disk (a folder, a character device) or only a part of one.
    pub fn load(roots: &Roots, path: &Path) -> Result<Self> {
        let shown = path.display();
        let found = path.canonicalize().and_then(|real| Ok((real.metadata()?, real)));
        let (stat, real) = found.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::Refused.error(absent(roots, path)),
            _ => anyhow::Error::new(error).context(format!("looking at {shown}")),
        })?;
        if stat.is_file() {
            return Ok(file(roots, &real, &stat));
        }
        if !stat.file_type().is_block_device() {
            let what = match stat.file_type() {
                kind if kind.is_dir() => "a folder",
                kind if kind.is_char_device() => "a character device",
                _ => "a pipe or a socket",
            };
            return Err(Failure::Refused
                .error(format!("{shown} is {what}, not a disk; `cargo xtask devices` lists the disks")));
        }
        Self::by_number(roots, Number::from_raw(stat.rdev())).with_context(|| format!("looking at {shown}"))
    }

    /// The disk with this device number.
    pub fn by_number(roots: &Roots, number: Number) -> Result<Self> {
        let missing = || Failure::Io.error(format!("there is no block device {number} in sysfs"));
        let node = Node::by_number(roots, number).ok_or_else(missing)?;
        whole(&node)?;
        Ok(describe(roots, &node, &Usage::load(roots)))
    }
}

/// What to say where there is nothing at `path`, which may lack its `/dev/`.
fn absent(roots: &Roots, path: &Path) -> String {
    let (shown, below) = (path.display(), Path::new("/dev").join(path));
    if path.is_relative() && below.file_name() == path.file_name() && Node::by_path(roots, &below).is_some() {
        return format!("there is no {shown}; did you mean {}?", below.display());
    }
    format!("there is no {shown}; is the card plugged in? `cargo xtask devices` lists what is there")
}

/// Every disk of the machine, by name; drives without a medium and unused loop devices are left out.
pub fn list(roots: &Roots) -> Result<Vec<Disk>> {
    let (nodes, usage) = (present(roots)?, Usage::load(roots));
    Ok(nodes.iter().map(|node| describe(roots, node, &usage)).collect())
}

/// The same in sysfs alone, at no cost.
pub(super) fn present(roots: &Roots) -> Result<Vec<Node>> {
    let folder = roots.sys.join("block");
    let entries = folder.read_dir().with_context(|| format!("looking for disks in {}", folder.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut nodes = names.filter_map(|name| Node::by_name(roots, &name)).collect::<Vec<_>>();
    nodes.retain(|node| node.size() > 0);
    nodes.sort_by_key(Node::name);
    Ok(nodes)
}

fn whole(node: &Node) -> Result<()> {
    if !node.is_partition() {
        return Ok(());
    }
    let (part, disk) = (node.path(), node.disk().path());
    let (part, disk) = (part.display(), disk.display());
    Err(Failure::Refused.error(format!("{part} is a partition; an image needs the whole disk: {disk}")))
}

fn describe(roots: &Roots, node: &Node, usage: &Usage) -> Disk {
    let sector_size = node.number("queue/logical_block_size").and_then(|size| u32::try_from(size).ok());
    Disk {
        name: node.name(),
        path: node.path(),
        number: node.device_number(),
        size: node.size(),
        sector_size: sector_size.unwrap_or(SECTOR),
        read_only: node.flag("ro") || node.flag("force_ro"),
        kind: kind::kind(node),
        vendor: node.text("device/vendor").filter(|vendor| !vendor.starts_with("0x")),
        model: node.text("device/model").or_else(|| node.text("device/name")),
        serial: serial(node),
        diskseq: node.number("diskseq"),
        partitions: partitions(roots, node),
        uses: [usage.of(node), usage.of_backing(roots, node)].concat(),
    }
}

/// The partitions as the kernel knows them, and where it knows none, what udev says of the whole disk,
/// or what the disk itself says.
fn partitions(roots: &Roots, disk: &Node) -> Vec<Partition> {
    let known = disk.partitions();
    if known.is_empty() && disk.size() > 0 {
        let udev::Filesystem { label, fstype } = udev::filesystem(roots, disk.device_number());
        if fstype.is_some() {
            return vec![Partition { name: None, number: 0, start: 0, size: disk.size(), label, fstype }];
        }
        return probe::partitions(&roots.dev.join(disk.device_path()), disk.size());
    }
    known.iter().map(|part| partition(roots, part)).collect()
}

fn partition(roots: &Roots, node: &Node) -> Partition {
    let found = udev::filesystem(roots, node.device_number());
    let probed = || probe::filesystem(&roots.dev.join(node.device_path()), 0);
    let udev::Filesystem { label, fstype } =
        if found == udev::Filesystem::default() { probed() } else { found };
    let number = node.number("partition").and_then(|number| u32::try_from(number).ok());
    Partition {
        name: Some(node.name()),
        number: number.unwrap_or_default(),
        start: node.start(),
        size: node.size(),
        label,
        fstype,
    }
}

/// An SD card's CID, a disk's serial number, or that of the USB device around it.
fn serial(node: &Node) -> Option<String> {
    let own = ["device/cid", "device/serial", "serial"].iter().find_map(|name| node.text(name));
    own.or_else(|| usb_serial(node))
}

/// The serial number of the nearest device upwards that has one together with a USB vendor.
fn usb_serial(node: &Node) -> Option<String> {
    let device = node.dir().ancestors().find(|dir| dir.join("idVendor").exists())?;
    let text = std::fs::read_to_string(device.join("serial")).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn file(roots: &Roots, path: &Path, stat: &Metadata) -> Disk {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Disk {
        name,
        path: path.to_owned(),
        number: None,
        size: stat.len(),
        sector_size: SECTOR,
        read_only: stat.permissions().readonly(),
        kind: Kind::File { device: stat.dev(), inode: stat.ino() },
        vendor: None,
        model: None,
        serial: None,
        diskseq: None,
        partitions: probe::partitions(path, stat.len()),
        uses: Usage::load(roots).of_file(roots, path),
    }
}
