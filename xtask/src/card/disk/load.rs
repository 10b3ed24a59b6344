//! Finding disks: one by its path, or all of them.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result};

use super::sysfs::BlockDevice;
use super::usage::Usage;
use super::{DeviceNumber, Disk, DiskKind, Partition, Roots, kind, probe, udev};
use crate::{bail, failure};

/// The logical sector size of plain files, and of disks without this attribute in sysfs, in bytes.
const DEFAULT_SECTOR: u32 = 512;

impl Disk {
    /// The disk at `path`: a device node, a link to one (`/dev/disk/by-id/...`) or a plain file.
    ///
    /// # Errors
    /// Nothing at `path`, something else than a disk (a folder, a character device), or a partition.
    pub fn load(roots: &Roots, path: &Path) -> Result<Self> {
        let shown = path.display();
        let found = path.canonicalize().and_then(|real| Ok((real.metadata()?, real)));
        let (stat, real) = found.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => missing_error(roots, path),
            _ => anyhow::Error::new(error).context(format!("inspecting {shown}")),
        })?;
        if stat.is_file() {
            return Ok(describe_file(roots, &real, &stat));
        }
        if !stat.file_type().is_block_device() {
            let what = match stat.file_type() {
                kind if kind.is_dir() => "a folder",
                kind if kind.is_char_device() => "a character device",
                _ => "a pipe or a socket",
            };
            bail!(Refused, "{shown} is {what}, not a disk"; hint: "run `cargo xtask devices` to list the disks");
        }
        Self::by_number(roots, DeviceNumber::from_raw(stat.rdev()))
            .with_context(|| format!("inspecting {shown}"))
    }

    /// The disk with this device number.
    pub fn by_number(roots: &Roots, number: DeviceNumber) -> Result<Self> {
        let missing = || failure!(Io, "there is no block device {number} in sysfs");
        let device = BlockDevice::by_number(roots, number).ok_or_else(missing)?;
        refuse_partition(&device)?;
        Ok(describe(roots, &device, &Usage::load(roots)))
    }
}

/// The error for a `path` with nothing there, which may lack its `/dev/`.
fn missing_error(roots: &Roots, path: &Path) -> anyhow::Error {
    let shown = path.display();
    let below = Path::new("/dev").join(path);
    let is_name = path.is_relative() && below.file_name() == path.file_name();
    if is_name && BlockDevice::by_path(roots, &below).is_some() {
        return failure!(Refused, "there is no {shown}"; hint: "did you mean {}?", below.display());
    }
    failure!(
        Refused,
        "there is no {shown}";
        hint: "is the card plugged in? `cargo xtask devices` lists the cards"
    )
}

/// Every disk of the machine, by name, without drives that have no medium and without unused loop devices.
pub fn list(roots: &Roots) -> Result<Vec<Disk>> {
    let devices = present(roots)?;
    let usage = Usage::load(roots);
    Ok(devices.iter().map(|device| describe(roots, device, &usage)).collect())
}

/// The block devices of the disks that [`list`] returns, read from sysfs alone: this is cheap.
pub(super) fn present(roots: &Roots) -> Result<Vec<BlockDevice>> {
    let folder = roots.sys.join("block");
    let entries = folder.read_dir().with_context(|| format!("listing disks in {}", folder.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut devices = names.filter_map(|name| BlockDevice::by_name(roots, &name)).collect::<Vec<_>>();
    devices.retain(|device| device.size() > 0);
    devices.sort_by_key(BlockDevice::name);
    Ok(devices)
}

fn refuse_partition(device: &BlockDevice) -> Result<()> {
    if device.is_partition() {
        let part = device.path();
        let disk = device.disk().path();
        bail!(
            Refused,
            "{} is a partition, not a whole disk",
            part.display();
            hint: "name the whole disk: {}",
            disk.display()
        );
    }
    Ok(())
}

/// What sysfs, udev and the disk itself contain about the whole disk `device`.
fn describe(roots: &Roots, device: &BlockDevice, usage: &Usage) -> Disk {
    let sector_size = device.number("queue/logical_block_size").and_then(|size| u32::try_from(size).ok());
    Disk {
        name: device.name(),
        path: device.path(),
        number: device.device_number(),
        size: device.size(),
        sector_size: sector_size.unwrap_or(DEFAULT_SECTOR),
        read_only: device.flag("ro") || device.flag("force_ro"),
        kind: kind::disk_kind(device),
        vendor: device.text("device/vendor").filter(|vendor| !vendor.starts_with("0x")),
        model: device.text("device/model").or_else(|| device.text("device/name")),
        serial: serial(device),
        diskseq: device.number("diskseq"),
        partitions: partitions(roots, device),
        uses: [usage.of(device), usage.of_backing(roots, device)].concat(),
    }
}

/// The partitions that the kernel knows. Where it knows none: the file system that udev found on the whole disk, else
/// the partitions that the disk itself has.
fn partitions(roots: &Roots, disk: &BlockDevice) -> Vec<Partition> {
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

fn partition(roots: &Roots, device: &BlockDevice) -> Partition {
    let found = udev::filesystem(roots, device.device_number());
    let probed = || probe::filesystem(&roots.dev.join(device.device_path()), 0);
    let udev::Filesystem { label, fstype } =
        if found == udev::Filesystem::default() { probed() } else { found };
    let number = device.number("partition").and_then(|number| u32::try_from(number).ok());
    Partition {
        name: Some(device.name()),
        number: number.unwrap_or_default(),
        start: device.start(),
        size: device.size(),
        label,
        fstype,
    }
}

/// The CID of an SD card, the serial number of a disk, or that of the USB device that the disk belongs to.
fn serial(device: &BlockDevice) -> Option<String> {
    let own_serial = ["device/cid", "device/serial", "serial"].iter().find_map(|name| device.text(name));
    own_serial.or_else(|| usb_serial(device))
}

/// The serial number of the nearest ancestor of `device` that is a USB device.
fn usb_serial(device: &BlockDevice) -> Option<String> {
    let usb = device.dir().ancestors().find(|dir| dir.join("idVendor").exists())?;
    let text = std::fs::read_to_string(usb.join("serial")).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The virtual card that is the plain file `path`.
fn describe_file(roots: &Roots, path: &Path, stat: &Metadata) -> Disk {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Disk {
        name,
        path: path.to_owned(),
        number: None,
        size: stat.len(),
        sector_size: DEFAULT_SECTOR,
        read_only: stat.permissions().readonly(),
        kind: DiskKind::File { device: stat.dev(), inode: stat.ino() },
        vendor: None,
        model: None,
        serial: None,
        diskseq: None,
        partitions: probe::partitions(path, stat.len()),
        uses: Usage::load(roots).of_file(roots, path),
    }
}
