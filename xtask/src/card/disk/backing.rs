//! The backing of a virtual block device: the file or the block device behind a loop device, and the block device to
//! which a zram device writes back.

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
        /// The path by which the file was attached, in the mount namespace of that process.
        path: PathBuf,
        /// The file by its numbers, where the kernel could be asked.
        file: Option<InodeId>,
        /// Whether `path` leads to `file` from here. A path of another mount namespace, and the path of a file that is
        /// gone or hidden by a mount, may lead to something else.
        found: bool,
    },
}

/// A file, identified by the device number of its file system and its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeId {
    pub filesystem: DeviceNumber,
    pub inode: u64,
}

impl InodeId {
    /// The id of the file at `path`, on a file system that cannot hang.
    pub fn of(path: &Path) -> Option<Self> {
        let facts = path.metadata().ok()?;
        Some(Self { filesystem: DeviceNumber::from_raw(facts.dev()), inode: facts.ino() })
    }
}

/// The backing of `device`; `None` for a device that is not virtual or has nothing attached.
pub fn backing(roots: &Roots, device: &BlockDevice) -> Option<Backing> {
    let path = device
        .text("loop/backing_file")
        .or_else(|| device.text("backing_dev").filter(|dev| dev != "none"))?;
    let path = PathBuf::from(path);
    if mounts::may_hang(roots, &path) {
        return Some(Backing::File { path, file: None, found: true });
    }
    let Some(status) = status(&roots.dev.join(device.device_path())) else {
        return Some(by_path(roots, path));
    };
    if status.backing_device != 0 {
        let lower = BlockDevice::by_number(roots, DeviceNumber::from_raw(status.backing_device));
        return Some(lower.map_or_else(|| by_path(roots, path), Backing::Device));
    }
    let file = InodeId { filesystem: DeviceNumber::from_raw(status.filesystem), inode: status.inode };
    let found = InodeId::of(&path) == Some(file);
    Some(Backing::File { path, file: Some(file), found })
}

/// The backing by its `path`, where the kernel gives nothing else.
fn by_path(roots: &Roots, path: PathBuf) -> Backing {
    let device = device_at(roots, &path);
    device.map_or(Backing::File { path, file: None, found: true }, Backing::Device)
}

/// The block device whose device node is at `path`, in `/dev` or elsewhere.
pub fn device_at(roots: &Roots, path: &Path) -> Option<BlockDevice> {
    BlockDevice::by_path(roots, path).or_else(|| {
        let facts = path.metadata().ok().filter(|facts| facts.file_type().is_block_device())?;
        BlockDevice::by_number(roots, DeviceNumber::from_raw(facts.rdev()))
    })
}

/// The beginning of the kernel's `struct loop_info64` (`linux/loop.h`), and room for the rest of its 232 bytes.
#[repr(C)]
struct Status {
    /// The device number of the file system on which the file is.
    filesystem: u64,
    inode: u64,
    /// The device number of the file where it is a block device; otherwise 0.
    backing_device: u64,
    rest: [u64; 26],
}

/// The status of the loop device at `path`; `None` where this user may not ask for it, for any other device, and where
/// the kernel does not answer in time: it asks the file system.
fn status(path: &Path) -> Option<Status> {
    const LOOP_GET_STATUS64: u32 = 0x4c05;
    #[expect(
        unsafe_code,
        reason = "LOOP_GET_STATUS64 fills a structure of this size, in which any bits are valid"
    )]
    with_timeout(path, |file| {
        let status = unsafe { ioctl(file, Getter::<LOOP_GET_STATUS64, Status>::new()) };
        Ok(Some(status?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_has_the_size_of_loop_info64() {
        // Five numbers of 64 bits, four of 32, two names of 64 bytes, a key of 32, two numbers of 64.
        assert_eq!(size_of::<Status>(), 5 * 8 + 4 * 4 + 2 * 64 + 32 + 2 * 8);
    }
}
