//! A copy of the flake, to evaluate a change before it is made. Nix would not see new files that git does not list, and
//! whether git lists them is up to the user.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::bail;
use crate::base::git::{self, Command};
use crate::base::state::STATE;
use crate::base::{Context, CopiedFiles, FlakeRef};

/// A copy that is removed with this value.
pub struct FlakeCopy {
    dir: tempfile::TempDir,
    /// The folder of `flake.nix` in the copy.
    flake_folder: PathBuf,
}

impl FlakeCopy {
    /// Copies the files that Nix sees of the flake in `folder`.
    ///
    /// # Errors
    /// Where git cannot list the files, and where one cannot be copied.
    pub fn make(cx: &Context, folder: &Path) -> Result<Self> {
        let dir = tempfile::tempdir().context("making a folder for a copy of the flake")?;
        let folder = folder.canonicalize().with_context(|| format!("finding {}", folder.display()))?;
        let (root, names) = match cx.flake.copied_files() {
            Some(CopiedFiles::Listed(root)) => {
                let names = listed_names(cx, &root)?;
                (root, names)
            }
            _ => (folder.clone(), all_names(&folder)?),
        };
        for name in names {
            let (from, to) = (root.join(&name), dir.path().join(&name));
            copy(&from, &to).with_context(|| format!("copying {}", from.display()))?;
        }
        let flake_folder = dir.path().join(folder.strip_prefix(&root).unwrap_or(Path::new("")));
        Ok(Self { dir, flake_folder })
    }

    pub fn flake_folder(&self) -> &Path {
        &self.flake_folder
    }

    /// The context `cx` for the copy.
    pub fn context(&self, cx: &Context) -> Context {
        let root = FlakeRef::with_all_files(self.dir.path());
        let inner = self.flake_folder.strip_prefix(self.dir.path()).unwrap_or(Path::new(""));
        let is_root = inner.as_os_str().is_empty();
        // A flake in a folder of a repository may name files of the whole repository.
        let reference = format!("{root}?dir={}", inner.display());
        cx.with_flake(if is_root { root } else { FlakeRef::of_url(reference) })
    }
}

/// The files in the list of git, relative to `root`. A file that the user removed is listed still.
fn listed_names(cx: &Context, root: &Path) -> Result<Vec<PathBuf>> {
    let output = git::capture(&cx.launcher, root, Command::ListNames, &[])?;
    if !output.success() {
        bail!(Other, "git does not list the files of {}: {}", root.display(), output.stderr.trim());
    }
    let names = output.stdout.split('\0').filter(|name| !name.is_empty());
    Ok(names.map(PathBuf::from).filter(|name| root.join(name).symlink_metadata().is_ok()).collect())
}

/// All files below `folder` but those of the tool's state, relative to `folder`.
fn all_names(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        let doing = || format!("listing {}", folder.join(&inner).display());
        for entry in folder.join(&inner).read_dir().with_context(doing)? {
            let entry = entry.with_context(doing)?;
            let name = inner.join(entry.file_name());
            match entry.file_type().with_context(doing)? {
                kind if kind.is_dir() && entry.file_name() != STATE => folders.push(name),
                kind if kind.is_file() || kind.is_symlink() => names.push(name),
                _ => {}
            }
        }
    }
    Ok(names)
}

/// Copies the file or link `from` to `to`. A submodule, which git lists as one name, stays an empty folder.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    let kind = from.symlink_metadata()?.file_type();
    if kind.is_symlink() {
        symlink(fs::read_link(from)?, to)
    } else if kind.is_dir() {
        fs::create_dir_all(to)
    } else {
        fs::copy(from, to).map(drop)
    }
}
