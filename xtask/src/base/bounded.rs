//! Bounded reads of foreign files: only regular files, and at most as many bytes as the caller allows.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::base::Bytes;
use crate::base::failure::ExitKind;
use crate::failure;

/// Whether a symbolic link as the last component of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    Follow,
    /// Fails with `ELOOP`.
    Refuse,
}

/// Opens the regular file at `path` for reading, without blocking: a pipe without a writer is an error. `links` decides
/// whether a link at `path` is followed.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] where `path` is not a regular file.
pub fn open(path: &Path, links: Links) -> Result<File> {
    let link_flags = match links {
        Links::Follow => OFlags::empty(),
        Links::Refuse => OFlags::NOFOLLOW,
    };
    let flags = (OFlags::NONBLOCK | link_flags).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(Error::new(ErrorKind::InvalidInput, "not a regular file"))
}

/// Reads the regular file at `path`, or fails where it has more than `limit` bytes.
///
/// # Errors
/// As [`open`], and [`ErrorKind::FileTooLarge`] for a larger file, of which at most `limit` + 1 bytes are read.
pub fn read(path: &Path, limit: u64, links: Links) -> Result<Vec<u8>> {
    read_all(open(path, links)?, limit)
}

/// Reads `source` to its end, or fails where it has more than `limit` bytes.
///
/// # Errors
/// [`ErrorKind::FileTooLarge`] for a longer source.
pub fn read_all(source: impl Read, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 <= limit {
        return Ok(bytes);
    }
    let text = format!("larger than the limit of {}", Bytes(limit));
    Err(Error::new(ErrorKind::FileTooLarge, text))
}

/// The error for the file at `path`, which the command line names, and which cannot be read because of `error`: a wrong
/// path is refused, and no fault of input or output.
pub fn named_file_error(path: &Path, error: Error) -> anyhow::Error {
    let shown = path.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            failure!(Refused, "there is no such file"; hint: "check the path: {shown}")
        }
        ErrorKind::InvalidInput | ErrorKind::IsADirectory | ErrorKind::FileTooLarge => {
            failure!(Refused, "it is {error}"; hint: "check the path: {shown}")
        }
        ErrorKind::PermissionDenied => failure!(
            Permission, "this user may not read it";
            hint: "make the file and the folders above it readable for this user"
        ),
        _ => ExitKind::Io.error(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let [file, pipe] = ["file", "pipe"].map(|name| dir.path().join(name));
        std::fs::write(&file, "1234").unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
        assert_eq!(read(&file, 4, Links::Refuse).unwrap(), b"1234");
        let kind = |path, limit| read(path, limit, Links::Follow).unwrap_err().kind();
        assert_eq!(kind(&file, 3), ErrorKind::FileTooLarge);
        assert_eq!(kind(&pipe, 4), ErrorKind::InvalidInput);
        assert_eq!(kind(dir.path(), 4), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_link_is_followed_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| dir.path().join(name));
        std::fs::write(&file, "1234").unwrap();
        symlink(&file, &link).unwrap();
        assert_eq!(read(&link, 4, Links::Follow).unwrap(), b"1234");
        let refused = read(&link, 4, Links::Refuse).unwrap_err();
        assert_eq!(rustix::io::Errno::from_io_error(&refused), Some(rustix::io::Errno::LOOP));
    }

    #[test]
    fn a_sparse_file_takes_no_memory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sparse");
        File::create(&file).unwrap().set_len(1 << 40).unwrap();
        let spent = allocation_counter::measure(|| {
            read(&file, 1 << 20, Links::Follow).unwrap_err();
        });
        assert!(spent.bytes_max < 4 << 20, "{spent:?}");
    }

    #[test]
    fn a_wrong_path_of_the_command_line_is_refused_without_words_of_the_system() {
        use crate::base::failure::kind;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "12345").unwrap();
        for (path, kind_of_error, words) in [
            (dir.path().join("none"), ExitKind::Refused, "there is no such file"),
            (dir.path().join("none/file"), ExitKind::Refused, "there is no such file"),
            (file.join("below"), ExitKind::Refused, "there is no such file"),
            (dir.path().to_owned(), ExitKind::Refused, "it is not a regular file"),
            ("/dev/null".into(), ExitKind::Refused, "it is not a regular file"),
            (file.clone(), ExitKind::Refused, "it is larger than the limit of 4 B"),
        ] {
            let error = named_file_error(&path, read(&path, 4, Links::Follow).unwrap_err());
            assert_eq!((error.to_string().as_str(), kind(&error)), (words, kind_of_error), "{path:?}");
        }
        let denied = named_file_error(&file, ErrorKind::PermissionDenied.into());
        assert_eq!(
            (kind(&denied), denied.to_string().as_str()),
            (ExitKind::Permission, "this user may not read it")
        );
        let broken = named_file_error(&file, Error::from_raw_os_error(5));
        assert_eq!(kind(&broken), ExitKind::Io);
    }
}
