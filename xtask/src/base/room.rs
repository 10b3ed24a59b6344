//! Full disks, and those that cannot be written.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Error;

use crate::base::failure::{ExitKind, ReasonKind};

/// The least room of a disk that is not full, in bytes.
const MIN_ROOM: u64 = 1 << 20;

/// What helps where a file that the user names cannot be written.
pub const ANOTHER_FILE: &str = "name a file on another disk";

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

/// The `error` while `doing` something in `folder`. Where the disk is at fault, a hint says what to do about it;
/// `instead` is what helps without another disk.
pub fn write_error(error: std::io::Error, doing: &str, folder: &Path, instead: &str) -> Error {
    let folder = folder.display();
    let text = format!("{doing}: {}", error.kind());
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            ReasonKind::NoRoom.error(ExitKind::Io, text, Some(format!("make room on the disk of {folder}")))
        }
        ErrorKind::ReadOnlyFilesystem => {
            ExitKind::Io.error_with_hint(text, format!("mount the disk of {folder} writable, or {instead}"))
        }
        _ => Error::new(without_path(error)).context(doing.to_owned()),
    }
}

/// `error` without the path of the temporary file that the crate `tempfile` adds: the user named another one.
fn without_path(error: std::io::Error) -> std::io::Error {
    match error.to_string().split_once(" at path ") {
        Some((reason, _)) if error.get_ref().is_some() => {
            std::io::Error::new(error.kind(), reason.to_owned())
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_does_not_name_the_temporary_file() {
        let error = tempfile::Builder::new().tempfile_in("/no/folder").unwrap_err();
        assert!(error.to_string().contains("/no/folder/"), "{error}");
        let shown = format!("{:#}", write_error(error, "writing /x", Path::new("/"), ANOTHER_FILE));
        assert_eq!(shown, "writing /x: No such file or directory (os error 2)");
    }
}
