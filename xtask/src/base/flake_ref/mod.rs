//! Flake references, in a form that Nix accepts in any working directory.

mod parse;
mod revision;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Serialize, Serializer};

use crate::bail;
use crate::base::redact::without_passwords;
use crate::base::{percent_encoding, shell};

pub use parse::split_attribute;

/// A reference to a flake: a folder of this machine, or a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlakeRef {
    /// The reference as Nix gets it.
    reference: String,
    /// The folder that the reference names; `None` for a URL of another machine, an archive, or a name in a registry.
    local: Option<LocalFlake>,
}

/// A flake in a folder of this machine. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LocalFlake {
    /// The folder that the reference names. Nix copies all of it, or the git repository around it.
    tree: PathBuf,
    /// The folder of `flake.nix`: `tree`, a folder in `tree` (`?dir=`), or for the working directory the nearest
    /// folder above with a `flake.nix`.
    folder: PathBuf,
    /// Whether Nix copies all files of `tree`, also those that git ignores (`path:`).
    all_files: bool,
}

impl LocalFlake {
    fn has_flake_nix(&self) -> bool {
        self.folder.join("flake.nix").exists()
    }
}

/// The files that Nix copies to its store with a flake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopiedFiles {
    /// All files of the folder.
    All(PathBuf),
    /// The files that git lists in this repository.
    Listed(PathBuf),
}

impl FlakeRef {
    /// The flake in `folder`, or in the nearest folder above that has a `flake.nix`. The path of `folder` is absolute.
    pub fn of_folder(folder: &Path) -> Self {
        let tree = folder.to_owned();
        let flake_folder = flake_folder(folder);
        Self {
            reference: folder_reference(&flake_folder, ""),
            local: Some(LocalFlake { tree, folder: flake_folder, all_files: false }),
        }
    }

    /// The flake in `folder` with all its files, also those that git ignores.
    pub fn with_all_files(folder: &Path) -> Self {
        let local = LocalFlake { tree: folder.to_owned(), folder: folder.to_owned(), all_files: true };
        Self { reference: format!("path:{}", encode(folder)), local: Some(local) }
    }

    /// The flake at `url`, which names no folder of this machine: a URL as Nix prints it, the path of an archive, or a
    /// name in a registry.
    pub fn of_url(url: impl Into<String>) -> Self {
        Self { reference: url.into(), local: None }
    }

    /// The reference as Nix gets it.
    pub fn as_str(&self) -> &str {
        &self.reference
    }

    /// The reference without query; that to a forge also without branch and commit, that to a name in a registry
    /// without `flake:`.
    fn without_version(&self) -> &str {
        let without_query = self.reference.split('?').next().unwrap_or_default();
        let without_query = without_query.strip_prefix("flake:").unwrap_or(without_query);
        let is_forge =
            ["github:", "gitlab:", "sourcehut:"].iter().any(|forge| without_query.starts_with(forge));
        // The third part of a reference to a forge is a branch or a commit.
        match without_query.match_indices('/').nth(1) {
            Some((end, _)) if is_forge => &without_query[..end],
            _ => without_query,
        }
    }

    /// [`Self::without_version`] without the login in the address: a token that is renewed leads to the same flake, and
    /// the name of a folder shows none.
    fn without_login(&self) -> String {
        without_passwords(self.without_version()).replacen("://…@", "://", 1)
    }

    /// Whether `other`, the reference to a flake as Nix got it in the past, names this flake in any version.
    pub fn is_same(&self, other: &str) -> bool {
        // Earlier versions had names in a registry without `flake:`.
        let other = Self::parse(other).unwrap_or_else(|_| Self::of_url(other));
        match (self.real_folder(), other.real_folder()) {
            (Some(own), Some(other)) => own == other,
            (None, None) => self.without_login() == other.without_login(),
            _ => false,
        }
    }

    /// The text that is the same for all references to this flake, in any version: the real path of its folder, or its
    /// URL.
    pub fn place(&self) -> OsString {
        self.real_folder().map_or_else(|| self.without_login().into(), OsString::from)
    }

    /// The folder of `flake.nix` without links, or as it is written where it does not exist; `None` for a flake that is
    /// not in a folder of this machine.
    fn real_folder(&self) -> Option<PathBuf> {
        let folder = self.folder()?;
        Some(folder.canonicalize().unwrap_or_else(|_| folder.components().collect()))
    }

    /// The folder of `flake.nix`, if it is on this machine.
    pub fn folder(&self) -> Option<&Path> {
        self.local.as_ref().map(|local| local.folder.as_path())
    }

    /// The files that Nix copies to its store; `None` for a flake of another machine, and for a folder without a flake.
    pub fn copied_files(&self) -> Option<CopiedFiles> {
        let local = self.local.as_ref().filter(|local| local.has_flake_nix())?;
        let tree = local.tree.canonicalize().unwrap_or_else(|_| local.tree.clone());
        let repository = tree.ancestors().find(|folder| folder.join(".git").exists());
        match repository {
            Some(repository) if !local.all_files => Some(CopiedFiles::Listed(repository.to_owned())),
            _ => Some(CopiedFiles::All(tree)),
        }
    }

    /// Checks that there is a flake, if the reference names a folder of this machine.
    ///
    /// # Errors
    /// `Usage` for a folder without a flake, and for one that is no git repository although the reference says so.
    pub fn check(&self) -> Result<()> {
        let Some(local) = &self.local else { return Ok(()) };
        self.check_repository(local)?;
        if local.has_flake_nix() {
            return Ok(());
        }
        let folder = local.folder.display();
        if local.folder.exists() {
            bail!(
                Usage, "no flake in {folder}: there is no flake.nix";
                hint: "run the command in the folder of your flake, or pass it as --flake FOLDER or --flake URL"
            );
        }
        bail!(Usage, "no flake in {folder}: there is no such folder"; hint: "pass the folder of your flake as --flake FOLDER")
    }

    /// Checks that the folder of a reference with `git+file:` is a git repository.
    ///
    /// # Errors
    /// `Usage` for another folder.
    fn check_repository(&self, local: &LocalFlake) -> Result<()> {
        let tree = &local.tree;
        let of_tree = format!("{}//{}", parse::GIT_SCHEME, encode(tree));
        let is_claimed = self.reference.split('?').next() == Some(of_tree.as_str());
        if !is_claimed || !tree.exists() || tree.join(".git").exists() {
            return Ok(());
        }
        let name = shell::quote(&tree.display().to_string());
        bail!(
            Usage, "{} is no git repository, but the reference says `git+file:`", tree.display();
            hint: "pass --flake {name}, without `git+file:`"
        )
    }
}

impl Display for FlakeRef {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.reference)
    }
}

impl Serialize for FlakeRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.reference)
    }
}

/// The nearest folder from `start` upwards that has a `flake.nix`, or `start` where none has or `start` does not exist.
/// As Nix does, the search ends at the root of a git repository.
fn flake_folder(start: &Path) -> PathBuf {
    if !start.is_dir() {
        return start.to_owned();
    }
    for folder in start.ancestors() {
        if folder.join("flake.nix").exists() {
            return folder.to_owned();
        }
        if folder.join(".git").exists() {
            break;
        }
    }
    start.to_owned()
}

/// The reference to the flake in `folder`: the path itself where Nix reads it as a path, else a URL. `query` begins
/// with `?`, or is empty.
fn folder_reference(folder: &Path, query: &str) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+@=,".contains(byte);
    if folder.as_os_str().as_bytes().iter().all(is_plain) {
        return format!("{}{query}", folder.display());
    }
    let Some(repository) = folder.ancestors().find(|above| above.join(".git").exists()) else {
        return format!("path:{}{query}", encode(folder));
    };
    let below = folder.strip_prefix(repository).unwrap_or(Path::new(""));
    let dir = if below.as_os_str().is_empty() { String::new() } else { format!("dir={}", encode(below)) };
    let parameters =
        [query.trim_start_matches('?'), &dir].into_iter().filter(|parameters| !parameters.is_empty());
    let parameters = parameters.collect::<Vec<_>>().join("&");
    let separator = if parameters.is_empty() { "" } else { "?" };
    format!("git+file://{}{separator}{parameters}", encode(repository))
}

/// `path` with percent encoding, except for its slashes.
fn encode(path: &Path) -> String {
    percent_encoding::encode(path.as_os_str().as_bytes(), b"/")
}
