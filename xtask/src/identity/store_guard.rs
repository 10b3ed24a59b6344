//! Private keys never get into a Nix store, where everybody can read them: a flake is copied there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Folder;
use crate::base::failure::ExitKind;
use crate::base::process::Launcher;
use crate::base::{git, project};

/// Refuses a folder for keys that Nix copies with the `flake`.
///
/// # Errors
/// Of [`ExitKind::Refused`], with the remedy.
pub fn keep_out_of_stores(launcher: &Launcher, folder: &Folder, flake: &str) -> Result<()> {
    if !goes_to_stores(launcher, folder.path(), flake)? {
        return Ok(());
    }
    let (keys, dir) = (folder.path().display(), project::flake_dir(flake));
    Err(ExitKind::Refused.error(format!(
        "Nix copies {keys} to its store with the flake {}, where everybody could read the private key; let git ignore \
         it, or name another folder with --identity-dir",
        dir.display()
    )))
}

/// Whether Nix copies the folder `dir` with the `flake`.
pub fn goes_to_stores(launcher: &Launcher, dir: &Path, flake: &str) -> Result<bool> {
    let dir = real(&std::path::absolute(dir).with_context(|| format!("finding {}", dir.display()))?);
    is_copied(flake, &dir, |git| is_ignored(launcher, git, &dir))
}

/// Whether Nix copies the folder `keys` with the `flake`; `is_ignored` says whether the git repository at that place
/// ignores it.
fn is_copied(flake: &str, keys: &Path, is_ignored: impl FnOnce(&Path) -> Result<bool>) -> Result<bool> {
    let dir = real(&project::flake_dir(flake));
    // Of a place within git, Nix takes what git has.
    let git = dir.ancestors().find(|dir| dir.join(".git").exists());
    match git.filter(|_| !flake.starts_with("path:")) {
        Some(git) => Ok(keys.starts_with(git) && !is_ignored(git)?),
        None => Ok(keys.starts_with(&dir)),
    }
}

/// `path` without links in what is there of it.
fn real(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|there| Some((there, there.canonicalize().ok()?)));
    let whole = there.and_then(|(there, real)| {
        let rest = path.strip_prefix(there).ok()?;
        Some(real.components().chain(rest.components()).collect())
    });
    whole.unwrap_or_else(|| path.to_owned())
}

fn is_ignored(launcher: &Launcher, repository: &Path, keys: &Path) -> Result<bool> {
    let output = git::capture(launcher, repository, git::Command::CheckIgnore, &[keys.as_os_str()])?;
    match output.code {
        0 => Ok(true),
        1 => Ok(false),
        _ => Err(ExitKind::Other.error(format!(
            "asking git about {}: {}",
            keys.display(),
            output.stderr.trim()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nix_copies() {
        let dir = tempfile::tempdir().unwrap();
        let [plain, repository] = ["plain", "repository"].map(|name| dir.path().join(name));
        std::fs::create_dir_all(repository.join("nix")).unwrap();
        std::fs::create_dir_all(repository.join(".git")).unwrap();
        std::fs::create_dir(&plain).unwrap();
        let check = |flake: &str, keys: &Path, copied: bool| {
            let ignored = |git: &Path| {
                assert_eq!(git, repository);
                Ok(keys.starts_with(repository.join(".xtask")))
            };
            assert_eq!(is_copied(flake, keys, ignored).unwrap(), copied, "{flake} {}", keys.display());
        };
        for flake in [&plain, &repository, &repository.join("nix")].map(|dir| dir.display().to_string()) {
            check(&flake, &dir.path().join("elsewhere"), false);
        }
        let plain_flake = plain.display().to_string();
        check(&plain_flake, &plain.join(".xtask/identity"), true);
        check(&format!("path:{plain_flake}"), &plain.join("keys"), true);
        let whole = repository.display().to_string();
        check(&whole, &repository.join(".xtask/identity"), false);
        check(&whole, &repository.join("keys"), true);
        check(&format!("path:{whole}"), &repository.join(".xtask/identity"), true);
        // The flake is a part of the repository, and all of that is copied.
        check(&format!("git+file://{whole}?dir=nix"), &repository.join("keys"), true);
        check(&repository.join("nix").display().to_string(), &repository.join("keys"), true);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&plain, &link).unwrap();
        check(&link.display().to_string(), &real(&plain.join("keys")), true);
        check("github:owner/name", &repository.join("keys"), false);
    }
}
