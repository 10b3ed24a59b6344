//! Finding disks: one by its path, or all of them.

use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result};

use super::backing::InodeId;
use super::sysfs::BlockDevice;
use super::udev::Filesystem;
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
        let to_path_error = |error| path_error(roots, path, error);
        let real_path = path.canonicalize().map_err(to_path_error)?;
        let stat = real_path.metadata().map_err(to_path_error)?;
        if stat.is_file() {
            return Ok(describe_file(roots, &real_path, &stat));
        }
        if !stat.file_type().is_block_device() {
            return Err(not_a_disk_error(path, stat.file_type()));
        }
        Self::by_number(roots, DeviceNumber::from_raw(stat.rdev()))
            .with_context(|| format!("inspecting {}", path.display()))
    }

    /// The disk with this device number.
    ///
    /// # Errors
    /// No block device with this number, or a partition.
    pub fn by_number(roots: &Roots, number: DeviceNumber) -> Result<Self> {
        let missing = || failure!(Io, "there is no block device {number} in sysfs");
        let device = BlockDevice::by_number(roots, number).ok_or_else(missing)?;
        refuse_partition(&device)?;
        Ok(describe(roots, &device, &Usage::load(roots)))
    }
}

/// The error for a `path` whose file cannot be found or read because of `error`.
fn path_error(roots: &Roots, path: &Path, error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::NotFound => missing_error(roots, path),
        _ => anyhow::Error::new(error).context(format!("inspecting {}", path.display())),
    }
}

/// The error for the file at `path`, which is neither a block device nor a plain file.
fn not_a_disk_error(path: &Path, file_type: FileType) -> anyhow::Error {
    let shown = path.display();
    let what = if file_type.is_dir() {
        "a folder"
    } else if file_type.is_char_device() {
        "a character device"
    } else {
        "a pipe or a socket"
    };
    failure!(Refused(NotACard), "{shown} is {what}, not a disk"; hint: "run `cargo xtask devices` to list the disks")
}

/// The error for a `path` that does not exist. Where only `/dev/` is missing in front of the path, the hint is the
/// whole path.
fn missing_error(roots: &Roots, path: &Path) -> anyhow::Error {
    let shown = path.display();
    let in_dev = Path::new("/dev").join(path);
    let is_name = path.is_relative() && path.file_name().is_some();
    if is_name && BlockDevice::by_path(roots, &in_dev).is_some() {
        return failure!(Refused(NoSuchDisk), "there is no {shown}"; hint: "did you mean {}?", in_dev.display());
    }
    absent_error(path)
}

/// The error for the disk at `path`, which does not exist.
pub fn absent_error(path: &Path) -> anyhow::Error {
    failure!(
        Refused(NoSuchDisk),
        "there is no {}", path.display();
        hint: "is the card plugged in? `cargo xtask devices` lists the cards"
    )
}

/// Every disk of the machine, sorted by name, without drives that have no medium and without unused loop devices.
pub fn list(roots: &Roots) -> Result<Vec<Disk>> {
    let devices = present_devices(roots)?;
    let usage = Usage::load(roots);
    Ok(devices.iter().map(|device| describe(roots, device, &usage)).collect())
}

/// The block devices of the disks that [`list`] returns, read from sysfs alone, which is cheap.
pub(super) fn present_devices(roots: &Roots) -> Result<Vec<BlockDevice>> {
    let folder = roots.sys.join("block");
    let entries = folder.read_dir().with_context(|| format!("listing disks in {}", folder.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut devices = names.filter_map(|name| BlockDevice::by_name(roots, &name)).collect::<Vec<_>>();
    devices.retain(|device| device.size() > 0);
    devices.sort_by_key(BlockDevice::name);
    Ok(devices)
}

/// Fails where `device` is a partition.
fn refuse_partition(device: &BlockDevice) -> Result<()> {
    if device.is_partition() {
        let part = device.path();
        let disk = device.disk().path();
        bail!(
            Refused(NotACard),
            "{} is a partition, not a whole disk",
            part.display();
            hint: "name the whole disk: {}",
            disk.display()
        );
    }
    Ok(())
}

/// Describes the whole disk `device` by sysfs, udev, its own content and its uses in `usage`.
fn describe(roots: &Roots, device: &BlockDevice, usage: &Usage) -> Disk {
    let sector_size = device.number("queue/logical_block_size").and_then(|size| u32::try_from(size).ok());
    Disk {
        name: device.name(),
        path: device.path(),
        number: device.device_number(),
        size: device.size(),
        sector_size: sector_size.unwrap_or(DEFAULT_SECTOR),
        read_only: device.is_set("ro") || device.is_set("force_ro"),
        kind: kind::disk_kind(device),
        // A virtio disk has a number there, such as 0x1af4.
        vendor: device.text("device/vendor").filter(|vendor| !vendor.starts_with("0x")),
        model: device.text("device/model").or_else(|| device.text("device/name")),
        serial: serial(device),
        diskseq: device.number("diskseq"),
        partitions: partitions(roots, device),
        uses: [usage.uses_of(device), usage.uses_of_backing(roots, device)].concat(),
    }
}

/// The partitions of `disk` that the kernel knows. Where the kernel knows none: the file system that udev found on the
/// whole disk, else what the disk itself holds, a file system or a partition table. None without a medium.
fn partitions(roots: &Roots, disk: &BlockDevice) -> Vec<Partition> {
    let known = disk.partitions();
    if !known.is_empty() || disk.size() == 0 {
        return known.iter().map(|part| partition(roots, part)).collect();
    }
    let Filesystem { label, fstype } = udev::filesystem(roots, disk.device_number());
    if fstype.is_some() {
        return vec![Partition { name: None, number: 0, start: 0, size: disk.size(), label, fstype }];
    }
    probe::partitions(&disk.node(roots), disk.size())
}

/// The partition `device`, with its file system by udev, or where udev knows none, by the partition itself.
fn partition(roots: &Roots, device: &BlockDevice) -> Partition {
    let mut filesystem = udev::filesystem(roots, device.device_number());
    if filesystem == Filesystem::default() {
        filesystem = probe::filesystem(&device.node(roots), 0);
    }
    let Filesystem { label, fstype } = filesystem;
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

/// Describes the plain file `path` as a virtual card.
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
        uses: Usage::load(roots).uses_of_file(roots, path, Some(InodeId::from_metadata(stat))),
    }
}
