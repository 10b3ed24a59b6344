//! The root folders of sysfs, procfs, the device nodes, udev and the configuration: parameters, so that tests can use
//! their own.

use std::path::PathBuf;

/// The folders in which the kernel and udev describe the disks. [`Default`] has those of the running system.
#[derive(Clone, Debug)]
pub struct Roots {
    pub sys: PathBuf,
    pub proc: PathBuf,
    pub dev: PathBuf,
    /// The folder with the database of udev in `udev/data`.
    pub run: PathBuf,
    /// The folder with `fstab`, `passwd` and the units of systemd.
    pub etc: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        let [sys, proc, dev, run, etc] = ["/sys", "/proc", "/dev", "/run", "/etc"].map(PathBuf::from);
        Self { sys, proc, dev, run, etc }
    }
}
