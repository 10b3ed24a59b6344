//! Host keys that are not known, or not the known ones: what the tool prints leads to a host that is known.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::fixture::Fixture;

/// A host that runs the system `one` of its flake, whose ssh options have its key as known.
fn deployed() -> Fixture {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture
}

/// The answer of `status --json` for the host, which cannot be read because of its key.
#[track_caller]
fn failed_status(fixture: &Fixture, runs: &str) -> Value {
    let outcome = fixture.run(&["--json", "status", "target"]);
    let status = serde_json::from_str::<Value>(&outcome.assert_code(13).stdout).expect("JSON")[0].take();
    let table = fixture.run(&["status", "target"]);
    let row = table.assert_code(13).stdout.lines().nth(1).expect("a row");
    assert!(row.starts_with(&format!("target  {runs}  ")), "{row}");
    status
}

/// The commands in the hint of `status` that begin with one of `programs`.
fn commands(status: &Value, programs: &[&str]) -> Vec<String> {
    let hint = status["hint"].as_str().expect("a hint");
    let quoted = hint.split('`').skip(1).step_by(2).map(str::to_owned);
    quoted.filter(|command| programs.iter().any(|program| command.starts_with(program))).collect()
}

/// Runs a command of a hint as a user would who answers the question of ssh by `yes`.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn run_as_printed(fixture: &Fixture, command: &str) {
    let answer = fixture.sandbox.path("answer");
    fs::write(&answer, "#!/bin/sh\necho yes\n").expect("writing an answer");
    fs::set_permissions(&answer, fs::Permissions::from_mode(0o755)).expect("making it executable");
    let path = std::env::var("PATH").expect("PATH is set");
    let output = Command::new("sh")
        .args(["-c", command])
        .env("PATH", format!("{}:{path}", fixture.sandbox.path("bin").display()))
        .env("HOME", fixture.sandbox.path("home"))
        .env("SSH_ASKPASS", &answer)
        .env("SSH_ASKPASS_REQUIRE", "force")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("running a shell");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Writes a `known_hosts` in which `name` has the key of somebody else.
fn write_other_key(fixture: &Fixture, file: &Path, name: &str) {
    let key = fs::read_to_string(fixture.machine.path("client_key.pub")).expect("reading a key");
    fs::write(file, format!("{name} {key}")).expect("writing known_hosts");
}

/// The ssh options of a node, and the name of the host in `known_hosts` with them.
fn nodes(address: &str) -> Vec<(Vec<String>, String)> {
    let cases = [
        (&[][..], address.to_owned()),
        (&["-p", "2222"], format!("[{address}]:2222")),
        (&["-oport=2222", "-o", "Compression yes"], format!("[{address}]:2222")),
        (&["-o", "HostKeyAlias=my-host", "-o", "BatchMode=yes"], "my-host".to_owned()),
    ];
    let owned = |options: &[&str]| options.iter().map(ToString::to_string).collect();
    cases.into_iter().map(|(options, name)| (owned(options), name)).collect()
}

#[track_caller]
fn assert_known(fixture: &Fixture) {
    let row = fixture.run(&["status", "target"]).assert_code(0).stdout.clone();
    assert!(row.contains("target  current  "), "{row}");
    fixture.deploy(&[]).assert_code(0);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_command_that_accepts_an_unknown_key_makes_the_host_known() {
    let mut fixture = deployed();
    for (options, name) in nodes(&fixture.machine.address.clone()) {
        fixture.known_hosts = fixture.sandbox.path("accepted");
        let _ = fs::remove_file(&fixture.known_hosts);
        fixture.options.clone_from(&options);
        fixture.set_profile("one", ":");
        let status = failed_status(&fixture, "key not known");
        assert_eq!(status["error"], "the host key of target is not known here");
        let commands = commands(&status, &["ssh"]);
        let [accept] = &commands[..] else { panic!("{status}") };
        run_as_printed(&fixture, accept);
        let known = fs::read_to_string(&fixture.known_hosts).expect("known_hosts");
        assert!(known.starts_with(&format!("{name} ")), "{known}");
        assert_known(&fixture);
    }
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_remedy_for_another_key_makes_the_host_known() {
    let mut fixture = deployed();
    for (options, name) in nodes(&fixture.machine.address.clone()) {
        fixture.known_hosts = fixture.sandbox.path("other_key");
        write_other_key(&fixture, &fixture.known_hosts, &name);
        fixture.options.clone_from(&options);
        fixture.set_profile("one", ":");
        let status = failed_status(&fixture, "another host key");
        let commands = commands(&status, &["ssh"]);
        let [forget, accept] = &commands[..] else { panic!("{status}") };
        assert!(forget.starts_with("ssh-keygen ") && accept.starts_with("ssh "), "{status}");
        run_as_printed(&fixture, forget);
        failed_status(&fixture, "key not known");
        run_as_printed(&fixture, accept);
        assert_known(&fixture);
    }
}

/// Without a node, ssh has its options from a file, as those of most users.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_remedies_of_a_host_without_a_node_make_it_known() {
    let mut fixture = Fixture::new();
    let address = fixture.machine.address.clone();
    let deployment = json!({ "targetHost": address, "targetUser": "root" });
    fixture.set_configuration("one", ":", &deployment);
    fixture.deploy(&[]).assert_code(0);
    fixture.known_hosts = fixture.sandbox.path("other_key");
    write_other_key(&fixture, &fixture.known_hosts, &address);
    fixture.set_configuration("one", ":", &deployment);
    let commands = commands(&failed_status(&fixture, "another host key"), &["ssh"]);
    for command in &commands {
        run_as_printed(&fixture, command);
    }
    assert_known(&fixture);
}

/// The key on the card was replaced: the pinned one is forgotten, and the new one accepted.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_remedy_for_another_key_than_the_pinned_one_makes_the_host_known() {
    let mut fixture = deployed();
    for options in [&[][..], &["-p", "2222"]] {
        fixture.pin_key("client_key.pub");
        fixture.options = options.iter().map(ToString::to_string).collect();
        fixture.set_profile("one", ":");
        let status = failed_status(&fixture, "another host key");
        assert!(commands(&status, &["cargo"]).contains(&"cargo xtask flash target".to_owned()), "{status}");
        let commands = commands(&status, &["ssh"]);
        let [forget, accept] = &commands[..] else { panic!("{status}") };
        run_as_printed(&fixture, forget);
        failed_status(&fixture, "key not known");
        run_as_printed(&fixture, accept);
        assert_known(&fixture);
    }
}

/// ssh does not compare the pinned key with one of another type.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_without_a_key_of_the_pinned_type_has_another_key() {
    let mut fixture = deployed();
    fixture.pin_key("host_key.pub");
    fixture.set_profile("one", ":");
    assert_known(&fixture);
    fixture.machine.inside(
        "ssh-keygen -q -t ecdsa -N '' -f /mnt/ecdsa_key
         sed -i s,/mnt/host_key,/mnt/ecdsa_key, /mnt/sshd_config; pkill sshd
         until ssh-keyscan -p 2222 127.0.0.1 2>/dev/null | grep -q ecdsa; do sleep 0.1; done",
    );
    let status = failed_status(&fixture, "another host key");
    for command in commands(&status, &["ssh"]) {
        run_as_printed(&fixture, &command);
    }
    assert_known(&fixture);
}
