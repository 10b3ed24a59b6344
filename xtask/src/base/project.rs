//! The folders of a project: its flake, its state folder, and the tools that `setup` installed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{Access, access};

use super::flake_ref::{CopiedFiles, FlakeRef};
use super::percent_encoding;
use super::state::STATE;
use crate::bail;

/// The name of the tool's folders, which lie beside those of other programs.
const PROGRAM: &str = "nixos-pi-xtask";
/// The folder where Nix keeps flakes that it fetched, and where nobody else writes.
const STORE: &str = "/nix/store";

/// The flake that the user names: `given`, else the flake that `XTASK_FLAKE` names; `None` where neither does.
/// [`FlakeRef::check`] checks that it exists.
///
/// # Errors
/// `Usage` for a text that is no flake reference.
pub fn named_flake(given: Option<&str>) -> Result<Option<FlakeRef>> {
    match (given, env_path("XTASK_FLAKE")) {
        (Some(given), _) => FlakeRef::parse(given).map(Some),
        (None, Some(named)) => parse_path(&named).map(Some).context("reading XTASK_FLAKE"),
        (None, None) => Ok(None),
    }
}

/// The flake that the text `named` of a variable names.
fn parse_path(named: &Path) -> Result<FlakeRef> {
    let Some(text) = named.to_str() else {
        let encoded = percent_encoding::encode(named.as_os_str().as_bytes(), b"/");
        bail!(
            Usage, "`{}` is not UTF-8", named.display();
            hint: "name the folder of your flake as path:{encoded}"
        );
    };
    FlakeRef::parse(text)
}

/// The flake in the working directory or in the nearest folder above. [`FlakeRef::check`] checks that it exists.
pub fn flake_here() -> Result<FlakeRef> {
    let here = std::env::current_dir().context("finding the working directory")?;
    let nearest = here.ancestors().find(|folder| folder.join("flake.nix").exists());
    Ok(FlakeRef::of_folder(nearest.unwrap_or(&here)))
}

/// The state folder of `flake`, for receipts, host keys and known hosts. It is the first of these:
/// - the folder that `XTASK_STATE` names,
/// - `.xtask` beside `flake.nix`, where it exists, or where git keeps it out of the flake and this user may write,
/// - a folder in `$XDG_STATE_HOME` with the place of the flake as its name, however the user names the flake.
pub fn state_dir(flake: &FlakeRef) -> PathBuf {
    if let Some(named) = env_path("XTASK_STATE").and_then(|path| std::path::absolute(path).ok()) {
        return named;
    }
    if let Some(folder) = flake.folder().filter(|folder| can_hold_state(flake, folder)) {
        return folder.join(STATE);
    }
    user_states().join(percent_encoding::encode(flake.place().as_bytes(), b""))
}

/// Checks that `XTASK_STATE` names a folder, which may be made later.
///
/// # Errors
/// `Usage` for a file, and for a path that is not UTF-8: the paths of keys and sockets are in texts for ssh.
pub fn check_named_state() -> Result<()> {
    let Some(named) = env_path("XTASK_STATE") else { return Ok(()) };
    let hint = "let XTASK_STATE name a folder for keys, receipts and logs, or unset it";
    let shown = named.display();
    if named.to_str().is_none() {
        bail!(Usage, "XTASK_STATE is not UTF-8: {shown}"; hint: "{hint}");
    }
    match named.ancestors().find(|above| above.symlink_metadata().is_ok() && !above.is_dir()) {
        Some(file) => {
            bail!(Usage, "XTASK_STATE is {shown}, but {} is no folder", file.display(); hint: "{hint}")
        }
        None => Ok(()),
    }
}

/// The folder of the user that contains the state folders of all flakes that cannot hold their own.
fn user_states() -> PathBuf {
    user_folder("XDG_STATE_HOME", ".local/state").join(PROGRAM)
}

/// A state folder that may still have keys and receipts of a flake.
#[derive(Debug, PartialEq, Eq)]
pub enum EarlierState {
    /// The folder of the flake alone, of a time when the flake could not hold its own state, or had another name.
    OfFlake(PathBuf),
    /// The folder of an earlier version of the tool for all flakes, in the checkout that the version was built from.
    OfTool(PathBuf),
}

/// All state folders but `state` that may have keys and receipts of `flake`; none where `XTASK_STATE` names the folder.
pub fn earlier_states(flake: &FlakeRef, state: &Path) -> Vec<EarlierState> {
    if env_path("XTASK_STATE").is_some() {
        return Vec::new();
    }
    let is_earlier = |folder: &PathBuf| folder != state;
    let of_flake = states_of(flake, &user_states()).into_iter().filter(is_earlier).map(EarlierState::OfFlake);
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let in_checkouts = checkout.map(state_dirs_of).unwrap_or_default();
    let of_tool = in_checkouts.into_iter().filter(is_earlier).map(EarlierState::OfTool);
    of_flake.chain(of_tool).collect()
}

/// The folders in `states` whose names are references to `flake`, sorted.
fn states_of(flake: &FlakeRef, states: &Path) -> Vec<PathBuf> {
    let entries = states.read_dir().into_iter().flatten().flatten();
    let is_of_flake = |path: &PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str).map(percent_encoding::decode);
        let reference = name.and_then(|bytes| String::from_utf8(bytes).ok());
        reference.is_some_and(|reference| flake.is_same(&reference))
    };
    let mut folders = entries.map(|entry| entry.path()).filter(is_of_flake).collect::<Vec<_>>();
    folders.sort();
    folders
}

/// The existing state folders in `checkout` and, where `cargo install --git` made it, in the checkouts of other
/// versions beside it. Sorted.
fn state_dirs_of(checkout: &Path) -> Vec<PathBuf> {
    let mut checkouts = vec![checkout.to_owned()];
    let is_made_by_cargo =
        |versions: &Path| versions.parent().is_some_and(|git| git.ends_with("git/checkouts"));
    if let Some(versions) = checkout.parent().filter(|versions| is_made_by_cargo(versions)) {
        checkouts.extend(versions.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()));
    }
    let states = checkouts.into_iter().map(|folder| folder.join(STATE)).filter(|state| state.is_dir());
    // The checkout itself is among those of all versions.
    states.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whether the state folder can be in `folder`, the folder of `flake`. Without git it cannot: Nix would copy the whole
/// folder to its store, private keys included. Nor can it where the path is not UTF-8, as texts for ssh have it. A
/// state folder that is there already stays in use.
fn can_hold_state(flake: &FlakeRef, folder: &Path) -> bool {
    let is_listed = matches!(flake.copied_files(), Some(CopiedFiles::Listed(_)));
    let is_flake = folder.join("flake.nix").exists() && !folder.starts_with(STORE);
    let is_listed = is_listed && folder.to_str().is_some();
    is_flake && (folder.join(STATE).is_dir() || is_listed && access(folder, Access::WRITE_OK).is_ok())
}

/// The folder where `setup` installs tools for the user, shared by all flakes. `XTASK_TOOLS` names another folder.
pub fn tools_dir() -> PathBuf {
    env_path("XTASK_TOOLS").unwrap_or_else(|| user_folder("XDG_DATA_HOME", ".local/share").join(PROGRAM))
}

/// The folder of the user that `variable` names, or `default` in the home folder. Without `HOME`, the home folder is
/// that of root.
fn user_folder(variable: &str, default: &str) -> PathBuf {
    let home = || env_path("HOME").unwrap_or_else(|| PathBuf::from("/root"));
    env_path(variable).unwrap_or_else(|| home().join(default))
}

/// The path in the environment variable `name`; `None` where it is unset or empty.
fn env_path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_all_versions_that_cargo_installed_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let checkouts = dir.path().join("git/checkouts/xtask-1a2b");
        for folder in ["new", "old/.xtask", "older/.xtask"] {
            std::fs::create_dir_all(checkouts.join(folder)).unwrap();
        }
        let expected = ["old/.xtask", "older/.xtask"].map(|folder| checkouts.join(folder));
        assert_eq!(state_dirs_of(&checkouts.join("new")), expected);
        // Beside any other checkout are other projects.
        let own = dir.path().join("projects/tool");
        for folder in [own.join(STATE), dir.path().join("projects/other/.xtask")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        assert_eq!(state_dirs_of(&own), [own.join(STATE)]);
    }

    #[test]
    fn state_is_beside_a_flake_in_a_repository_of_the_user() {
        let dir = tempfile::tempdir().unwrap();
        let can_hold = || can_hold_state(&FlakeRef::of_folder(dir.path()), dir.path());
        assert!(!can_hold(), "there is no flake");
        std::fs::write(dir.path().join("flake.nix"), "").unwrap();
        assert!(!can_hold(), "nix copies the whole folder");
        std::fs::create_dir(dir.path().join(".git")).unwrap();
        assert!(can_hold());
        std::fs::remove_dir(dir.path().join(".git")).unwrap();
        std::fs::create_dir(dir.path().join(STATE)).unwrap();
        assert!(can_hold(), "there is state already");
        assert!(!can_hold_state(&FlakeRef::of_folder(Path::new(STORE)), Path::new(STORE)));
    }
}
