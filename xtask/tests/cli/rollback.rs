//! `rollback`: which receipt and which revision are deployed, and what is refused before the host is asked.

use std::fs;

use serde_json::{Value, json};

use crate::deploy_fixture::{Fixture, NEW, NEW_PROFILE, OLD, probe_answer};
use crate::support::Outcome;

const REV: &str = "0123456789abcdef0123456789abcdef01234567";
const FLAKE: &str = "github:o/f";

/// The fakes of a deploy that succeeds, and the receipts of `stinky`: the first is the oldest.
fn fixture(receipts: &[Value]) -> Fixture {
    let fixture = Fixture::new(&probe_answer(NEW_PROFILE, NEW, ""), "", 0);
    let folder = fixture.sandbox.path("state/receipts");
    fs::create_dir_all(&folder).expect("making the folder of receipts");
    for (number, receipt) in (1..).zip(receipts) {
        let number: u32 = number;
        let file = folder.join(format!("{number:06}-2026-11-25T120000Z-deploy-stinky.json"));
        fs::write(file, receipt.to_string()).expect("writing a receipt");
    }
    fixture
}

/// The receipt of a deploy to `to` with this `verdict`, from `revision`.
fn receipt(to: &str, verdict: &str, revision: &Value) -> Value {
    json!({"version": 1, "kind": "deploy", "when": "2026-11-25T12:00:00Z", "host": "stinky", "flake": FLAKE, "from": null,
        "to": to, "verdict": verdict, "exit_code": 0, "seconds": [], "revision": revision})
}

fn clean() -> Value {
    json!({ "rev": REV, "dirty": false })
}

/// A host that a rollback takes to the system of its first receipt.
pub fn fixture_to_roll_back() -> Fixture {
    fixture(&[receipt(NEW, "done", &clean()), receipt(OLD, "done", &Value::Null)])
}

fn rollback(fixture: &Fixture, args: &[&str]) -> Outcome {
    fixture.sandbox.run(&[&["--flake", FLAKE, "rollback", "stinky"], args].concat())
}

#[test]
fn the_system_before_the_present_one_is_deployed_by_its_revision() {
    let receipts = [
        receipt(NEW, "done", &clean()),
        receipt(OLD, "done", &Value::Null),
        receipt(OLD, "already_current", &Value::Null),
    ];
    for args in [&[][..], &["1"], &[REV]] {
        let fixture = fixture(&receipts);
        let outcome = rollback(&fixture, args);
        outcome.assert_code(0).assert_stdout(format!("stinky runs {NEW}\n"));
        let expected = match args {
            [REV] => "rollback of stinky to the revision 012345678\n",
            _ => "rollback of stinky to receipt 1: deployed 2026-11-25 12:00 UTC, at 012345678\n",
        };
        outcome.assert_stderr_contains(expected);
        let evaluated = format!("{FLAKE}/{REV}#.");
        assert!(fixture.sandbox.calls("nix").iter().any(|call| call.contains(&evaluated)), "{evaluated}");
        // The receipt names the flake, not its revision.
        let history = fixture.sandbox.run(&["--flake", FLAKE, "--json", "history", "stinky"]);
        let history = history.assert_code(0).stdout.clone();
        assert!(
            history.matches("\"github:o/f\"").count() == 4 && !history.contains("github:o/f/"),
            "{history}"
        );
    }
}

#[test]
fn a_receipt_without_a_clean_revision_is_refused_with_what_remains_possible() {
    let by_hand = format!(
        "; the system itself may be on the host still, and without the proof of a deploy the host switches to it by \
         `sudo nix-env --profile /nix/var/nix/profiles/system --set {OLD}`"
    );
    let dirty = json!({ "rev": REV, "dirty": true });
    let fixture = fixture(&[
        receipt(OLD, "done", &dirty),
        receipt(NEW, "done", &clean()),
        receipt(OLD, "done", &Value::Null),
    ]);
    rollback(&fixture, &["1"])
        .assert_code(3)
        .assert_stderr_contains(format!(
            "error: stinky was deployed 2026-11-25 12:00 UTC from a work tree with changes that no commit has, on top of \
             {REV}\nhint: run `cargo xtask "
        ))
        .assert_stderr_contains(&by_hand);
}

#[test]
fn receipts_that_lead_to_no_system_are_refused() {
    let none = fixture(&[]);
    rollback(&none, &[]).assert_code(3).assert_stderr_contains(
        "error: no receipt names a system of stinky: no flash and no deploy of it was made from github:o/f here\n\
         hint: name a revision of the flake: `cargo xtask ",
    );
    let one = fixture(&[receipt(NEW, "done", &clean()), receipt(OLD, "rolled_back", &clean())]);
    rollback(&one, &[])
        .assert_code(3)
        .assert_stderr_contains(format!("error: no receipt names a system of stinky before {NEW}\n"));
    rollback(&one, &["2"])
        .assert_code(3)
        .assert_stderr_contains(
            "error: receipt 2 names no system that stinky had: deployed 2026-11-25 12:00 UTC: rolled back, ",
        )
        .assert_stderr_contains("hint: name another receipt, as `cargo xtask ");
    assert_eq!(one.sandbox.calls("ssh"), [[""; 0]; 0]);
}

#[test]
fn a_revision_that_builds_another_system_than_the_receipt_is_refused() {
    let fixture = fixture(&[receipt(OLD, "done", &clean()), receipt(NEW, "done", &clean())]);
    rollback(&fixture, &["--dry-run"])
        .assert_code(3)
        .assert_stderr_contains(format!(
            "error: {FLAKE}/{REV} builds {NEW}, and receipt 1 names {OLD}\nhint: the arguments for Nix were others then"
        ));
    assert_eq!(fixture.sandbox.calls("ssh"), [[""; 0]; 0]);
}

#[test]
fn wrong_arguments_of_rollback_are_usage_errors() {
    let fixture = fixture(&[receipt(NEW, "done", &clean())]);
    for (args, text) in [
        (
            &["7"][..],
            "error: stinky has no receipt 7, and github:o/f is not in a repository of this machine, so TO takes a whole hash\n",
        ),
        (&["1", "2"], "unexpected argument '2'"),
        (&["--dry-run", "--health", "true"], "cannot be used with"),
    ] {
        rollback(&fixture, args).assert_code(2).assert_stderr_contains(text);
    }
}

#[test]
fn the_diff_of_systems_that_the_store_has_lost_is_unknown() {
    let fixture = fixture(&[receipt(OLD, "done", &clean()), receipt(NEW, "done", &Value::Null)]);
    let run = |args: &[&str]| {
        let all = [&["--flake", FLAKE, "history", "stinky", "--diff"], args].concat();
        fixture.sandbox.run(&all).assert_code(0).stdout.clone()
    };
    assert_eq!(
        run(&[]),
        format!(
            "1  deployed 2026-11-25 12:00 UTC, at 012345678: {OLD}\n  diff  none: no receipt names an earlier system\n\
             2  deployed 2026-11-25 12:00 UTC: {NEW}\n  diff  unknown: the store of this machine lacks {OLD} and {NEW}\n"
        )
    );
    let json: Value = serde_json::from_str(&run(&["--json"])).expect("JSON");
    assert_eq!((&json["schema"], &json["host"]), (&json!(1), &json!("stinky")));
    let newest = &json["generations"][1];
    assert_eq!((&newest["number"], &newest["diff"]), (&json!(2), &Value::Null));
    assert_eq!(newest["missing"], json!([OLD, NEW]));
}

/// The last real deploy stays in the column LAST, and rows that changed nothing are one.
#[test]
fn a_deploy_that_changed_nothing_hides_no_other() {
    let mut current = receipt(NEW, "already_current", &clean());
    current["when"] = json!("2026-11-26T12:00:00Z");
    let fixture = fixture(&[receipt(NEW, "done", &clean()), current.clone(), current]);
    let history = fixture.sandbox.run(&["--flake", FLAKE, "history", "stinky"]);
    let history = history.assert_code(0).stdout.clone();
    assert!(history.contains("  2x already current  "), "{history}");
    assert!(history.contains("\n1   2026-11-25 12:00  deploy  stinky  done "), "{history}");
    let status = fixture.sandbox.run(&["--flake", FLAKE, "status", "stinky"]);
    assert!(status.stdout.contains("deployed 2026-11-25"), "{status:?}");
}
