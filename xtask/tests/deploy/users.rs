//! Hosts on which ssh logs in as somebody who is not root.

use std::fs;

use serde_json::json;

use crate::fixture::Fixture;
use crate::machine::Machine;

/// A fixture whose host ssh logs in to as `pi`, who may become root by the sudoers `rule`.
fn fixture_with_user(rule: &str) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.machine = Machine::start_with_user(rule);
    fixture.known_hosts = fixture.machine.write_known_hosts();
    fixture.set_profile("one", ":");
    log_in_as_pi(&fixture);
    fixture
}

/// Lets ssh log in to `target` as `pi`. [`Fixture::set_profile`] sets the login user to root again.
fn log_in_as_pi(fixture: &Fixture) {
    fixture.edit(|facts| facts["hosts"]["target"]["node"]["sshUser"] = json!("pi"));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_user_with_sudo_can_deploy() {
    let fixture = fixture_with_user("ALL=(ALL) NOPASSWD: ALL");
    fixture.deploy(&[]).assert_stderr_contains("deploy target as pi@10.").assert_code(0);
    fixture.assert_runs("one");
    fixture.set_profile("two", ":");
    log_in_as_pi(&fixture);
    fixture.leave_canary();
    fixture.deploy(&["--reboot", "--health", "test $(id -un) = pi"]).assert_code(0);
    fixture.assert_runs("two");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_user_who_needs_a_password_is_asked_by_sudo() {
    let fixture = fixture_with_user("ALL=(ALL) ALL");
    let refused = fixture.deploy(&[]);
    refused
        .assert_stderr_contains(
            "pi needs a password for sudo on target\nhint: set `security.sudo.wheelNeedsPassword = false`",
        )
        .assert_code(3);
    let flake = fixture.flake();
    let args = ["--flake", &flake, "deploy", "target", "--", "--interactive-sudo", "true"];
    // deploy-rs asks on the controlling terminal.
    let mut terminal = fixture.sandbox.xtask(&args).wrapped_in(&["setsid", "--ctty", "--wait"]).on_terminal();
    terminal.answer("(sudo for ", "secret");
    let outcome = terminal.finish();
    assert!(outcome.assert_code(0).stdout.starts_with("target runs /nix/store/"), "{}", outcome.stdout);
    fixture.assert_runs("one");
    // A host that is current needs no sudo; a reboot does.
    assert!(fixture.deploy(&[]).assert_code(0).stdout.starts_with("target already runs "));
    fixture
        .deploy(&["--reboot"])
        .assert_stderr_contains("pi needs a password for sudo on target")
        .assert_code(3);
    assert!(!fs::read_to_string(fixture.machine.path("log")).unwrap_or_default().contains("secret"));
}
