//! Files that the tool makes and reads for itself: each is there whole or not at all, private, and in a folder that
//! nobody but this user and root can change.

mod trust;

use std::fs::{DirBuilder, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use crate::base::bounded::{self, Links};
use crate::base::failure::ExitKind;

pub use trust::{check_file, check_folder, others_write};

/// Makes a folder that is for this user alone, where there is none.
///
/// # Errors
/// Of [`ExitKind::Refused`] where others could change what is in it.
pub fn private_folder(folder: &Path) -> Result<()> {
    check_folder(folder)?;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("creating {}", folder.display()))?;
    // Somebody may have been quicker.
    check_folder(folder)
}

/// Makes `path` hold `bytes`, whole or not at all, whatever happens to the machine. Only this user can read it.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    part(path, bytes)?.persist(path).with_context(doing)?;
    sync(parent(path)).with_context(doing)
}

/// As [`write()`], but what is at `path` already stays. Returns whether there was nothing.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<bool> {
    let doing = || format!("writing {}", path.display());
    match part(path, bytes)?.persist_noclobber(path) {
        Err(failed) if failed.error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        written => drop(written.with_context(doing)?),
    }
    sync(parent(path)).with_context(doing)?;
    Ok(true)
}

/// A file with `bytes` beside `path`, with a name that nobody can know before. It is gone when it is dropped.
fn part(path: &Path, bytes: &[u8]) -> Result<NamedTempFile> {
    let folder = parent(path);
    check_folder(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!(".{name}.");
    let doing = || format!("writing {}", path.display());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".part").rand_bytes(12).permissions(Permissions::from_mode(0o600));
    let mut file = builder.tempfile_in(folder).with_context(doing)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).with_context(doing)?;
    Ok(file)
}

/// Reads the file at `path`, which holds at most `limit` bytes; `None` where there is none.
///
/// # Errors
/// Of [`ExitKind::Refused`] where others could have written it, and where it is no regular file or larger.
pub fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    check_folder(parent(path))?;
    read_unchecked(path, limit)
}

/// As [`read`], of a file in a folder that [`check_folder`] has accepted.
pub fn read_unchecked(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let file = match open(path) {
        Err(error) if is_missing(&error) => return Ok(None),
        file => file?,
    };
    let bytes = bounded::read_all(file, limit);
    bytes.map(Some).map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge => unusable(path, &format!("is {error}")),
        _ => anyhow::Error::new(error).context(format!("reading {}", path.display())),
    })
}

fn open(path: &Path) -> Result<File> {
    let file = bounded::open(path, Links::Refuse).map_err(|error| {
        let special = path.symlink_metadata().is_ok_and(|stat| !stat.is_file());
        let error = anyhow::Error::new(error).context(format!("reading {}", path.display()));
        if special { unusable(path, "is not a regular file") } else { error }
    })?;
    check_file(path, &file.metadata().with_context(|| format!("looking at {}", path.display()))?)?;
    Ok(file)
}

/// The error of a file that cannot be one of the tool's.
pub fn unusable(path: &Path, why: &str) -> anyhow::Error {
    ExitKind::Refused.error(format!("{} {why}; move it away", path.display()))
}

fn is_missing(error: &anyhow::Error) -> bool {
    let cause = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    cause.and_then(Errno::from_io_error) == Some(Errno::NOENT)
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(dir: &Path) -> Vec<std::ffi::OsString> {
        let mut names = dir.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        names.sort();
        names
    }

    #[test]
    fn whole_or_not_at_all() {
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
        assert!(!write_new(&file, b"four").unwrap() && write_new(&dir.path().join("c"), b"four").unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), "two");
        assert_eq!(names(dir.path()), ["a", "b", "c"]);
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let [file, victim] = ["a", "victim"].map(|name| dir.path().join(name));
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, &file).unwrap();
        assert_eq!(
            read(&file, 100).unwrap_err().to_string(),
            format!("{} is not a regular file; move it away", file.display())
        );
        write(&file, b"new").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert!(!file.is_symlink());
    }

    #[test]
    fn what_is_no_file_of_the_tool() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        assert_eq!(read(&file, 10).unwrap(), None);
        let refused = |text: &str| {
            let error = read(&file, 10).unwrap_err();
            let said = (error.to_string(), crate::base::failure::kind(&error));
            assert_eq!(said, (format!("{} {text}; move it away", file.display()), ExitKind::Refused));
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
        refused("is larger than 10 B, the most that is read of it");
        write(&file, b"0123456789").unwrap();
        assert_eq!(read(&file, 10).unwrap().as_deref(), Some(&b"0123456789"[..]));
    }
}
