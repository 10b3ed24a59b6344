//! State in a folder.

use std::fs::{self, File, Metadata};
use std::io::{Read, Result as IoResult};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::entry::{Modified, RawEntry, RawKind};
use super::sieve::MAX_DEPTH;
use crate::base::bounded::{self, Links};
use crate::identity::Owners;

/// Passes each entry of `folder` to `visit`, each folder before its content, in the order of names. The content of a
/// file is read only if `visit` reads it.
pub fn visit(
    folder: &Path,
    owners: Owners,
    visit: &mut dyn FnMut(RawEntry, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let stat = folder.metadata().with_context(|| format!("reading {}", folder.display()))?;
    visit(entry(Vec::new(), RawKind::Folder, &stat, owners), &mut std::io::empty())?;
    visit_content(folder, &[], owners, 0, visit)
}

/// Passes each entry in `folder`, whose path in the state is `prefix`, to `visit`.
fn visit_content(
    folder: &Path,
    prefix: &[u8],
    owners: Owners,
    depth: usize,
    visit: &mut dyn FnMut(RawEntry, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let context = || format!("reading {}", folder.display());
    if depth > MAX_DEPTH {
        crate::bail!(Refused, "{} is more than {MAX_DEPTH} folders deep", folder.display());
    }
    let found = fs::read_dir(folder).with_context(context)?;
    let mut names =
        found.map(|entry| Ok(entry?.file_name())).collect::<IoResult<Vec<_>>>().with_context(context)?;
    names.sort();
    for name in names {
        let path = folder.join(&name);
        let in_state =
            if prefix.is_empty() { name.as_bytes().to_vec() } else { [prefix, name.as_bytes()].join(&b'/') };
        let stat = path.symlink_metadata().with_context(|| format!("reading {}", path.display()))?;
        let kind = kind(&path, &stat)?;
        let is_folder = kind == RawKind::Folder;
        let mut content = LazyFile { path: path.clone(), file: None };
        let raw = RawEntry {
            has_attributes: !stat.is_symlink() && has_attributes(&path),
            ..entry(in_state.clone(), kind, &stat, owners)
        };
        visit(raw, &mut content).with_context(|| format!("reading {}", path.display()))?;
        if is_folder {
            visit_content(&path, &in_state, owners, depth + 1, visit)?;
        }
    }
    Ok(())
}

fn kind(path: &Path, stat: &Metadata) -> Result<RawKind> {
    let kind = stat.file_type();
    Ok(if kind.is_dir() {
        RawKind::Folder
    } else if kind.is_file() {
        RawKind::File(stat.len())
    } else if kind.is_symlink() {
        let target = fs::read_link(path).with_context(|| format!("reading {}", path.display()))?;
        RawKind::Link(target.as_os_str().as_bytes().to_vec())
    } else {
        RawKind::Special
    })
}

fn entry(path: Vec<u8>, kind: RawKind, stat: &Metadata, owners: Owners) -> RawEntry {
    let (owner, mode) = owners.of(stat);
    let nanoseconds = u32::try_from(stat.mtime_nsec()).unwrap_or_default();
    RawEntry {
        path,
        kind,
        mode: mode.into(),
        owner,
        modified: Modified { seconds: stat.mtime(), nanoseconds },
        has_attributes: false,
    }
}

/// Whether `path`, which is no link, has extended attributes or ACLs. A label of `SELinux` belongs to this machine.
fn has_attributes(path: &Path) -> bool {
    let mut names = [0; 4096];
    match rustix::fs::llistxattr(path, &mut names) {
        Ok(length) => names[..length]
            .split(|byte| *byte == 0)
            .any(|name| !name.is_empty() && name != b"security.selinux"),
        // More names than these.
        Err(error) => error == rustix::io::Errno::RANGE,
    }
}

/// A file that is opened when it is first read.
struct LazyFile {
    path: PathBuf,
    file: Option<File>,
}

impl Read for LazyFile {
    fn read(&mut self, bytes: &mut [u8]) -> IoResult<usize> {
        let file = match self.file.take() {
            Some(file) => file,
            // The file may have been replaced by a pipe or a link.
            None => bounded::open(&self.path, Links::Refuse)?,
        };
        self.file.insert(file).read(bytes)
    }
}
