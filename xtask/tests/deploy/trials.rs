//! Trials of new systems: hosts that go back across a reboot by themselves.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::fixture::Fixture;

/// Lets `boot-trial status` of the host answer `status`.
fn answer(fixture: &Fixture, status: &str) {
    let file = fixture.machine.path("bin/boot-trial");
    fs::write(&file, format!("#!/bin/sh\ncat <<'END'\n{status}END\n")).expect("writing");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("making it executable");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn status_shows_the_trial_of_a_host() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    fixture.deploy(&[]).assert_code(0);
    let without: Value = serde_json::from_str(&fixture.run(&["--json", "status"]).stdout).expect("JSON");
    assert_eq!(without[0]["trial"], Value::Null);
    let new = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-new";
    answer(
        &fixture,
        &format!("version=1\nmissing=\npending={new}\nby=self\nwithin=600\nlast-outcome=blessed\n"),
    );
    let table = fixture.run(&["status"]);
    table.assert_stderr_contains(format!("the next boot of target tries {new}")).assert_code(0);
    assert!(table.stdout.contains("  TRIAL  ") && table.stdout.contains("  pending  "), "{}", table.stdout);
    let json: Value = serde_json::from_str(&fixture.run(&["--json", "status"]).stdout).expect("JSON");
    assert_eq!((&json[0]["trial"]["pending"], &json[0]["trial"]["by"]), (&new.into(), &"self".into()));
}
