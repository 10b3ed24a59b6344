//! `cargo xtask` without a command: where things stand, and the next command.

use serde_json::{Value, json};

use crate::fake_nix::{Answers, FLAKE, fail_script};
use crate::flash::{build_with_image, make_card};
use crate::support::{Outcome, Sandbox};

/// The result of the run as JSON.
#[track_caller]
fn result(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.assert_code(0).stdout).expect("one JSON object")
}

#[test]
fn without_a_flake_or_without_nix_the_first_step_is_named() {
    let sandbox = Sandbox::new();
    sandbox.fake("nix", "exit 1");
    sandbox
        .xtask(&[])
        .current_dir(sandbox.path("home"))
        .run()
        .assert_code(0)
        .assert_stderr_contains("warning: no flake in ")
        .assert_stderr_contains("next: cargo xtask demo\n");
    let sandbox = Sandbox::with_fakes_only();
    let outcome = sandbox.xtask(&["--json"]).current_dir(sandbox.path("home")).run();
    let overview = result(&outcome);
    assert_eq!(overview["next"]["command"], "cargo xtask setup");
    assert_eq!((&overview["flake"], &overview["has_nix"]), (&Value::Null, &json!(false)));
    sandbox.run(&["--flake", "/none"]).assert_stderr_contains("no flake in /none").assert_code(2);
}

#[test]
fn the_next_step_follows_from_the_receipts() {
    let (answers, _out) = build_with_image();
    let nix = answers.install();
    let overview = || result(&nix.run(&["--flake", FLAKE, "--json"]));
    let first = overview();
    assert_eq!(first["next"]["command"], format!("cargo xtask --flake {FLAKE} up stinky"), "{first}");
    let host = &first["hosts"][0];
    for (key, expected) in [
        ("host", json!("stinky")),
        ("last_flash", Value::Null),
        ("last_deploy", Value::Null),
        ("key", Value::Null),
        ("logins", Value::Null),
    ] {
        assert_eq!(host[key], expected, "{key}: {first}");
    }
    let card = make_card(&nix);
    let args = ["--flake", FLAKE, "flash", "stinky", card.to_str().unwrap(), "--allow-virtual", "--yes"];
    let flash = nix.run(&[&args[..], &["--expect-size", "4MiB", "--identity", "none"]].concat());
    let deploy = format!("cargo xtask --flake {FLAKE} deploy stinky --wait");
    flash.assert_code(0).assert_stderr_contains(format!("next: put the card into the Pi, then: {deploy}\n"));
    let second = overview();
    assert_eq!(second["hosts"][0]["last_flash"]["done"], true, "{second}");
    assert_eq!(second["next"]["command"], deploy, "{second}");
    assert_eq!(second["next"]["reason"], "stinky was flashed, and never deployed", "{second}");
}

/// An overview must be free: nothing is evaluated but names, and nothing is built.
#[test]
fn an_overview_builds_nothing_and_writes_nothing() {
    let nix = Answers::default().install();
    nix.run(&["--flake", FLAKE]).assert_code(0).assert_stdout_contains("stinky");
    assert!(
        nix.calls("nix").iter().all(|call| !call.contains(&"build".to_owned())),
        "{:?}",
        nix.calls("nix")
    );
    assert!(!nix.path("state").exists());
}

#[test]
fn a_quiet_run_has_no_next_step() {
    let nix = Answers::default().install();
    let outcome = nix.run(&["--quiet", "--flake", FLAKE]);
    assert!(!outcome.assert_code(0).stderr.contains("next: "), "{outcome:?}");
}

#[test]
fn a_flake_that_cannot_be_listed_has_no_step_that_would_only_repeat_the_error() {
    let needs_network = "error: unable to download 'https://h/x': Could not resolve host: h";
    for (error, next) in [("error: attribute 'x' missing", None), (needs_network, Some("hosts"))] {
        let nix = Answers { names: fail_script(error), ..Answers::default() }.install();
        let overview = result(&nix.run(&["--flake", FLAKE, "--json"]));
        let command = next.map(|next| format!("cargo xtask --flake {FLAKE} {next}"));
        assert_eq!(overview["next"]["command"].as_str(), command.as_deref(), "{overview}");
    }
}
