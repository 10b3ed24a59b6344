//! Private keys never get into a Nix store, where everybody can read them: a flake is copied there.

use std::path::Path;

use anyhow::{Context, Result};

use super::Folder;
use crate::failure::Kind;
use crate::process::Launcher;
use crate::project;

/// Refuses a folder for keys that Nix copies with the `flake`.
///
/// # Errors
/// Of [`Kind::Refused`], with the remedy.
pub fn keep_out_of_stores(launcher: &Launcher, folder: &Folder, flake: &str) -> Result<()> {
    let keys = std::path::absolute(folder.path()).context("finding the folder for keys")?;
    let dir = project::flake_dir(flake);
    // Of a place within git, Nix takes what git has.
    let git = dir.ancestors().find(|dir| dir.join(".git").exists());
    let copied = match git.filter(|_| !flake.starts_with("path:")) {
        Some(git) => keys.starts_with(git) && !is_ignored(launcher, git, &keys)?,
        None => keys.starts_with(&dir),
    };
    if !copied {
        return Ok(());
    }
    let (keys, dir) = (keys.display(), dir.display());
    Err(Kind::Refused.error(format!(
        "Nix copies {keys} to its store with the flake {dir}, where everybody could read the private key; let git ignore \
         it, or name another folder with --identity-dir"
    )))
}

fn is_ignored(launcher: &Launcher, git: &Path, keys: &Path) -> Result<bool> {
    let args =
        ["-C".as_ref(), git.as_os_str(), "check-ignore".as_ref(), "--quiet".as_ref(), keys.as_os_str()];
    let output = launcher.capture("git", &args)?;
    match output.code {
        0 => Ok(true),
        1 => Ok(false),
        _ => Err(Kind::Other.error(format!("asking git about {}: {}", keys.display(), output.stderr.trim()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(flake: &str, keys: &Path, copied: bool) {
        let folder = Folder::new("pi", Some(keys)).unwrap();
        let checked = keep_out_of_stores(&Launcher::new("/"), &folder, flake);
        let said = checked.as_ref().err().map(ToString::to_string).unwrap_or_default();
        assert_eq!(said.starts_with("Nix copies "), copied, "{flake} {}: {said}", keys.display());
        assert_eq!(checked.is_err(), copied, "{said}");
    }

    #[test]
    fn what_nix_copies() {
        let dir = tempfile::tempdir().unwrap();
        let [plain, repository] = ["plain", "repository"].map(|name| dir.path().join(name));
        std::fs::create_dir_all(repository.join("nix")).unwrap();
        std::fs::create_dir(&plain).unwrap();
        let init = ["init", "--quiet", repository.to_str().unwrap()];
        Launcher::new("/").read("git", &init).unwrap();
        std::fs::write(repository.join(".gitignore"), "/.xtask/\n").unwrap();
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
        check("github:owner/name", &repository.join("keys"), false);
    }
}
