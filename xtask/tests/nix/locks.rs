//! The lock of a flake: commands that only show something do not write the lock, and no command writes it where the
//! arguments for Nix forbid that.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::fixture::{Fixture, image, system};

/// Writes a flake whose input is the flake in the folder `input_name` beside it.
fn write_flake(fixture: &Fixture, input_name: &str) {
    let input = fixture.path(input_name);
    fs::create_dir_all(&input).expect("making an input");
    fs::write(input.join("flake.nix"), "{ outputs = _: { }; }").expect("writing an input");
    let text = format!(
        r#"{{ inputs.a.url = "path:{}"; outputs = {{ self, a }}: {{
          packages.{}.good-sdImage = {};
          nixosConfigurations.other.config.system.build = {{ }};
          deploy.nodes.good = {{
            hostname = "127.0.0.1"; sshOpts = [ "-p" "1" ]; sshUser = "root";
            profiles.system = {{ user = "root"; path = self.packages.{}.good-sdImage; }};
          }};
        }}; }}"#,
        input.display(),
        system(),
        image("good"),
        system()
    );
    fs::write(fixture.path("flake/flake.nix"), text).expect("writing the flake");
}

/// The folder of a flake, and its lock.
#[derive(Clone, Copy, Debug)]
struct Setup {
    /// Whether the folder is a git repository.
    has_git: bool,
    /// Whether there is a lock, of another input; else there is none.
    is_outdated: bool,
}

/// A fixture whose flake has the folder and the lock of `setup`.
fn fixture(setup: Setup) -> Fixture {
    let Setup { has_git, is_outdated } = setup;
    let fixture = Fixture::empty();
    fixture.write_image();
    if has_git {
        fixture.git(&["init", "--quiet"]);
    }
    if is_outdated {
        write_flake(&fixture, "first");
        let flake = fixture.path("flake").display().to_string();
        if has_git {
            fixture.git(&["add", "."]);
        }
        crate::fixture::run(
            "nix",
            &["--extra-experimental-features", "nix-command flakes", "flake", "lock", &flake],
        );
        write_flake(&fixture, "second");
    } else {
        write_flake(&fixture, "first");
    }
    if has_git {
        fixture.git(&["add", "."]);
    }
    fixture
}

/// The lock and what git reports of the flake.
#[derive(Debug, PartialEq)]
struct LockState {
    lock: Option<String>,
    /// `None` without git.
    git_status: Option<String>,
}

impl LockState {
    fn read(fixture: &Fixture, setup: Setup) -> Self {
        let flake = fixture.path("flake").display().to_string();
        let git_status = || crate::fixture::run("git", &["-C", &flake, "status", "--porcelain"]);
        Self {
            lock: fs::read_to_string(fixture.path("flake/flake.lock")).ok(),
            git_status: setup.has_git.then(git_status),
        }
    }
}

/// The option by which Nix does not write the lock.
const NO_WRITE: &str = "--no-write-lock-file";
/// The option by which Nix fails where the lock is outdated.
const NO_UPDATE: &str = "--no-update-lock-file";

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn only_a_build_changes_the_lock() {
    let commands: &[&[&str]] = &[
        &["hosts"],
        &["hosts", "--evaluate"],
        &["status"],
        &["status", "good"],
        &["sd-image", "nobody", "--", NO_WRITE],
        &["sd-image", "good", "--", NO_WRITE],
        &["sd-image", "good", "--", NO_UPDATE],
        &["deploy", "good", "--dry-run", "--", "--", NO_WRITE],
        &["deploy", "good", "nobody", "--", "--", NO_UPDATE],
        &["deploy", "--all", "--", "--", NO_WRITE],
        &["flash", "good", "/dev/null", "--", NO_WRITE],
    ];
    for (has_git, is_outdated) in [(false, false), (false, true), (true, false), (true, true)] {
        let setup = Setup { has_git, is_outdated };
        let fixture = fixture(setup);
        let before = LockState::read(&fixture, setup);
        assert_eq!(before.lock.is_some(), is_outdated);
        for args in commands {
            let outcome = fixture.run(args);
            assert_eq!(LockState::read(&fixture, setup), before, "{args:?} {setup:?}: {outcome:?}");
            assert!(!outcome.stderr.contains("not writing modified lock"), "{outcome:?}");
        }
        fixture.run(&["hosts"]).assert_code(0);
        // An evaluation for a build may write the lock, as `nix build` does.
        let _ = fs::remove_dir_all(fixture.path("state/evaluations"));
        fixture.run(&["sd-image", "good"]).assert_code(0);
        assert_ne!(LockState::read(&fixture, setup).lock, before.lock);
    }
}

/// Where the project has keys of hosts, the tool locks the flake before each command, if root runs the tool.
#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn the_lock_stays_unchanged_where_the_project_has_keys() {
    let setup = Setup { has_git: false, is_outdated: true };
    let fixture = fixture(setup);
    fixture.run(&["identity", "make", "good"]).assert_code(0);
    let before = LockState::read(&fixture, setup);
    for args in [&["hosts"][..], &["status"], &["sd-image", "good", "--", NO_WRITE]] {
        let outcome = fixture.run(args);
        assert_eq!(LockState::read(&fixture, setup), before, "{args:?}: {outcome:?}");
    }
}

/// A flake that another user owns, or that is read-only, can be used without its lock.
#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_flake_whose_folder_cannot_be_written_works() {
    let fixture = fixture(Setup { has_git: false, is_outdated: false });
    let flake = fixture.path("flake");
    fs::set_permissions(&flake, Permissions::from_mode(0o555)).expect("setting the mode");
    let outcomes = [&["hosts"][..], &["sd-image", "good"]].map(|args| fixture.run(args));
    fs::set_permissions(&flake, Permissions::from_mode(0o755)).expect("setting the mode");
    for outcome in outcomes {
        outcome.assert_code(0);
    }
    assert!(!flake.join("flake.lock").exists());
}
