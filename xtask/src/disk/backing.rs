//! What a virtual block device stands on: the file or the block device behind a loop device, and the block device to
//! which a zram device writes back.

use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::ioctl::{Getter, ioctl};

use super::sysfs::Node;
use super::{Number, Roots, mounts};

/// What is behind a virtual block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    Device(Node),
    /// A file, by its path as the process saw it that attached it.
    File {
        path: PathBuf,
        /// The device of its file system, where the kernel was asked: the path leads nowhere from here.
        filesystem: Option<Number>,
    },
}

/// What is behind `node`; none for a device that has nothing behind it, or nothing attached.
pub fn backing(roots: &Roots, node: &Node) -> Option<Backing> {
    let path =
        node.text("loop/backing_file").or_else(|| node.text("backing_dev").filter(|dev| dev != "none"))?;
    let path = PathBuf::from(path);
    if mounts::may_hang(roots, &path) {
        return Some(Backing::File { path, filesystem: None });
    }
    if let Some(device) = device_at(roots, &path) {
        return Some(Backing::Device(device));
    }
    if path.exists() {
        return Some(Backing::File { path, filesystem: None });
    }
    // The file was removed, or is in another mount namespace. Its path may by now be that of something else.
    let status = status(&roots.dev.join(node.device_path()));
    let device =
        status.as_ref().and_then(|status| Node::by_number(roots, Number::from_raw(status.backing_device)));
    let filesystem = status.map(|status| Number::from_raw(status.filesystem));
    Some(device.map_or(Backing::File { path, filesystem }, Backing::Device))
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

/// What the kernel knows of the loop device at `path`; none where this user may not ask, and for any other device.
fn status(path: &Path) -> Option<Status> {
    const LOOP_GET_STATUS64: u32 = 0x4c05;
    let file = File::open(path).ok()?;
    #[expect(
        unsafe_code,
        reason = "LOOP_GET_STATUS64 fills a structure of this size, in which any bits are valid"
    )]
    let status = unsafe { ioctl(&file, Getter::<LOOP_GET_STATUS64, Status>::new()) };
    status.ok()
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
