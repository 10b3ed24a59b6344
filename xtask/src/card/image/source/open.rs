//! Opening an image file, and what is no file.

use std::fs::{File, FileType, Metadata};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::DOWNLOAD_AGAIN;
use crate::base::failure::ExitKind;
use crate::base::shell;
use crate::{bail, failure};

/// Opens the regular file at `path`, and returns it with its path without links.
///
/// # Errors
/// A file that is missing, empty or no regular file.
pub fn open(path: &Path) -> Result<(PathBuf, File, Metadata)> {
    let opening = || format!("opening the image {}", path.display());
    // `canonicalize` fails for `/dev/stdin` and the like, so the type of the file is checked first.
    if let Ok(metadata) = path.metadata() {
        require_file(path, metadata.file_type())?;
    }
    let path = path.canonicalize().map_err(|error| open_error(path, error)).with_context(opening)?;
    if path.to_str().is_none() {
        bail!(Refused, "the path of the image {} is not UTF-8", path.display(); hint: "rename the file");
    }
    // Opening a pipe without a writer would block for ever.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(nonblocking).open(&path);
    let file = file.map_err(|error| open_error(&path, error)).with_context(opening)?;
    let metadata = file.metadata().with_context(opening)?;
    require_file(&path, metadata.file_type())?;
    if metadata.len() == 0 {
        bail!(Refused, "the image {} is empty", path.display(); hint: "{DOWNLOAD_AGAIN}");
    }
    Ok((path, file, metadata))
}

fn require_file(path: &Path, file_type: FileType) -> Result<()> {
    let quoted = shell::quote(&path.to_string_lossy());
    let path = path.display();
    if file_type.is_file() {
        Ok(())
    } else if file_type.is_fifo() {
        bail!(
            Refused,
            "{path} is a pipe, and an image is read more than once";
            hint: "save what comes through it to a file, and name that file"
        )
    } else if file_type.is_block_device() {
        bail!(
            Refused,
            "{path} is a device, and an image is a file";
            hint: "copy it to a file: `dd if={quoted} of=card.img bs=1M`, and name that file"
        )
    } else {
        bail!(Refused, "{path} is not a regular file"; hint: "name an image file")
    }
}

/// `path` as an absolute path, if the file itself is a link, not only a folder on the way to it.
pub fn link(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let absolute = folder.canonicalize().ok()?.join(path.file_name()?);
    absolute.is_symlink().then_some(absolute)
}

/// The error for a file at `path` that cannot be opened.
pub(super) fn open_error(path: &Path, error: Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::NotFound if path == Path::new("-") => failure!(
            Refused,
            "an image is read more than once, so it cannot come from stdin";
            hint: "save it to a file"
        ),
        ErrorKind::NotFound => match address(path) {
            Some(hint) => failure!(Refused, "it is an address, and an image is a file"; hint: "{hint}"),
            None => failure!(
                Refused,
                "there is no such file";
                hint: "run `cargo xtask sd-image HOST` to build an image"
            ),
        },
        ErrorKind::PermissionDenied => failure!(
            Permission,
            "{error}";
            hint: "make the file and the folders above it readable for this user, or copy it to a folder of your own"
        ),
        _ => ExitKind::Io.error(error),
    }
}

/// The hint for a path that is an address, such as `https://…`.
fn address(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = !scheme.is_empty()
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if scheme.eq_ignore_ascii_case("file") {
        return Some(format!("name its path: {}", shell::quote(rest)));
    }
    let download = format!("download it: `curl -fLO {}`, and name the file", shell::quote(text));
    is_scheme.then_some(download)
}
