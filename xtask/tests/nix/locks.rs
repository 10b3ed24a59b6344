//! The lock of a flake: no command that only shows something writes it, and no command does where the arguments for Nix
//! forbid it.

use std::fs;

use crate::fixture::{Fixture, image, system};

/// A flake whose input is the flake in the folder `name` beside it.
fn write_flake(fixture: &Fixture, name: &str) {
    let input = fixture.path(name);
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

/// A flake in a git repository or a plain folder, whose lock is absent, or of another input.
fn fixture(has_git: bool, is_outdated: bool) -> Fixture {
    let fixture = Fixture::empty();
    fixture.write_image();
    if has_git {
        fixture.git(&["init", "--quiet"]);
    }
    if is_outdated {
        write_flake(&fixture, "first");
        let flake = fixture.path("flake").display().to_string();
        let add = || {
            if has_git {
                fixture.git(&["add", "."]);
            }
        };
        add();
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

fn state(fixture: &Fixture, has_git: bool) -> (Option<String>, String) {
    let lock = fs::read_to_string(fixture.path("flake/flake.lock")).ok();
    let flake = fixture.path("flake").display().to_string();
    let listed = has_git.then(|| crate::fixture::run("git", &["-C", &flake, "status", "--porcelain"]));
    (lock, listed.unwrap_or_default())
}

const NO_WRITE: &str = "--no-write-lock-file";
const NO_UPDATE: &str = "--no-update-lock-file";

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn the_lock_stays_as_it_is() {
    let commands: [&[&str]; 11] = [
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
        let fixture = fixture(has_git, is_outdated);
        let before = state(&fixture, has_git);
        assert_eq!(before.0.is_some(), is_outdated);
        for args in commands {
            let outcome = fixture.run(args);
            assert_eq!(state(&fixture, has_git), before, "{args:?} {has_git} {is_outdated}: {outcome:?}");
            assert!(!outcome.stderr.contains("not writing modified lock"), "{outcome:?}");
        }
        fixture.run(&["hosts"]).assert_code(0);
        // An evaluation for a build may write it, as `nix build` does.
        let _ = fs::remove_dir_all(fixture.path("state/evaluations"));
        fixture.run(&["sd-image", "good"]).assert_code(0);
        assert_ne!(state(&fixture, has_git).0, before.0);
    }
}

/// With keys of hosts, root locks the flake before each command.
#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn the_lock_stays_as_it_is_beside_keys() {
    let fixture = fixture(false, true);
    fixture.run(&["identity", "make", "good"]).assert_code(0);
    let before = state(&fixture, false);
    for args in [&["hosts"][..], &["status"], &["sd-image", "good", "--", NO_WRITE]] {
        let outcome = fixture.run(args);
        assert_eq!(state(&fixture, false), before, "{args:?}: {outcome:?}");
    }
}
