//! `restore`: which revision is built, and what is refused before a build.

use std::fs;

use serde_json::json;

use crate::fake_nix::{Answers, FLAKE, FakeNix, fail_script, print_script};
use crate::flash::{build_with_image, is_all, make_card};
use crate::support::{Outcome, Sandbox};

const REV: &str = "0123456789abcdef0123456789abcdef01234567";

/// Runs `COMMAND stinky` on `flake` with a new card, and the options `more`. The card must stay as it is.
#[track_caller]
fn restore(nix: &FakeNix, flake: &str, more: &[&str]) -> Outcome {
    let card = make_card(nix);
    let outcome = run(nix, flake, "restore", more);
    assert!(is_all(&fs::read(card).expect("reading the card"), 0xee), "{outcome:?}");
    outcome
}

fn run(nix: &FakeNix, flake: &str, command: &str, more: &[&str]) -> Outcome {
    let card = make_card(nix);
    let args = ["--flake", flake, command, "stinky", card.to_str().expect("a plain path"), "--allow-virtual"];
    nix.run(&[&args[..], &["--yes", "--expect-size", "4MiB"], more].concat())
}

/// A flake with this `metadata`, from which a card was flashed.
fn flashed(metadata: &serde_json::Value) -> (FakeNix, tempfile::TempDir) {
    let (answers, out) = build_with_image();
    let nix = answers.install_with("*' flake metadata '*", &print_script(&metadata.to_string()));
    run(&nix, FLAKE, "flash", &["--identity", "none"]).assert_code(0);
    (nix, out)
}

#[test]
fn a_host_without_a_receipt_or_a_revision_is_refused() {
    let nix = Answers { build: fail_script("no build was expected"), ..Answers::default() }.install();
    let hint = "hint: pass --revision REV to build a revision of the flake, or --current to build the flake as it is now\n";
    restore(&nix, FLAKE, &[])
        .assert_stderr_contains(format!(
            "error: no receipt names a system of stinky: no flash and no deploy of it was made from {FLAKE} here\n"
        ))
        .assert_stderr_contains(hint)
        .assert_code(3);
    let (nix, _out) = flashed(&json!({}));
    restore(&nix, FLAKE, &[])
        .assert_stderr_contains(" has no git revision: ")
        .assert_stderr_contains(hint)
        .assert_code(3);
}

#[test]
fn a_work_tree_with_changes_is_refused_and_its_commit_named() {
    let (nix, _out) = flashed(&json!({ "dirtyRevision": format!("{REV}-dirty") }));
    restore(&nix, FLAKE, &[])
        .assert_stderr_contains(format!(
            "from a work tree with changes that no commit has, on top of {REV}\n"
        ))
        .assert_stderr_contains(
            "hint: pass --revision 012345678 to build that commit without the changes, or --current",
        )
        .assert_code(3);
}

#[test]
fn a_revision_that_the_repository_has_lost_is_refused() {
    let (answers, _out) = build_with_image();
    let metadata = print_script(&json!({ "revision": REV }).to_string());
    let config = format!("{};;\n *' flake metadata '*) {metadata}", answers.config);
    let nix = Answers { config, ..answers }.install_in(Sandbox::new());
    let flake = nix.path("flake");
    fs::write(flake.join("flake.nix"), "").unwrap();
    xtask::Launcher::new(&flake).read("git", &["init", "--quiet"]).unwrap();
    let flake = flake.to_str().unwrap();
    run(&nix, flake, "flash", &["--identity", "none"]).assert_code(0);
    for more in [&[][..], &["--revision", REV]] {
        restore(&nix, flake, more)
            .assert_stderr_contains(format!(
                "error: the revision {REV} is not in the repository of {flake}\n"
            ))
            .assert_code(3);
    }
}

#[test]
fn a_host_without_an_identity_is_refused_before_the_build() {
    let (nix, _out) = flashed(&json!({ "revision": REV }));
    let builds = |nix: &FakeNix| nix.nix_calls().iter().filter(|call| call.starts_with("build ")).count();
    let before = builds(&nix);
    for more in [&[][..], &["--current"], &["--revision", REV]] {
        restore(&nix, FLAKE, more)
            .assert_stderr_contains("error: stinky has no identity in ")
            .assert_stderr_contains("hint: bring it back with `cargo xtask ")
            .assert_code(3);
    }
    assert_eq!(builds(&nix), before);
}

#[test]
fn a_state_that_cannot_be_read_is_refused_before_the_build() {
    let nix = Answers { build: fail_script("no build was expected"), ..Answers::default() }.install();
    for (state, text) in [
        (
            "restic:/srv/backup",
            "error: restic, needed to read the state from its repository, is not on PATH\n",
        ),
        ("/nowhere", "error: --state /nowhere: No such file or directory"),
    ] {
        restore(&nix, FLAKE, &["--current", "--state", state]).assert_stderr_contains(text).assert_code(3);
    }
    let xz = nix.path("state.tar.xz");
    fs::write(&xz, b"\xfd7zXZ\0 and more bytes").unwrap();
    restore(&nix, FLAKE, &["--current", "--state", xz.to_str().unwrap()])
        .assert_stderr_contains(": an archive compressed by xz is not read\n")
        .assert_code(3);
}

#[test]
fn wrong_arguments_of_restore_are_usage_errors() {
    let nix = Answers::default().install();
    for (more, text) in [
        (&["--revision", "main", "--current"][..], "cannot be used with"),
        (&["--snapshot", "a1"], "--state <SOURCE>"),
        (
            &["--state", "/tmp", "--snapshot", "a1"],
            "--snapshot and --password-file need a repository of restic",
        ),
        (&["--state", ""], "--state is empty"),
        (&["--revision", "main"], "is not in a repository of this machine, so --revision takes a whole hash"),
    ] {
        restore(&nix, FLAKE, more).assert_stderr_contains(text).assert_code(2);
    }
}

#[test]
fn a_receipt_that_somebody_has_changed_names_no_system() {
    let (nix, _out) = flashed(&json!({ "revision": REV, "url": format!("{FLAKE}/{REV}") }));
    let folder = nix.path("state/receipts");
    let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let good: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(good["revision"]["rev"], REV, "{good}");
    for (at, value, is_readable) in [
        ("/revision/rev", json!("--upload-pack=x"), false),
        ("/revision/rev", json!("../../../x"), false),
        ("/revision/url", json!("--upload-pack=y"), false),
        ("/revision/url", json!(format!("github:o/f/{REV}\u{1b}[2J")), false),
        ("/revision", json!(7), false),
        ("/host", json!(["stinky"]), false),
        ("/host", json!("../stinky"), true),
        ("/host", json!("x".repeat(17 << 20)), false),
        ("/version", json!(99), false),
    ] {
        let mut changed = good.clone();
        *changed.pointer_mut(at).unwrap() = value;
        fs::write(&file, changed.to_string()).unwrap();
        let outcome = restore(&nix, FLAKE, &[]);
        outcome.assert_code(3).assert_stderr_contains("error: no receipt names a system of stinky");
        assert_eq!(outcome.stderr.contains(" could not be read: "), !is_readable, "{at}: {outcome:?}");
        assert!(!outcome.stderr.contains('\u{1b}'), "{outcome:?}");
    }
    assert!(nix.calls("nix").iter().flatten().all(|word| !word.starts_with("--upload")));
}
