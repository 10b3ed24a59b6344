//! The tool's own files: each is written atomically, is private, and lies in a folder that only this user and root can
//! change.

mod permissions;

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use crate::base::bounded::{self, Links};
use crate::base::room;
use crate::failure;

pub use permissions::{check_file, check_folder, others_can_write};

/// The name of the state folder in the folder of a flake.
pub const STATE: &str = ".xtask";

/// Creates the folder `folder`, which only this user can access, if it does not exist. Makes git ignore the state
/// folder, if `folder` is that or lies in it.
///
/// # Errors
/// `ExitKind::Refused` where others could change its content.
pub fn create_private_folder(folder: &Path) -> Result<()> {
    check_folder(folder)?;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| write_error(error, &format!("creating {}", folder.display()), folder))?;
    // Another process may have created it first.
    check_folder(folder)?;
    match folder.ancestors().find(|above| above.ends_with(STATE)) {
        Some(state) => ignore_in_git(state),
        None => Ok(()),
    }
}

/// Makes git ignore the state folder, also in a repository that does not know this tool: Nix copies the files that git
/// lists.
fn ignore_in_git(state: &Path) -> Result<()> {
    let file = state.join(".gitignore");
    if file.symlink_metadata().is_err() {
        write_new(&file, b"*\n")?;
    }
    Ok(())
}

/// Writes `bytes` to `path` atomically, also across a crash of the machine. Only this user can read the file.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    temporary_file(path, bytes)?.persist(path).with_context(doing)?;
    sync_folder(parent(path)).with_context(doing)
}

/// Creates an empty file at `path`, in place of the file that is there, and returns it opened. Only this user can read
/// the file.
pub fn create(path: &Path) -> Result<File> {
    let file = temporary_file(path, b"")?;
    file.persist(path).with_context(|| format!("creating {}", path.display()))
}

/// Like [`write()`], but a file that exists at `path` stays. Returns whether the file was written.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<bool> {
    let doing = || format!("writing {}", path.display());
    match temporary_file(path, bytes)?.persist_noclobber(path) {
        Ok(_) => sync_folder(parent(path)).with_context(doing).map(|()| true),
        Err(failed) if failed.error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(failed) => Err(failed).with_context(doing),
    }
}

/// Removes the temporary files of `path` that killed runs left. The caller holds the lock for writing `path`.
pub fn remove_temporary_files(path: &Path) {
    let prefix = format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let is_temporary = |name: &OsStr| {
        let name = name.to_string_lossy();
        name.starts_with(&prefix) && name.ends_with(".part")
    };
    let entries = fs::read_dir(parent(path)).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_temporary(&entry.file_name())) {
        let _ = fs::remove_file(entry.path());
    }
}

/// A temporary file with `bytes` beside `path`. Its name is unpredictable; dropping the value removes the file.
fn temporary_file(path: &Path, bytes: &[u8]) -> Result<NamedTempFile> {
    let folder = parent(path);
    check_folder(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!(".{name}.");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".part").rand_bytes(12).permissions(Permissions::from_mode(0o600));
    let failed = |error| write_error(error, &format!("writing {}", path.display()), folder);
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    Ok(file)
}

/// Fails where `path` could not be written: of a child that failed to write it, this is the reason.
///
/// # Errors
/// Those of [`write()`].
pub fn check_room(path: &Path) -> Result<()> {
    temporary_file(path, &[0; 4096]).map(drop)
}

/// The `error` while `doing` something in `folder`. Where the disk is at fault, a hint says what to do about it.
pub fn write_error(error: std::io::Error, doing: &str, folder: &Path) -> anyhow::Error {
    room::write_error(error, doing, folder, "name another folder for keys, receipts and logs: `XTASK_STATE`")
}

/// Reads the file at `path`, of at most `limit` bytes; `None` where there is none.
///
/// # Errors
/// `ExitKind::Refused` for a file that others could have written, that is not a regular file, or that is larger.
pub fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    check_folder(parent(path))?;
    read_unchecked(path, limit)
}

/// Like [`read`], for a file in a folder that [`check_folder`] has accepted.
pub fn read_unchecked(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let file = match open(path) {
        Err(error) if is_missing(&error) => return Ok(None),
        file => file?,
    };
    let bytes = bounded::read_all(file, limit);
    bytes.map(Some).map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge => unusable_error(path, &format!("is {error}")),
        _ => anyhow::Error::new(error).context(format!("reading {}", path.display())),
    })
}

/// Opens the regular file at `path`, which others could not have written.
fn open(path: &Path) -> Result<File> {
    let file = match bounded::open(path, Links::Refuse) {
        Err(_) if path.symlink_metadata().is_ok_and(|stat| !stat.is_file()) => {
            return Err(unusable_error(path, "is not a regular file"));
        }
        opened => opened.with_context(|| format!("reading {}", path.display()))?,
    };
    let stat = file.metadata().with_context(|| format!("reading the metadata of {}", path.display()))?;
    check_file(path, &stat)?;
    Ok(file)
}

/// The refusal of a file or folder that cannot be one of the tool's own: `{path} {why}`.
pub fn unusable_error(path: &Path, why: &str) -> anyhow::Error {
    failure!(Refused, "{} {why}", path.display(); hint: "move it away")
}

/// Whether `error` is that of a file that does not exist.
fn is_missing(error: &anyhow::Error) -> bool {
    let cause = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    cause.and_then(Errno::from_io_error) == Some(Errno::NOENT)
}

/// The folder of the file at `path`.
fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Makes the names in `folder` survive a crash of the machine.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::base::failure::{ExitKind, hint, kind};

    /// The names of the files in `dir`, sorted.
    fn names(dir: &Path) -> Vec<std::ffi::OsString> {
        let mut names = dir.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        names.sort();
        names
    }

    #[test]
    fn files_are_written_atomically() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        for text in ["one", "two"] {
            write(&file, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        // A folder cannot be replaced by a file.
        let taken = dir.path().join("b");
        fs::create_dir(&taken).unwrap();
        write(&taken, b"three").unwrap_err();
        assert_eq!(names(dir.path()), ["a", "b"]);
    }

    #[test]
    fn a_disk_that_is_full_or_read_only_has_a_hint() {
        let folder = Path::new("/state");
        for (errno, expected) in [
            (Errno::NOSPC, Some("make room on the disk of /state")),
            (Errno::DQUOT, Some("make room on the disk of /state")),
            (
                Errno::ROFS,
                Some(
                    "mount the disk of /state writable, or name another folder for keys, receipts and logs: `XTASK_STATE`",
                ),
            ),
            (Errno::ACCESS, None),
        ] {
            let error = write_error(errno.into(), "writing /state/a", folder);
            assert_eq!((kind(&error), hint(&error)), (ExitKind::Io, expected));
            assert!(format!("{error:#}").starts_with("writing /state/a: "), "{error:#}");
        }
    }

    #[test]
    fn a_file_that_must_be_new_replaces_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        assert!(write_new(&file, b"one").unwrap());
        assert!(!write_new(&file, b"two").unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), "one");
        assert_eq!(names(dir.path()), ["a"]);
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let [file, victim] = ["a", "victim"].map(|name| dir.path().join(name));
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, &file).unwrap();
        assert_eq!(
            read(&file, 100).unwrap_err().to_string(),
            format!("{} is not a regular file", file.display())
        );
        write(&file, b"new").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert!(!file.is_symlink());
    }

    #[test]
    fn a_file_in_place_of_a_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = create_private_folder(&file.join("state")).unwrap_err();
        assert_eq!(error.to_string(), format!("{} is not a folder", file.display()));
        assert_eq!((kind(&error), hint(&error)), (ExitKind::Refused, Some("move it away")));
    }

    #[test]
    fn only_a_regular_file_within_the_limit_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        assert_eq!(read(&file, 10).unwrap(), None);
        let refused = |text: &str| {
            let error = read(&file, 10).unwrap_err();
            assert_eq!(error.to_string(), format!("{} {text}", file.display()));
            assert_eq!((kind(&error), hint(&error)), (ExitKind::Refused, Some("move it away")));
        };
        rustix::fs::mkfifoat(rustix::fs::CWD, &file, 0o600.into()).unwrap();
        refused("is not a regular file");
        fs::remove_file(&file).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(&file).unwrap();
        refused("is not a regular file");
        drop(socket);
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        refused("is not a regular file");
        fs::remove_dir(&file).unwrap();
        File::create(&file).unwrap().set_len(1 << 40).unwrap();
        refused("is larger than the limit of 10 B");
        write(&file, b"0123456789").unwrap();
        assert_eq!(read(&file, 10).unwrap().as_deref(), Some(&b"0123456789"[..]));
    }
}
