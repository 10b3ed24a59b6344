//! Files in memory: nothing of them is left when the process ends, however it ends.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};

/// An empty file in memory, which children inherit. Children cannot open the file in another way: other processes
/// cannot access the open files of this process in `/proc`.
pub fn file(name: &str) -> Result<File> {
    Ok(memfd_create(name, MemfdFlags::empty()).context("making a file in memory")?.into())
}

/// A file in memory that holds `content`, with mode 0600, as ssh requires.
pub fn file_with(name: &str, content: &[u8]) -> Result<File> {
    let mut file = file(name)?;
    file.write_all(content).context("writing a file in memory")?;
    file.set_permissions(Permissions::from_mode(0o600)).context("setting the mode of a file in memory")?;
    Ok(file)
}

/// A second descriptor of `file`. Children inherit it, and so can open its [`path`].
pub fn inheritable(file: &File) -> std::io::Result<File> {
    let file = file.try_clone()?;
    fcntl_setfd(&file, FdFlags::empty())?;
    Ok(file)
}

/// The path by which this process, and each child that inherits the descriptor, can open `file`.
pub fn path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
