//! Reading the flake reference that the user gave.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use super::{FlakeRef, LocalFlake, encode, flake_folder, folder_reference};
use crate::bail;
use crate::base::{percent_encoding, shell};

/// The scheme of a folder with all its files.
const PATH_SCHEME: &str = "path:";
/// The scheme of a git repository in a folder.
pub(super) const GIT_SCHEME: &str = "git+file:";
/// The longest text that may name a folder, in bytes: the limit of the kernel, and a scheme.
const MAX_PATH: usize = 4096 + GIT_SCHEME.len();

impl FlakeRef {
    /// Reads `given`, whose relative paths begin at the working directory.
    ///
    /// # Errors
    /// `Usage` for a text that is no flake reference.
    pub fn parse(given: &str) -> Result<Self> {
        if given.is_empty() {
            bail!(Usage, "the flake reference is empty"; hint: "pass --flake FOLDER or --flake URL");
        }
        let (scheme, rest) = split_scheme(given);
        let (location, query) = if let Some(parts) = split_query_of_folder(rest) {
            parts
        } else {
            check_no_attribute(given)?;
            rest.split_at(rest.find('?').unwrap_or(rest.len()))
        };
        match scheme {
            Some(scheme) => from_url(scheme, location, query),
            None if is_path(location) => from_path(location, query),
            None => Self::from_name(given),
        }
    }

    /// The flake in the archive `given`, or at the URL `given`. Nix would read a bare word as a name in a registry, and
    /// download the registry; the URL `flake:NAME` is such a name by purpose.
    ///
    /// # Errors
    /// `Usage` where `given` is neither.
    fn from_name(given: &str) -> Result<Self> {
        if Path::new(given).is_file() {
            return Ok(Self::of_url(absolute(Path::new(given))?.display().to_string()));
        }
        if given.contains(':') {
            return Ok(Self::of_url(given));
        }
        if is_registry_name(given) {
            bail!(
                Usage, "no flake in {given}: there is no folder `{given}`";
                hint: "pass the folder of your flake as --flake FOLDER; `flake:{given}` names an entry of the registry"
            );
        }
        bail!(
            Usage, "`{given}` is neither a folder nor a flake reference";
            hint: "pass --flake FOLDER, or a reference such as --flake github:owner/name"
        )
    }
}

/// Whether Nix reads `name` as the name of a flake in a registry, such as `nixpkgs` or `cluster/main`.
fn is_registry_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(is_allowed)
}

/// Splits `FLAKE#ATTRIBUTE` into its two parts; `None` without a `#`. The name of a folder may have a `#` too: the last
/// `#` behind an existing folder separates, else the first one.
pub fn split_attribute(text: &str) -> Option<(&str, &str)> {
    let ends = text.rmatch_indices('#').map(|(at, _)| at).filter(|at| *at <= MAX_PATH);
    let mut ends_of_folders = ends.filter(|at| names_folder(&text[..*at]));
    let at = ends_of_folders.next().or_else(|| text.find('#'))?;
    Some((&text[..at], &text[at + 1..]))
}

/// Whether the reference `flake` names an existing folder, with or without a scheme and a query.
fn names_folder(flake: &str) -> bool {
    let (_, rest) = split_scheme(flake);
    split_query_of_folder(rest).is_some()
}

/// Splits `rest`, a reference without its scheme, into the path of an existing folder, or of its `flake.nix`, and the
/// query. The query begins with `?`, or is empty. `None` where no folder exists, or where the query has an attribute.
fn split_query_of_folder(rest: &str) -> Option<(&str, &str)> {
    let exists = |location: &str| is_folder(Path::new(location.strip_prefix("//").unwrap_or(location)));
    // The name of a folder may have `?` and `#`.
    let ends = std::iter::once(rest.len()).chain(rest.rmatch_indices('?').map(|(at, _)| at));
    let splits = ends.map(|at| rest.split_at(at));
    let mut splits = splits.take_while(|(_, query)| !query.contains('#'));
    splits.find(|(location, _)| location.len() <= MAX_PATH && exists(location))
}

/// Splits `given` into the scheme of a folder and the text after it; without such a scheme, the text is all of `given`.
fn split_scheme(given: &str) -> (Option<&'static str>, &str) {
    let scheme = [PATH_SCHEME, GIT_SCHEME].into_iter().find(|scheme| given.starts_with(scheme));
    (scheme, &given[scheme.map_or(0, str::len)..])
}

/// Refuses a reference with an attribute.
///
/// # Errors
/// `Usage` for such a reference.
fn check_no_attribute(given: &str) -> Result<()> {
    let Some((flake, attribute)) = split_attribute(given) else { return Ok(()) };
    let flake = if flake.is_empty() { "." } else { flake };
    bail!(
        Usage, "--flake takes a flake, and `#{attribute}` names an attribute of one";
        hint: "pass `--flake {}`, and the attribute as the host", shell::quote(flake)
    )
}

/// Whether a folder is at `path`, or a `flake.nix`, which stands for its folder.
fn is_folder(path: &Path) -> bool {
    path.is_dir() || is_flake_nix(path)
}

/// Whether `path` is that of a file `flake.nix`.
fn is_flake_nix(path: &Path) -> bool {
    path.ends_with("flake.nix") && path.is_file()
}

/// Whether `location` is the path of a folder: a folder is there, or the text begins like a path and no file is there.
fn is_path(location: &str) -> bool {
    let path = Path::new(location);
    is_folder(path) || location.starts_with(['.', '/']) && !path.is_file()
}

/// The flake at the path `location`, which may be relative. Only the flake of the working directory may be in a folder
/// above; any other folder that is named has the flake itself.
fn from_path(location: &str, query: &str) -> Result<FlakeRef> {
    let tree = named_folder(Path::new(location))?;
    let is_here = std::env::current_dir().is_ok_and(|here| here == tree);
    let found = || if is_here { flake_folder(&tree) } else { tree.clone() };
    let folder = folder_of_query(&tree, query).unwrap_or_else(found);
    // Nix applies the query to the folder that the user gave.
    let named = if query.is_empty() { &folder } else { &tree };
    let reference = folder_reference(named, query);
    Ok(FlakeRef { reference, local: Some(LocalFlake { tree, folder, all_files: false }) })
}

/// The flake at the path `location` with the `scheme`. The path may be relative, and percent-encoded.
fn from_url(scheme: &str, location: &str, query: &str) -> Result<FlakeRef> {
    let location = location.strip_prefix("//").unwrap_or(location);
    let path = if Path::new(location).exists() { PathBuf::from(location) } else { decode(location) };
    let tree = named_folder(&path)?;
    let folder = folder_of_query(&tree, query).unwrap_or_else(|| tree.clone());
    let slashes = if scheme == GIT_SCHEME { "//" } else { "" };
    let reference = format!("{scheme}{slashes}{}{query}", encode(&tree));
    if scheme == GIT_SCHEME && is_in_commits_alone(&tree, &folder, query) {
        return Ok(FlakeRef::of_url(reference));
    }
    Ok(FlakeRef { reference, local: Some(LocalFlake { tree, folder, all_files: scheme == PATH_SCHEME }) })
}

/// Whether only the commits of the git repository `tree` have the flake: the repository is bare, or the `query` names a
/// branch or a commit and `folder` has no `flake.nix` now.
fn is_in_commits_alone(tree: &Path, folder: &Path, query: &str) -> bool {
    let is_bare = tree.join("HEAD").is_file() && tree.join("objects").is_dir();
    let mut parameters = query.trim_start_matches('?').split('&');
    let names_commit =
        parameters.any(|parameter| parameter.starts_with("ref=") || parameter.starts_with("rev="));
    is_bare || names_commit && tree.join(".git").exists() && !folder.join("flake.nix").exists()
}

/// The folder in `tree` that `dir=` of the query names; `None` for a query without `dir=`.
fn folder_of_query(tree: &Path, query: &str) -> Option<PathBuf> {
    let mut parameters = query.trim_start_matches('?').split('&');
    let dir = parameters.find_map(|parameter| parameter.strip_prefix("dir="))?;
    Some(tree.join(decode(dir)))
}

/// The path that `text` encodes in percent encoding.
fn decode(text: &str) -> PathBuf {
    OsString::from_vec(percent_encoding::decode(text)).into()
}

/// The folder that `path` names, as an absolute path: the folder of a `flake.nix`, and the working directory for an
/// empty path. An existing folder has no links in its path, because Nix refuses a link as a flake.
fn named_folder(path: &Path) -> Result<PathBuf> {
    let folder = path.parent().filter(|_| is_flake_nix(path)).unwrap_or(path);
    let folder = absolute(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?;
    Ok(folder.canonicalize().unwrap_or(folder))
}

/// `path` as an absolute path without `.`, and without `..` if the path exists.
fn absolute(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).with_context(|| format!("finding {}", path.display()))?;
    if absolute.components().any(|part| part == Component::ParentDir) {
        return Ok(absolute.canonicalize().unwrap_or(absolute));
    }
    Ok(absolute)
}
