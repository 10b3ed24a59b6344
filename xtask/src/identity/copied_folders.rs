//! Keeps private keys out of the Nix store, where everybody can read them: Nix copies the folder of a flake there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{CacheKey, hosts_with_folders};
use crate::bail;
use crate::base::process::Launcher;
use crate::base::{CopiedFiles, FlakeRef, git, shell};

/// Refuses the folder `dir` with a private key if Nix copies it to its store with the `flake`.
///
/// # Errors
/// `Refused` for a folder that Nix copies.
pub fn keep_out_of_stores(launcher: &Launcher, dir: &Path, flake: &FlakeRef) -> Result<()> {
    if !is_copied_to_store(launcher, dir, flake)? {
        return Ok(());
    }
    bail!(
        Refused,
        "nix copies {} to its store with the flake {flake}, where everybody could read the private key",
        dir.display();
        hint: "pass another folder as --identity-dir, or {}", remedy(flake)
    )
}

/// Refuses a `flake` of which Nix copies all files to its store, where keys of hosts are among them, in the state
/// folder `state`. Nix may not read the keys, and would fail on the first of them.
///
/// # Errors
/// `Refused` for such a flake.
pub fn refuse_copied_keys(flake: &FlakeRef, state: &Path) -> Result<()> {
    let Some(CopiedFiles::All(_)) = flake.copied_files() else { return Ok(()) };
    let keys = resolve(&super::folder(state));
    let has_keys = !hosts_with_folders(state).is_empty() || CacheKey::has_folder(state);
    if !has_keys || !is_copied(flake, &keys, |_| Ok(true))? {
        return Ok(());
    }
    bail!(
        Refused,
        "nix copies {} to its store with the flake {flake}, where everybody could read the private keys of hosts",
        keys.display();
        hint: "move {} out of the flake and set XTASK_STATE to its new place, or {}", state.display(), remedy(flake)
    )
}

/// The remedy that keeps Nix from copying a folder in `flake`.
fn remedy(flake: &FlakeRef) -> String {
    match flake.copied_files() {
        Some(CopiedFiles::All(tree)) if tree.ancestors().any(|folder| folder.join(".git").exists()) => {
            let tree = shell::quote(&tree.to_string_lossy());
            format!("pass --flake {tree} without `path:`: nix then copies only what git lists")
        }
        Some(CopiedFiles::All(_)) => "make the flake a git repository that ignores the folder".to_owned(),
        Some(CopiedFiles::Listed(_)) | None => "let git ignore the folder".to_owned(),
    }
}

/// Whether Nix copies the folder `dir` to its store with the `flake`.
pub fn is_copied_to_store(launcher: &Launcher, dir: &Path, flake: &FlakeRef) -> Result<bool> {
    let dir = resolve(&std::path::absolute(dir).with_context(|| format!("finding {}", dir.display()))?);
    is_copied(flake, &dir, |repository| is_ignored(launcher, repository, &dir))
}

/// Whether Nix copies the folder `keys` with the `flake`. `is_ignored` asks the git repository at its argument whether
/// it ignores the folder.
fn is_copied(flake: &FlakeRef, keys: &Path, is_ignored: impl FnOnce(&Path) -> Result<bool>) -> Result<bool> {
    Ok(match flake.copied_files() {
        None => false,
        Some(CopiedFiles::All(folder)) => keys.starts_with(folder),
        Some(CopiedFiles::Listed(repository)) => keys.starts_with(&repository) && !is_ignored(&repository)?,
    })
}

/// `path` with its links resolved, as far as the path exists.
fn resolve(path: &Path) -> PathBuf {
    for existing in path.ancestors() {
        if let (Ok(resolved), Ok(missing)) = (existing.canonicalize(), path.strip_prefix(existing)) {
            return resolved.components().chain(missing.components()).collect();
        }
    }
    path.to_owned()
}

/// Whether the git `repository` ignores the folder `keys`.
fn is_ignored(launcher: &Launcher, repository: &Path, keys: &Path) -> Result<bool> {
    let output = git::capture(launcher, repository, git::Command::CheckIgnore, &[keys.as_os_str()])?;
    match output.code {
        0 => Ok(true),
        1 => Ok(false),
        code => {
            bail!(Other, "git check-ignore {} exited with {code}: {}", keys.display(), output.stderr.trim())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nix_copies_the_folder_of_a_flake_and_not_what_git_ignores() {
        let dir = tempfile::tempdir().unwrap();
        let [plain, repository] = ["plain", "repository"].map(|name| dir.path().join(name));
        std::fs::create_dir_all(repository.join("nix")).unwrap();
        std::fs::create_dir_all(repository.join(".git")).unwrap();
        std::fs::create_dir(&plain).unwrap();
        for flake in [&plain, &repository, &repository.join("nix")] {
            std::fs::write(flake.join("flake.nix"), "{ }").unwrap();
        }
        let check = |flake: &str, keys: &Path, expected: bool| {
            let is_ignored = |asked: &Path| {
                assert_eq!(asked, repository);
                Ok(keys.starts_with(repository.join(".xtask")))
            };
            let copied = is_copied(&FlakeRef::parse(flake).unwrap(), keys, is_ignored).unwrap();
            assert_eq!(copied, expected, "{flake} {}", keys.display());
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
        // The flake is in a folder of the repository, and Nix copies all of the repository.
        check(&format!("git+file://{whole}?dir=nix"), &repository.join("keys"), true);
        check(&repository.join("nix").display().to_string(), &repository.join("keys"), true);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&plain, &link).unwrap();
        check(&link.display().to_string(), &resolve(&plain.join("keys")), true);
        check("github:owner/name", &repository.join("keys"), false);
        // A folder without a flake may contain the state of the tool, such as the home folder.
        check(&dir.path().display().to_string(), &dir.path().join("keys"), false);
    }
}
