//! The folders of a change, beside those of hosts: `.new.HOST` is not yet the folder of a host, `.old.HOST` no longer.

use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::base::{HostName, state};
use crate::identity::access::ReadableFolder;

const NEW: &str = ".new.";
const OLD: &str = ".old.";

pub fn new_name(host: &HostName) -> String {
    format!("{NEW}{host}")
}

pub fn old_name(host: &HostName) -> String {
    format!("{OLD}{host}")
}

/// Removes all folders of changes from `folder`.
///
/// # Errors
/// For the first that cannot be removed.
pub fn sweep(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        if [NEW, OLD].iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes())) {
            remove(&entry.path()).with_context(|| format!("removing {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Removes the folder `path` with its content. Of a link only the link is removed.
fn remove(path: &Path) -> Result<()> {
    let stat = path.symlink_metadata()?;
    if !stat.is_dir() {
        return Ok(fs::remove_file(path)?);
    }
    // Another run would close the folder in between.
    let _readable = ReadableFolder::open(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))?;
    Ok(fs::remove_dir_all(path)?)
}

/// Renames `from` to `to` in `folder`, unless an earlier run has done so: then `from` is gone, or `to` is a folder of
/// the change that is there already.
///
/// # Errors
/// Where the folder cannot be renamed, or would replace that of a host.
pub fn rename_once(folder: &Path, from: &str, to: &str) -> Result<()> {
    let [source, target] = [from, to].map(|name| folder.join(name));
    let doing = || format!("renaming {} to {}", source.display(), target.display());
    let exists = |path: &Path| path.symlink_metadata().is_ok();
    if !exists(&source) || exists(&target) && [NEW, OLD].iter().any(|prefix| to.starts_with(prefix)) {
        return Ok(());
    }
    if exists(&target) {
        return Err(state::unusable_error(&target, "exists already")).with_context(doing);
    }
    fs::rename(&source, &target).with_context(doing)
}
