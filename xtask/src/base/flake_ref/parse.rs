//! Reading the flake reference that the user gave.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{FlakeRef, LocalFlake, encode, flake_folder, folder_reference};
use crate::bail;
use crate::base::percent_encoding;

/// The schemes of references to folders: a folder with all its files, and a git repository.
const PATH_SCHEME: &str = "path:";
const GIT_SCHEME: &str = "git+file:";

impl FlakeRef {
    /// Reads `given`, whose relative paths begin at the working directory.
    ///
    /// # Errors
    /// `Usage` for a text that is no flake reference.
    pub fn parse(given: &str) -> Result<Self> {
        if given.is_empty() {
            bail!(Usage, "the flake reference is empty"; hint: "pass --flake FOLDER or --flake URL");
        }
        let scheme = [PATH_SCHEME, GIT_SCHEME].into_iter().find(|scheme| given.starts_with(scheme));
        let text = &given[scheme.map_or(0, str::len)..];
        // A folder may have `?` and `#` in its name.
        let (location, query) = if Path::new(text).is_dir() { (text, "") } else { split_query(given, text)? };
        match scheme {
            Some(scheme) => from_url(scheme, location, query),
            None if is_path(location) => from_path(location, query),
            None => Self::from_name(given),
        }
    }

    /// An archive, a URL, or the name of a flake in a registry.
    fn from_name(given: &str) -> Result<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if Path::new(given).is_file() {
            return Ok(Self::of_url(absolute(Path::new(given))?.display().to_string()));
        }
        if given.contains(':')
            || given.starts_with(|c: char| c.is_ascii_alphabetic()) && given.chars().all(is_plain)
        {
            return Ok(Self::of_url(given));
        }
        bail!(
            Usage, "`{given}` is neither a folder nor a flake reference";
            hint: "pass --flake FOLDER, or a reference such as --flake github:owner/name"
        )
    }
}

/// `text` of the reference `given` before its query, and the query with its `?`.
///
/// # Errors
/// `Usage` for a reference with an attribute.
fn split_query<'a>(given: &str, text: &'a str) -> Result<(&'a str, &'a str)> {
    // The folder may have `#` in its name, too.
    let split_last = given.rsplit_once('#').filter(|(flake, _)| Path::new(flake).is_dir());
    if let Some((flake, attribute)) = split_last.or_else(|| given.split_once('#')) {
        let flake = if flake.is_empty() { "." } else { flake };
        bail!(
            Usage, "--flake takes a flake, and `#{attribute}` names an attribute of one";
            hint: "pass --flake '{flake}', and the attribute as the host"
        );
    }
    Ok(text.split_at(text.find('?').unwrap_or(text.len())))
}

/// Whether `location` is a path: it looks like one, or a folder is there.
fn is_path(location: &str) -> bool {
    location.starts_with(['.', '/']) && !Path::new(location).is_file() || Path::new(location).is_dir()
}

fn from_path(location: &str, query: &str) -> Result<FlakeRef> {
    let tree = absolute(Path::new(location))?;
    let folder = inside(&tree, query).unwrap_or_else(|| flake_folder(&tree));
    let start = if query.is_empty() { &folder } else { &tree };
    let reference = folder_reference(start, query);
    Ok(FlakeRef { reference, local: Some(LocalFlake { tree, folder, all_files: false }) })
}

/// The reference of `scheme`, whose path may be relative, and encoded or not.
fn from_url(scheme: &str, location: &str, query: &str) -> Result<FlakeRef> {
    let location = location.strip_prefix("//").unwrap_or(location);
    let path = if Path::new(location).exists() { PathBuf::from(location) } else { decode(location) };
    let tree = absolute(if path.as_os_str().is_empty() { Path::new(".") } else { &path })?;
    let folder = inside(&tree, query).unwrap_or_else(|| tree.clone());
    let slashes = if scheme == GIT_SCHEME { "//" } else { "" };
    let reference = format!("{scheme}{slashes}{}{query}", encode(&tree));
    Ok(FlakeRef { reference, local: Some(LocalFlake { tree, folder, all_files: scheme == PATH_SCHEME }) })
}

/// The folder in `tree` that `dir=` of the query names.
fn inside(tree: &Path, query: &str) -> Option<PathBuf> {
    let mut words = query.trim_start_matches('?').split('&');
    words.find_map(|word| word.strip_prefix("dir=")).map(|dir| tree.join(decode(dir)))
}

fn decode(text: &str) -> PathBuf {
    OsString::from_vec(percent_encoding::decode(text)).into()
}

/// `path` as an absolute path without `.` and, as far as it exists, without `..`.
fn absolute(path: &Path) -> Result<PathBuf> {
    let whole = std::path::absolute(path).with_context(|| format!("finding {}", path.display()))?;
    let climbs = whole.components().any(|part| part.as_os_str() == OsStr::new(".."));
    Ok(if climbs { whole.canonicalize().unwrap_or(whole) } else { whole })
}
