//! Keys that `identity trust` pins, and those that are published beside the flake.

use std::fs;

use crate::fixture::Fixture;

/// A fixture whose host runs the system `one` of its flake, and whose key nobody knows any more.
fn fixture_without_known_key() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.set_profile("one", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.known_hosts = fixture.machine.path("nobody");
    fs::write(&fixture.known_hosts, "").expect("writing known_hosts");
    fixture.set_profile("one", ":");
    fixture
}

/// The public key in the host's file `name`, without its comment.
fn public_key(fixture: &Fixture, name: &str) -> String {
    let text = fs::read_to_string(fixture.machine.path(name)).expect("reading a key");
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// The fingerprint that `identity trust` finds without a user who could confirm it.
#[track_caller]
fn offered_fingerprint(fixture: &Fixture) -> String {
    let outcome = fixture.run(&["identity", "trust", "target"]);
    outcome.assert_code(3).assert_stderr_contains("of target is not compared with the host");
    let word = outcome.stderr.split_whitespace().find(|word| word.starts_with("SHA256:"));
    word.expect("a fingerprint").to_owned()
}

/// Asserts the exit code of `status`, and the hint of its answer for the host.
#[track_caller]
fn assert_status(fixture: &Fixture, code: i32, hint: &str) {
    let outcome = fixture.run(&["--json", "status", "target"]);
    let status = outcome.assert_code(code).json();
    assert!(status["hosts"][0]["error"]["hint"].as_str().unwrap_or_default().contains(hint), "{status}");
}

/// Publishes `key` as that of the host.
fn publish(fixture: &Fixture, key: &str) {
    let file = fixture.sandbox.path("flake/known_hosts");
    fs::write(file, format!("target {key}\n")).expect("publishing a key");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_trusted_key_is_pinned_for_deploys() {
    let fixture = fixture_without_known_key();
    let hint = format!("`cargo xtask --flake {} identity trust target`", fixture.flake());
    assert_status(&fixture, 13, &hint);
    let fingerprint = offered_fingerprint(&fixture);
    let known = fixture.sandbox.path("state/identity/known_hosts");
    assert!(!known.exists());
    let run = fixture.sandbox.xtask(&["--flake", &fixture.flake(), "identity", "trust", "target"]);
    let mut terminal = run.on_terminal();
    terminal.answer("Type yes, or paste that fingerprint:", &fingerprint);
    let outcome = terminal.finish();
    outcome.assert_code(0).assert_stdout_contains(format!("deploys accept the key {fingerprint} of target"));
    let line = format!("target {}\n", public_key(&fixture, "host_key.pub"));
    assert_eq!(fs::read_to_string(&known).expect("a pinned key"), line);
    assert_status(&fixture, 0, "");
    fixture.deploy(&[]).assert_code(0);
    // To trust it again asks nothing.
    fixture.run(&["identity", "trust", "target"]).assert_code(0);
    let address = format!("root@{}", fixture.machine.address);
    let args = ["identity", "trust", "target", "--to", &address, "--fingerprint", &fingerprint, "--json"];
    fixture.run(&args).assert_code(0).assert_stdout_contains(&fingerprint);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_key_with_another_fingerprint_is_not_trusted() {
    let fixture = fixture_without_known_key();
    let other = offered_fingerprint(&fixture).replace(|c: char| c.is_ascii_lowercase(), "x");
    let outcome = fixture.run(&["identity", "trust", "target", "--fingerprint", &other]);
    outcome.assert_code(13).assert_stderr_contains(format!("which is not {other}"));
    for answer in [other.as_str(), "no", ""] {
        let run = fixture.sandbox.xtask(&["--flake", &fixture.flake(), "identity", "trust", "target"]);
        let mut terminal = run.on_terminal();
        terminal.answer("Type yes, or paste that fingerprint:", answer);
        assert_ne!(terminal.finish().code, 0, "{answer}");
    }
    assert!(!fixture.sandbox.path("state/identity/known_hosts").exists());
    assert_status(&fixture, 13, "identity trust");
    // Nobody listens there.
    let outcome = fixture.run(&["identity", "trust", "target", "--to", "127.0.0.9"]);
    outcome.assert_code(12).assert_stderr_contains("cannot be reached");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_published_key_is_the_only_one_that_deploys_accept() {
    let fixture = fixture_without_known_key();
    let key = public_key(&fixture, "host_key.pub");
    publish(&fixture, &format!("{key} of the team"));
    assert_status(&fixture, 0, "");
    fixture.deploy(&[]).assert_code(0);
    publish(&fixture, &public_key(&fixture, "client_key.pub"));
    assert_status(&fixture, 13, "identity trust target");
    fixture.deploy(&[]).assert_code(13);
    // What `trust` pins replaces the published line.
    let fingerprint = offered_fingerprint(&fixture);
    fixture.run(&["identity", "trust", "target", "--fingerprint", &fingerprint]).assert_code(0);
    let published = fs::read_to_string(fixture.sandbox.path("flake/known_hosts")).expect("a published file");
    assert_eq!(published, format!("target {key}\n"));
    assert_status(&fixture, 0, "");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn two_known_keys_stop_a_deploy_until_one_is_chosen() {
    let mut fixture = fixture_without_known_key();
    let [host, other] = ["host_key.pub", "client_key.pub"].map(|name| public_key(&fixture, name));
    fixture.pin_key("client_key.pub");
    fixture.set_profile("one", ":");
    publish(&fixture, &host);
    assert_status(&fixture, 13, "identity trust --published target");
    fixture.deploy(&[]).assert_code(13).assert_stderr_contains("two keys of target are known: SHA256:");
    fixture.run(&["identity", "trust", "--published", "target"]).assert_code(3);
    fixture.run(&["identity", "trust", "--published", "--yes", "target"]).assert_code(0);
    assert_status(&fixture, 0, "");
    // The other way round.
    publish(&fixture, &other);
    assert_status(&fixture, 13, "identity publish target");
    fixture.run(&["identity", "publish", "target"]).assert_code(3);
    fixture.run(&["identity", "publish", "target", "--yes"]).assert_code(0);
    assert_status(&fixture, 0, "");
}
