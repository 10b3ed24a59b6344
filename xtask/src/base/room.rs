//! Full disks.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Error;

/// The least room of a disk that is not full, in bytes.
const MIN_ROOM: u64 = 1 << 20;

/// The folder of `file`, if its disk has no room for more of `file`.
pub fn full_folder(file: &Path) -> Option<&Path> {
    let folder = file.parent()?;
    let found = rustix::fs::statvfs(folder).ok()?;
    // Root may use blocks that are kept for it.
    let blocks = if rustix::process::geteuid().is_root() { found.f_bfree } else { found.f_bavail };
    (blocks.saturating_mul(found.f_frsize) < MIN_ROOM).then_some(folder)
}

/// Whether `error` is that of a full disk, or of a quota.
pub fn is_of_full_disk(error: &Error) -> bool {
    let kinds =
        error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    kinds.into_iter().any(|kind| matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}
