//! Where the kernel's and udev's view of the disks is read: parameters, so that tests bring their own trees.

use std::path::PathBuf;

/// The folders that are read. [`Default`] is those of the running system.
#[derive(Clone, Debug)]
pub struct Roots {
    pub sys: PathBuf,
    pub proc: PathBuf,
    pub dev: PathBuf,
    /// udev keeps its findings in `udev/data` below it.
    pub run: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        let [sys, proc, dev, run] = ["/sys", "/proc", "/dev", "/run"].map(PathBuf::from);
        Self { sys, proc, dev, run }
    }
}
