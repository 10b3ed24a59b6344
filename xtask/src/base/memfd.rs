//! Files in memory: nothing of them is left when the process ends, however it does.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};

/// An empty file in memory. Children inherit it: this process lets nobody look at its open files, not even them.
pub fn file(name: &str) -> Result<File> {
    Ok(memfd_create(name, MemfdFlags::empty()).context("making a file in memory")?.into())
}

/// A file in memory that holds `content`, for this user alone: ssh asks for that.
pub fn holding(name: &str, content: &[u8]) -> Result<File> {
    let mut file = file(name)?;
    file.write_all(content).context("writing a file in memory")?;
    file.set_permissions(Permissions::from_mode(0o600)).context("closing a file in memory to others")?;
    Ok(file)
}

/// `file` once more, so that children inherit it.
pub fn inherited(file: &File) -> std::io::Result<File> {
    let file = file.try_clone()?;
    fcntl_setfd(&file, FdFlags::empty())?;
    Ok(file)
}

/// The path by which this process and its children open a `file` that they inherit.
pub fn path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
