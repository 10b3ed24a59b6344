//! What a virtual block device stands on: the file or the block device behind a loop device, and the block device to
//! which a zram device writes back.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::ioctl::{Getter, ioctl};

use super::probe::answered;
use super::sysfs::Node;
use super::{Number, Roots, mounts};

/// What is behind a virtual block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    Device(Node),
    File {
        /// As the process saw it that attached the file.
        path: PathBuf,
        /// The file itself, where the kernel was asked.
        file: Option<FileId>,
        /// Whether the path leads there from here. That of another mount namespace, or of a file that is gone or hidden by a
        /// mount, may be that of something else.
        found: bool,
    },
}

/// A file by the number of its file system and its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    pub filesystem: Number,
    pub inode: u64,
}

impl FileId {
    /// That of the file at `path`, whose file system must not be one that may hang.
    pub fn of(path: &Path) -> Option<Self> {
        let facts = path.metadata().ok()?;
        Some(Self { filesystem: Number::from_raw(facts.dev()), inode: facts.ino() })
    }
}

/// What is behind `node`; none for a device that has nothing behind it, or nothing attached.
pub fn backing(roots: &Roots, node: &Node) -> Option<Backing> {
    let path =
        node.text("loop/backing_file").or_else(|| node.text("backing_dev").filter(|dev| dev != "none"))?;
    let path = PathBuf::from(path);
    if mounts::may_hang(roots, &path) {
        return Some(Backing::File { path, file: None, found: true });
    }
    let Some(status) = status(&roots.dev.join(node.device_path())) else {
        return Some(by_path(roots, path));
    };
    if status.backing_device != 0 {
        let device = Node::by_number(roots, Number::from_raw(status.backing_device));
        return Some(device.map_or_else(|| by_path(roots, path), Backing::Device));
    }
    let file = FileId { filesystem: Number::from_raw(status.filesystem), inode: status.inode };
    let found = FileId::of(&path) == Some(file);
    Some(Backing::File { path, file: Some(file), found })
}

/// Where the kernel does not say more than the path.
fn by_path(roots: &Roots, path: PathBuf) -> Backing {
    let device = device_at(roots, &path);
    device.map_or(Backing::File { path, file: None, found: true }, Backing::Device)
}

/// The block device whose node is at `path`, wherever the node is.
pub fn device_at(roots: &Roots, path: &Path) -> Option<Node> {
    Node::by_path(roots, path).or_else(|| {
        let facts = path.metadata().ok().filter(|facts| facts.file_type().is_block_device())?;
        Node::by_number(roots, Number::from_raw(facts.rdev()))
    })
}

/// The beginning of the kernel's `struct loop_info64` (`linux/loop.h`), and room for the rest of its 232 bytes.
#[repr(C)]
struct Status {
    /// Of the file system that the file is on.
    filesystem: u64,
    inode: u64,
    /// Of the file itself, where that is a block device; otherwise 0.
    backing_device: u64,
    rest: [u64; 26],
}

/// What the kernel knows of the loop device at `path`; none where this user may not ask, for any other device, and where the
/// answer does not come: the kernel asks the file system.
fn status(path: &Path) -> Option<Status> {
    const LOOP_GET_STATUS64: u32 = 0x4c05;
    #[expect(
        unsafe_code,
        reason = "LOOP_GET_STATUS64 fills a structure of this size, in which any bits are valid"
    )]
    answered(path, |file| {
        let status = unsafe { ioctl(file, Getter::<LOOP_GET_STATUS64, Status>::new()) };
        Ok(Some(status?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_fills_so_many_bytes() {
        // Five numbers of 64 bits, four of 32, two names of 64 bytes, a key of 32, two numbers of 64.
        assert_eq!(size_of::<Status>(), 5 * 8 + 4 * 4 + 2 * 64 + 32 + 2 * 8);
    }
}
