//! Folders on a card that the tool needs, which no flash overwrites.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::path::{Path, PathBuf};

use crate::card::MIB;
use crate::stacked::{flash_of, run};
use crate::support::Sandbox;
use crate::support::loops::{Loop, Mounted, ext4};

/// A card with a mounted file system that has folders which the tool needs.
struct MountedCard {
    mounted: Mounted,
    card: Loop,
}

impl MountedCard {
    fn new() -> Self {
        let card = Loop::attach(64 * MIB as u64, &[], ext4);
        Self { mounted: Mounted::new(card.device()), card }
    }

    /// Makes a private folder on the card.
    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.mounted.at().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        folder
    }

    /// Asserts that a flash of the card with `more` is refused because of `path`, and keeps that folder.
    #[track_caller]
    fn assert_kept(&self, sandbox: &Sandbox, more: &[&str], what: &str, path: &Path) {
        let text =
            format!("{what} {} is on {}, which would be overwritten", path.display(), self.card.device());
        flash_of(sandbox, self.card.device(), &[&["--unmount"], more].concat())
            .assert_stderr_contains(text)
            .assert_code(3);
        assert!(self.mounted.at().join("lost+found").is_dir());
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn files_the_tool_needs_are_not_overwritten() {
    let card = MountedCard::new();
    let sandbox = Sandbox::new();
    let files = card.folder("files");
    let link = sandbox.path("home").join("link");
    std::os::unix::fs::symlink(&files, &link).unwrap();
    card.assert_kept(&sandbox, &["--files", link.to_str().unwrap()], "the folder of --files,", &files);
    let keys = card.folder("keys");
    let options = ["--identity-of", "pi", "--identity-dir", keys.to_str().unwrap()];
    card.assert_kept(&sandbox, &options, "the folder with the keys of hosts,", &keys);
    assert!(files.is_dir() && keys.is_dir());
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn the_state_and_tools_folders_are_not_overwritten() {
    let card = MountedCard::new();
    let state = card.folder("state");
    let mut sandbox = Sandbox::new();
    sandbox.env("XTASK_STATE", &state);
    card.assert_kept(&sandbox, &[], "the folder with the keys of hosts,", &state.join("identity"));
    let home = sandbox.path("home");
    let options = ["--identity-dir", home.to_str().unwrap()];
    card.assert_kept(&sandbox, &options, "the state folder", &state);
    let tools = card.folder("tools");
    let mut sandbox = Sandbox::new();
    sandbox.env("XTASK_TOOLS", &tools);
    card.assert_kept(&sandbox, &[], "the tools folder", &tools);
    assert!(state.is_dir() && tools.is_dir());
}

/// The git history of a checkout that is on another disk.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn the_git_history_of_the_flake_is_not_overwritten() {
    let card = MountedCard::new();
    let sandbox = Sandbox::new();
    let history = card.folder("history");
    let flake = sandbox.path("flake");
    run("git", &["init", "-q", "--separate-git-dir", history.to_str().unwrap(), flake.to_str().unwrap()]);
    std::fs::write(flake.join("flake.nix"), "{ outputs = _: { }; }").unwrap();
    let options = ["--flake", flake.to_str().unwrap()];
    card.assert_kept(&sandbox, &options, "the git history of the flake,", &history);
    assert!(history.is_dir());
}
