//! The backing of a virtual block device: the file or the block device behind a loop device, and the block device to
//! which a zram device writes back.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::ioctl::{Getter, ioctl};

use super::probe::with_timeout;
use super::sysfs::BlockDevice;
use super::{DeviceNumber, Roots, mounts};

/// The file or device behind a virtual block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    Device(BlockDevice),
    File {
        /// The path by which a process attached the file, in the mount namespace of that process.
        path: PathBuf,
        /// The file by its numbers, where the kernel could be asked.
        file: Option<InodeId>,
        /// Whether `path` leads to the file in the mount namespace of this process. A path of another mount namespace,
        /// and the path of a file that is gone or hidden by a mount, may lead to something else. Also true without
        /// `file`, where nothing else than `path` is known.
        is_at_path: bool,
    },
}

/// A file, identified by the device number of its file system and its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeId {
    pub filesystem: DeviceNumber,
    pub inode: u64,
}

impl InodeId {
    /// The id of the file at `path`, which must be on a file system that cannot hang; `None` where the file cannot be
    /// inspected.
    pub fn of(path: &Path) -> Option<Self> {
        path.metadata().ok().map(|stat| Self::from_metadata(&stat))
    }

    /// The id of the file with the metadata `stat`.
    pub fn from_metadata(stat: &Metadata) -> Self {
        Self { filesystem: DeviceNumber::from_raw(stat.dev()), inode: stat.ino() }
    }
}

/// The backing of `device`; `None` for a device that is not virtual or has nothing attached.
pub fn backing(roots: &Roots, device: &BlockDevice) -> Option<Backing> {
    let loop_backing = device.text("loop/backing_file");
    let zram_backing = || device.text("backing_dev").filter(|path| path != "none");
    let path = PathBuf::from(loop_backing.or_else(zram_backing)?);
    if mounts::may_hang(roots, &path) {
        return Some(Backing::File { path, file: None, is_at_path: true });
    }
    let Some(status) = loop_status(&device.node(roots)) else {
        return Some(backing_by_path(roots, path));
    };
    if status.backing_device != 0 {
        let lower = BlockDevice::by_number(roots, DeviceNumber::from_raw(status.backing_device));
        return Some(lower.map_or_else(|| backing_by_path(roots, path), Backing::Device));
    }
    let file = InodeId { filesystem: DeviceNumber::from_raw(status.filesystem), inode: status.inode };
    let is_at_path = InodeId::of(&path) == Some(file);
    Some(Backing::File { path, file: Some(file), is_at_path })
}

/// The backing by its `path` alone, where the kernel does not identify the file.
fn backing_by_path(roots: &Roots, path: PathBuf) -> Backing {
    match device_at(roots, &path) {
        Some(device) => Backing::Device(device),
        None => Backing::File { path, file: None, is_at_path: true },
    }
}

/// The block device whose device node is at `path`, in `/dev` or elsewhere; `None` where there is no such node, or no
/// device behind it.
pub fn device_at(roots: &Roots, path: &Path) -> Option<BlockDevice> {
    if let Some(device) = BlockDevice::by_path(roots, path) {
        return Some(device);
    }
    let stat = path.metadata().ok()?;
    if !stat.file_type().is_block_device() {
        return None;
    }
    BlockDevice::by_number(roots, DeviceNumber::from_raw(stat.rdev()))
}

/// The beginning of the kernel's `struct loop_info64` (`linux/loop.h`), and room for the rest of its 232 bytes.
#[repr(C)]
struct LoopStatus {
    /// The device number of the file system that stores the backing file.
    filesystem: u64,
    inode: u64,
    /// The device number of the backing where it is a block device; else 0.
    backing_device: u64,
    rest: [u64; 26],
}

/// The status of the loop device at `path`. `None` for any other device, and where this user may not open the device.
/// `None` also where the kernel does not answer in time, because it asks the file system of the backing file.
fn loop_status(path: &Path) -> Option<LoopStatus> {
    const LOOP_GET_STATUS64: u32 = 0x4c05;
    #[expect(
        unsafe_code,
        reason = "LOOP_GET_STATUS64 fills a structure of this size, in which any bits are valid"
    )]
    with_timeout(path, |file| {
        let status = unsafe { ioctl(file, Getter::<LOOP_GET_STATUS64, LoopStatus>::new()) };
        Ok(Some(status?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_has_the_size_of_loop_info64() {
        // Five numbers of 64 bits, four of 32, two names of 64 bytes, a key of 32, two numbers of 64.
        assert_eq!(size_of::<LoopStatus>(), 5 * 8 + 4 * 4 + 2 * 64 + 32 + 2 * 8);
    }
}
