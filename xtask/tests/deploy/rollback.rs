//! `rollback`, and the history that leads to it, with real revisions of a flake in git.

use serde_json::Value;

use crate::fixture::Fixture;
use crate::machine;
use crate::trials::assert_booted_and_next;

/// Commits the flake of `fixture` as it is, and returns the commit.
fn commit(fixture: &Fixture) -> String {
    let flake = fixture.flake();
    let git = |args: &[&str]| machine::run("git", &[&["-C", &flake], args].concat());
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "--quiet", "--message", "a"]);
    git(&["rev-parse", "HEAD"]).trim().to_owned()
}

/// Sets the profile and the packages of the host, and commits them.
pub fn commit_profile(fixture: &Fixture, name: &str, package: &str) -> String {
    fixture.set_profile(name, ":");
    fixture.edit(|facts| facts["packages"] = [package].into());
    commit(fixture)
}

/// Asserts that neither `status` nor the overview offers a deploy without the words that it undoes the rollback.
#[track_caller]
fn assert_not_undone_silently(fixture: &Fixture) {
    let command =
        format!("next: mend the flake, then: cargo xtask --flake {} deploy target\n", fixture.flake());
    for args in [&["status"][..], &["status", "target"], &[]] {
        let shown = fixture.run(args);
        shown.assert_code(0).assert_stderr_contains(&command);
        shown.assert_stderr_contains("  target has an older revision by the rollback of 2");
        shown.assert_stderr_contains(", which a deploy undoes\n");
    }
    let history = fixture.run(&["history", "target"]);
    assert!(history.assert_code(0).stdout.contains("  rollback  target  done"), "{}", history.stdout);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_older_receipt_is_deployed_by_its_revision() {
    let fixture = Fixture::new();
    let first = commit_profile(&fixture, "system-1", "curl-8.1");
    fixture.deploy(&[]).assert_code(0);
    commit_profile(&fixture, "system-2", "curl-8.2");
    fixture.deploy(&[]).assert_code(0);
    // A deploy that changes nothing is no system of its own.
    fixture.deploy(&[]).assert_code(0);
    let planned = fixture.run(&["rollback", "target", "--dry-run"]);
    planned.assert_code(0).assert_stderr_contains("rollback of target to receipt 1: deployed ");
    let next = |command: &str| format!("cargo xtask --flake {} {command}\n", fixture.flake());
    planned.assert_stderr_contains(format!("next: {}", next("rollback target")));
    fixture.assert_runs("system-2");
    let back = fixture.run(&["rollback", "target"]);
    back.assert_code(0).assert_stderr_contains("curl 8.2 -> 8.1");
    back.assert_stderr_contains(format!("next: mend the flake, then: {}", next("deploy target")));
    fixture.assert_runs("system-1");
    assert_not_undone_silently(&fixture);
    // The present system is that of the first receipt now: the one before is the second.
    fixture.run(&["rollback", "target"]).assert_code(0).assert_stderr_contains("to receipt ");
    fixture.assert_runs("system-2");
    fixture.run(&["rollback", "target", &first[..10]]).assert_code(0);
    fixture.assert_runs("system-1");
    // A deploy of the mended flake ends what the rollback began.
    commit_profile(&fixture, "system-3", "curl-8.2");
    fixture.deploy(&[]).assert_code(0);
    commit_profile(&fixture, "system-4", "curl-8.2");
    let status = fixture.run(&["status"]);
    status.assert_code(0).assert_stderr_contains(format!("next: {}", next("deploy target")));
    let history = fixture.run(&["history", "target", "--diff"]);
    history
        .assert_code(0)
        .assert_stdout_contains("curl 8.1 -> 8.2")
        .assert_stdout_contains("curl 8.2 -> 8.1");
    let json = fixture.run(&["--json", "history", "target", "--diff"]).assert_code(0).stdout.clone();
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["generations"][1]["diff"]["packages"][0]["name"], "curl");
    assert_eq!(json["generations"][0]["revision"]["rev"], first.as_str());
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_work_tree_with_changes_cannot_be_deployed_again_but_its_commit_can() {
    let fixture = Fixture::new();
    let clean = commit_profile(&fixture, "clean", "curl-8.1");
    fixture.set_profile("dirty", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.assert_runs("dirty");
    fixture.set_profile("next", ":");
    commit(&fixture);
    fixture.deploy(&[]).assert_code(0);
    let refused = fixture.run(&["rollback", "target"]);
    refused.assert_code(3).assert_stderr_contains(format!("changes that no commit has, on top of {clean}\n"));
    fixture.assert_runs("next");
    let short = &clean[..9];
    refused.assert_stderr_contains(format!("rollback target {short}` for that commit without the changes"));
    fixture.run(&["rollback", "target", short]).assert_code(0);
    fixture.assert_runs("clean");
}

/// A rollback is proven as a deploy is: a system that fails sends the host back.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_rollback_that_fails_is_rolled_back() {
    let fixture = Fixture::new();
    fixture.set_profile("once", "test ! -e /nix/failing || exit 4");
    commit(&fixture);
    fixture.deploy(&[]).assert_code(0);
    commit_profile(&fixture, "now", "curl-8.2");
    fixture.deploy(&[]).assert_code(0);
    fixture.machine.run_inside("touch /nix/failing");
    let failed = fixture.run(&["--json", "rollback", "target"]);
    let json: Value = serde_json::from_str(&failed.assert_code(10).stdout).expect("JSON");
    assert_eq!(json["hosts"][0]["verdict"], "rolled_back");
    fixture.assert_runs("now");
}

/// With `--reboot`, the older system is tried at a reboot, as a new one is.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_rollback_with_a_reboot_is_a_trial_of_the_older_system() {
    let fixture = Fixture::new();
    fixture.machine.add_trials().expect("adding trials");
    for system in ["old", "new"] {
        fixture.set_profile(&format!("{system}-profile"), ":");
        fixture.set_nixos(system, system);
        commit(&fixture);
        fixture.deploy(&["--reboot"]).assert_code(0);
        assert_booted_and_next(&fixture, system, system);
    }
    let planned = fixture.run(&["rollback", "target", "--dry-run"]);
    planned.assert_code(0).assert_stderr_contains("rollback of target to receipt 1: deployed ");
    assert_booted_and_next(&fixture, "new", "new");
    let back = fixture.run(&["rollback", "target", "--reboot"]);
    back.assert_code(0).assert_stderr_contains("rebooting target");
    assert_booted_and_next(&fixture, "old", "old");
    fixture.run(&["rollback", "target", "--boot"]).assert_code(0);
    assert_booted_and_next(&fixture, "old", "new");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn what_neither_a_receipt_nor_the_flake_knows_is_named() {
    let fixture = Fixture::new();
    commit_profile(&fixture, "system-1", "curl-8.1");
    for wanted in [&[][..], &["12"], &["v1"]] {
        let outcome = fixture.run(&[&["rollback", "nosuch"], wanted].concat());
        outcome
            .assert_code(2)
            .assert_stderr_contains(" has no host 'nosuch'")
            .assert_stderr_contains("(hosts: target)\n");
    }
    fixture
        .run(&["rollback", "nosuch", "HEAD"])
        .assert_code(2)
        .assert_stderr_contains("'nosuch' (nodes: target)\n");
    // A host of the flake without a receipt.
    let none = fixture.run(&["rollback", "target"]);
    none.assert_code(3).assert_stderr_contains("hint: name a revision of the flake: `cargo xtask ");
    assert!(!none.stderr.contains("history"), "{}", none.stderr);
    fixture.deploy(&[]).assert_code(0);
    let number = fixture.run(&["rollback", "target", "99"]);
    number
        .assert_code(3)
        .assert_stderr_contains(
            "error: target has no receipt 99, and the revision 99 is not in the repository of ",
        )
        .assert_stderr_contains("as `cargo xtask ");
    assert!(number.stderr.contains("history target` lists them"), "{}", number.stderr);
    fixture.assert_runs("system-1");
}
