//! Files in memory: nothing of them is left when the process ends, however it does.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use rustix::fs::{MemfdFlags, memfd_create};

/// An empty file in memory.
pub fn file(name: &str) -> Result<File> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC);
    Ok(file.context("making a file in memory")?.into())
}

/// A file in memory that holds `content`.
pub fn holding(name: &str, content: &[u8]) -> Result<File> {
    let mut file = file(name)?;
    file.write_all(content).context("writing a file in memory")?;
    Ok(file)
}

/// The path by which a child of this process, as the same user, opens `file`.
pub fn path(file: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}
