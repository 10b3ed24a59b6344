//! Folders that the tool needs: a flash of the card that they are on is refused.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::path::{Path, PathBuf};

use crate::card::MIB;
use crate::stacked::{flash_in_sandbox, run};
use crate::support::Sandbox;
use crate::support::loops::{Loop, Mounted, make_ext4};

/// A card with a mounted file system that has folders which the tool needs.
struct MountedCard {
    mounted: Mounted,
    card: Loop,
}

impl MountedCard {
    fn new() -> Self {
        let card = Loop::attach(64 * MIB as u64, &[], make_ext4);
        Self { mounted: Mounted::new(card.device()), card }
    }

    /// Makes the private folder `name` on the card, and returns its path.
    fn make_folder(&self, name: &str) -> PathBuf {
        let folder = self.mounted.mount_point().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        folder
    }

    /// Asserts that a flash of the card with the options `more` is refused because `path` is on the card, which `role`
    /// describes, and that the card keeps its files.
    #[track_caller]
    fn assert_kept(&self, sandbox: &Sandbox, more: &[&str], role: &str, path: &Path) {
        let text =
            format!("{role} {} is on {}, which would be overwritten", path.display(), self.card.device());
        flash_in_sandbox(sandbox, self.card.device(), &[&["--unmount"], more].concat())
            .assert_stderr_contains(text)
            .assert_code(3);
        assert!(self.mounted.mount_point().join("lost+found").is_dir());
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn files_the_tool_needs_are_not_overwritten() {
    let card = MountedCard::new();
    let sandbox = Sandbox::new();
    let files = card.make_folder("files");
    let link = sandbox.path("home").join("link");
    std::os::unix::fs::symlink(&files, &link).unwrap();
    card.assert_kept(&sandbox, &["--files", link.to_str().unwrap()], "the folder of --files,", &files);
    let keys = card.make_folder("keys");
    let options = ["--identity-of", "pi", "--identity-dir", keys.to_str().unwrap()];
    card.assert_kept(&sandbox, &options, "the folder with the keys of hosts,", &keys);
    assert!(files.is_dir() && keys.is_dir());
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn the_state_and_tools_folders_are_not_overwritten() {
    let card = MountedCard::new();
    let state = card.make_folder("state");
    let mut sandbox = Sandbox::new();
    sandbox.env("XTASK_STATE", &state);
    card.assert_kept(&sandbox, &[], "the folder with the keys of hosts,", &state.join("identity"));
    let home = sandbox.path("home");
    let options = ["--identity-dir", home.to_str().unwrap()];
    card.assert_kept(&sandbox, &options, "the state folder", &state);
    let tools = card.make_folder("tools");
    let mut sandbox = Sandbox::new();
    sandbox.env("XTASK_TOOLS", &tools);
    card.assert_kept(&sandbox, &[], "the tools folder", &tools);
    assert!(state.is_dir() && tools.is_dir());
}

/// The flake is on another disk, and its git history on the card.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn the_git_history_of_the_flake_is_not_overwritten() {
    let card = MountedCard::new();
    let sandbox = Sandbox::new();
    let history = card.make_folder("history");
    let flake = sandbox.path("flake");
    run("git", &["init", "-q", "--separate-git-dir", history.to_str().unwrap(), flake.to_str().unwrap()]);
    std::fs::write(flake.join("flake.nix"), "{ outputs = _: { }; }").unwrap();
    let options = ["--flake", flake.to_str().unwrap()];
    card.assert_kept(&sandbox, &options, "the git history of the flake,", &history);
    assert!(history.is_dir());
}
