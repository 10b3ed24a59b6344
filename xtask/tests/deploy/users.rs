//! Hosts on which ssh logs in as somebody who is not root.

use std::fs;

use serde_json::{Value, json};

use crate::machine::Machine;
use crate::scene::Scene;

/// A host where ssh logs in as `pi`, who may become root by the sudoers `rule`.
fn scene(rule: &str) -> Scene {
    let mut scene = Scene::new();
    scene.machine = Machine::start_with_user(rule);
    scene.known_hosts = scene.machine.known_hosts();
    scene.set_profile("one", ":");
    as_pi(&scene);
    scene
}

fn as_pi(scene: &Scene) {
    scene.edit(|facts: &mut Value| facts["hosts"]["target"]["node"]["sshUser"] = json!("pi"));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_user_with_sudo_can_deploy() {
    let scene = scene("ALL=(ALL) NOPASSWD: ALL");
    scene.deploy(&[]).assert_stderr_contains("deploy target as pi@10.").assert_code(0);
    scene.assert_runs("one");
    scene.set_profile("two", ":");
    as_pi(&scene);
    scene.leave_canary();
    scene.deploy(&["--reboot", "--health", "test $(id -un) = pi"]).assert_code(0);
    scene.assert_runs("two");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_user_who_needs_a_password_is_asked_by_sudo() {
    let scene = scene("ALL=(ALL) ALL");
    let refused = scene.deploy(&[]);
    refused
        .assert_stderr_contains(
            "pi needs a password for sudo on target\nhint: set `security.sudo.wheelNeedsPassword = false`",
        )
        .assert_code(3);
    let flake = scene.flake();
    let args = ["--flake", &flake, "deploy", "target", "--", "--interactive-sudo", "true"];
    // deploy-rs asks on the controlling terminal.
    let mut terminal = scene.sandbox.xtask(&args).wrapped_in(&["setsid", "--ctty", "--wait"]).on_terminal();
    terminal.answer("(sudo for ", "secret");
    let outcome = terminal.finish();
    assert!(outcome.assert_code(0).stdout.starts_with("target runs /nix/store/"), "{}", outcome.stdout);
    scene.assert_runs("one");
    // A host that is current needs no sudo; a reboot does.
    assert!(scene.deploy(&[]).assert_code(0).stdout.starts_with("target already runs "));
    scene
        .deploy(&["--reboot"])
        .assert_stderr_contains("pi needs a password for sudo on target")
        .assert_code(3);
    assert!(!fs::read_to_string(scene.machine.path("log")).unwrap_or_default().contains("secret"));
}
