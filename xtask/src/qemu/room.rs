//! The room for what a booted host writes.

use std::path::Path;

use anyhow::Error;

use crate::failure;

/// The least room that a boot goes on with, in bytes: one cluster of an overlay, and its tables.
const MIN_ROOM: u64 = 1 << 20;

/// The folder of `file`, if its disk has no room for more of `file`.
pub fn full_folder(file: &Path) -> Option<&Path> {
    let folder = file.parent()?;
    let found = rustix::fs::statvfs(folder).ok()?;
    // Root may use blocks that are kept for it.
    let blocks = if rustix::process::geteuid().is_root() { found.f_bfree } else { found.f_bavail };
    (blocks.saturating_mul(found.f_frsize) < MIN_ROOM).then_some(folder)
}

/// The error of a boot that was ended because `folder` is full.
pub fn error(folder: &Path) -> Error {
    failure!(
        Io, "there is no room for what the host writes in {}", folder.display();
        hint: "free some space there, or let XTASK_STATE name a folder on a larger disk"
    )
}
