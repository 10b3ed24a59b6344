//! Opening an image file, and the refusals of paths that are no image files.

use std::fs::{File, FileType, Metadata};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::DOWNLOAD_AGAIN;
use crate::base::failure::ExitKind;
use crate::base::shell;
use crate::{bail, failure};

/// An image file that was opened.
pub struct OpenImage {
    /// The absolute path without links.
    pub path: PathBuf,
    pub file: File,
    pub metadata: Metadata,
}

/// Opens the regular file at `path`.
///
/// # Errors
/// A file that is missing, empty or no regular file, and a path that is not UTF-8.
pub fn open(path: &Path) -> Result<OpenImage> {
    let opening = || format!("opening the image {}", path.display());
    // `canonicalize` fails for `/dev/stdin` and the like, so the type of the file is checked first.
    if let Ok(metadata) = path.metadata() {
        require_file(path, metadata.file_type())?;
    }
    let resolved = path.canonicalize().map_err(|error| open_error(path, error));
    let path = resolved.with_context(opening)?;
    if path.to_str().is_none() {
        bail!(Refused, "the path of the image {} is not UTF-8", path.display(); hint: "rename the file");
    }
    // Opening a pipe without a writer would block for ever.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let opened = File::options().read(true).custom_flags(nonblocking).open(&path);
    let file = opened.map_err(|error| open_error(&path, error)).with_context(opening)?;
    let metadata = file.metadata().with_context(opening)?;
    require_file(&path, metadata.file_type())?;
    if metadata.len() == 0 {
        bail!(Refused, "the image {} is empty", path.display(); hint: "{DOWNLOAD_AGAIN}");
    }
    Ok(OpenImage { path, file, metadata })
}

/// Fails where the file at `path` has another type than a regular file.
fn require_file(path: &Path, file_type: FileType) -> Result<()> {
    if file_type.is_file() {
        return Ok(());
    }
    let shown = path.display();
    if file_type.is_fifo() {
        bail!(
            Refused,
            "{shown} is a pipe, and an image is read more than once";
            hint: "save what comes through it to a file, and name that file"
        )
    }
    if file_type.is_block_device() {
        let quoted = shell::quote(&path.to_string_lossy());
        bail!(
            Refused,
            "{shown} is a device, and an image is a file";
            hint: "copy it to a file: `dd if={quoted} of=card.img bs=1M`, and name that file"
        )
    }
    bail!(Refused, "{shown} is not a regular file"; hint: "name an image file")
}

/// `path` as an absolute path, where the file itself is a link; `None` where the file is no link, even if a
/// folder on the way to the file is a link.
pub fn absolute_link(path: &Path) -> Option<PathBuf> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let absolute = folder.canonicalize().ok()?.join(path.file_name()?);
    absolute.is_symlink().then_some(absolute)
}

/// The error for a file at `path` that cannot be opened because of `error`.
pub(super) fn open_error(path: &Path, error: Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::NotFound if path == Path::new("-") => failure!(
            Refused,
            "an image is read more than once, so it cannot come from stdin";
            hint: "save it to a file"
        ),
        ErrorKind::NotFound => match address_hint(path) {
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

/// The hint for a path that is an address, such as `https://…`; `None` for other paths.
fn address_hint(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let (scheme, rest) = text.split_once("://")?;
    if scheme.eq_ignore_ascii_case("file") {
        return Some(format!("name its path: {}", shell::quote(rest)));
    }
    let is_scheme_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if scheme.is_empty() || !scheme.bytes().all(is_scheme_byte) {
        return None;
    }
    Some(match download_command(scheme, rest) {
        Some(download) => format!("download it: `{}`, and name the file", download(&shell::quote(text))),
        None => "download it, and name the file".to_owned(),
    })
}

/// The function that makes the command to download the address `SCHEME://REST` of that address, quoted; `None` where no
/// usual command downloads it.
fn download_command(scheme: &str, rest: &str) -> Option<fn(&str) -> String> {
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let has_file_name =
        path.split_once('/').is_some_and(|(_, path)| !path.is_empty() && !path.ends_with('/'));
    match scheme.to_ascii_lowercase().as_str() {
        _ if !has_file_name => None,
        "http" | "https" | "ftp" | "ftps" => Some(|address| format!("curl -fLO {address}")),
        "s3" => Some(|address| format!("aws s3 cp {address} .")),
        "gs" => Some(|address| format!("gcloud storage cp {address} .")),
        "scp" => Some(|address| format!("scp {address} .")),
        _ => None,
    }
}
