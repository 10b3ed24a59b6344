//! Host keys that are unknown or differ from the known ones: the commands that the tool prints make the host known.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use xtask::base::program_file;

use crate::fixture::Fixture;

/// A fixture whose host runs the system `one` of its flake and is known to ssh.
fn fixture_with_deployed_host() -> Fixture {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture
}

/// Asserts that `status` cannot read the host because of its key and shows `column` in place of its system. Returns
/// the answer of `status --json` for the host.
#[track_caller]
fn status_with_key_fault(fixture: &Fixture, column: &str) -> Value {
    let outcome = fixture.run(&["--json", "status", "target"]);
    let status = outcome.assert_code(13).json()["hosts"][0].take();
    let table = fixture.run(&["status", "target"]);
    let row = table.assert_code(13).stdout.lines().nth(1).expect("a row");
    assert!(row.starts_with(&format!("target  {column}  ")), "{row}");
    status
}

/// The commands in the hint of `status` that begin with one of `programs`.
fn commands_in_hint(status: &Value, programs: &[&str]) -> Vec<String> {
    let hint = status["error"]["hint"].as_str().expect("a hint");
    let quoted = hint.split('`').skip(1).step_by(2).map(str::to_owned);
    quoted.filter(|command| programs.iter().any(|program| command.starts_with(program))).collect()
}

/// Runs a command of a hint as a user would who answers `yes` to the question of ssh.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn run_as_printed(fixture: &Fixture, command: &str) {
    let answer = fixture.sandbox.path("answer");
    program_file::write(&answer, "#!/bin/sh\necho yes\n", 0o755).expect("writing an answer");
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

/// Writes a `known_hosts` in `file` in which `name` has another key than the host.
fn write_other_key(fixture: &Fixture, file: &Path, name: &str) {
    let key = fs::read_to_string(fixture.machine.path("client_key.pub")).expect("reading a key");
    fs::write(file, format!("{name} {key}")).expect("writing known_hosts");
}

/// The ssh options of a node, and the name by which ssh then looks the host up in `known_hosts`.
struct NodeOptions {
    options: Vec<String>,
    known_name: String,
}

/// Options of nodes whose host is at `address`.
fn node_options(address: &str) -> Vec<NodeOptions> {
    [
        (&[][..], address.to_owned()),
        (&["-p", "2222"], format!("[{address}]:2222")),
        (&["-oport=2222", "-o", "Compression yes"], format!("[{address}]:2222")),
        (&["-o", "HostKeyAlias=my-host", "-o", "BatchMode=yes"], "my-host".to_owned()),
    ]
    .into_iter()
    .map(|(options, known_name)| NodeOptions {
        options: options.iter().map(ToString::to_string).collect(),
        known_name,
    })
    .collect()
}

/// Asserts that `status` reads the host, and that a deploy to it succeeds.
#[track_caller]
fn assert_known(fixture: &Fixture) {
    let row = fixture.run(&["status", "target"]).assert_code(0).stdout.clone();
    assert!(row.contains("target  current  "), "{row}");
    fixture.deploy(&[]).assert_code(0);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_command_that_accepts_an_unknown_key_makes_the_host_known() {
    let mut fixture = fixture_with_deployed_host();
    for NodeOptions { options, known_name } in node_options(&fixture.machine.address.clone()) {
        fixture.known_hosts = fixture.sandbox.path("accepted");
        let _ = fs::remove_file(&fixture.known_hosts);
        fixture.options.clone_from(&options);
        fixture.set_profile("one", ":");
        let status = status_with_key_fault(&fixture, "key not known");
        assert_eq!(status["error"]["message"], "the host key of target is not known here");
        let ssh_commands = commands_in_hint(&status, &["ssh"]);
        let [accept] = &ssh_commands[..] else { panic!("{status}") };
        run_as_printed(&fixture, accept);
        let known = fs::read_to_string(&fixture.known_hosts).expect("known_hosts");
        assert!(known.starts_with(&format!("{known_name} ")), "{known}");
        assert_known(&fixture);
    }
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_remedy_for_another_key_makes_the_host_known() {
    let mut fixture = fixture_with_deployed_host();
    for NodeOptions { options, known_name } in node_options(&fixture.machine.address.clone()) {
        fixture.known_hosts = fixture.sandbox.path("other_key");
        write_other_key(&fixture, &fixture.known_hosts, &known_name);
        fixture.options.clone_from(&options);
        fixture.set_profile("one", ":");
        let status = status_with_key_fault(&fixture, "another host key");
        let ssh_commands = commands_in_hint(&status, &["ssh"]);
        let [forget, accept] = &ssh_commands[..] else { panic!("{status}") };
        assert!(forget.starts_with("ssh-keygen ") && accept.starts_with("ssh "), "{status}");
        run_as_printed(&fixture, forget);
        status_with_key_fault(&fixture, "key not known");
        run_as_printed(&fixture, accept);
        assert_known(&fixture);
    }
}

/// Without a node, ssh reads its options from a file, as it does for most users.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_remedies_for_a_host_without_a_node_make_the_host_known() {
    let mut fixture = Fixture::new();
    let address = fixture.machine.address.clone();
    let deployment = json!({ "targetHost": address, "targetUser": "root" });
    fixture.set_configuration("one", ":", &deployment);
    fixture.deploy(&[]).assert_code(0);
    fixture.known_hosts = fixture.sandbox.path("other_key");
    write_other_key(&fixture, &fixture.known_hosts, &address);
    fixture.set_configuration("one", ":", &deployment);
    let ssh_commands = commands_in_hint(&status_with_key_fault(&fixture, "another host key"), &["ssh"]);
    for command in &ssh_commands {
        run_as_printed(&fixture, command);
    }
    assert_known(&fixture);
}

/// The key on the card was replaced: the printed command pins the new one.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_remedy_for_another_key_than_the_pinned_one_makes_the_host_known() {
    let mut fixture = fixture_with_deployed_host();
    for options in [&[][..], &["-p", "2222"]] {
        fixture.pin_key("client_key.pub");
        fixture.options = options.iter().map(ToString::to_string).collect();
        fixture.set_profile("one", ":");
        let status = status_with_key_fault(&fixture, "another host key");
        let flash = format!("cargo xtask --flake {} flash target", fixture.flake());
        assert!(commands_in_hint(&status, &["cargo"]).contains(&flash), "{status}");
        trust_as_printed(&fixture, &status);
        assert_known(&fixture);
    }
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_pinned_key_is_read_from_a_folder_of_any_name() {
    let mut fixture = fixture_with_deployed_host();
    fixture.pin_key("host_key.pub");
    for (name, deploys) in [("%2Fsrv%2Fpis", true), ("my pis", false), ("anna's", false), ("it's %h", false)]
    {
        let state = fixture.sandbox.path(name);
        fs::create_dir(&state).expect("making a state folder");
        fs::rename(fixture.sandbox.path("state/identity"), state.join("identity")).expect("moving the keys");
        fixture.sandbox.env("XTASK_STATE", &state);
        fixture.set_profile("one", ":");
        fixture.run(&["status", "target"]).assert_code(0).assert_stdout_contains("target  current  ");
        fixture.set_profile("two", &format!(": {}", fixture.flake()));
        let deployed = fixture.deploy(&[]);
        if deploys {
            deployed.assert_code(0);
            fixture.set_profile("one", ":");
            fixture.deploy(&[]).assert_code(0);
        } else {
            deployed
                .assert_code(3)
                .assert_stderr_contains("error: deploy-rs would ")
                .assert_stderr_contains("set XTASK_STATE to a state folder without ");
        }
        fs::rename(state.join("identity"), fixture.sandbox.path("state/identity")).expect("moving the keys");
    }
}

/// Runs the command of the hint that pins the key of the host, with the fingerprint of the key that the status names.
#[track_caller]
fn trust_as_printed(fixture: &Fixture, status: &Value) {
    let command = format!("cargo xtask --flake {} identity trust target", fixture.flake());
    assert!(commands_in_hint(status, &["cargo"]).contains(&command), "{status}");
    let error = status["error"]["message"].as_str().expect("an error");
    let fingerprint = error.split_whitespace().find(|word| word.starts_with("SHA256:"));
    let mut args = vec!["identity", "trust", "target"];
    args.extend(fingerprint.iter().flat_map(|fingerprint| ["--fingerprint", fingerprint]));
    fixture.run(&args).assert_code(0);
}

/// ssh does not compare the pinned key with a key of another type.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_key_of_another_type_than_the_pinned_one_is_another_key() {
    let mut fixture = fixture_with_deployed_host();
    fixture.pin_key("host_key.pub");
    fixture.set_profile("one", ":");
    assert_known(&fixture);
    fixture.machine.run_inside(
        "ssh-keygen -q -t ecdsa -N '' -f /mnt/ecdsa_key
         sed -i s,/mnt/host_key,/mnt/ecdsa_key, /mnt/sshd_config; pkill sshd
         until ssh-keyscan -p 2222 127.0.0.1 2>/dev/null | grep -q ecdsa; do sleep 0.1; done",
    );
    let status = status_with_key_fault(&fixture, "another host key");
    let offered = fixture.run(&["identity", "trust", "target"]);
    let fingerprint = offered.stderr.split_whitespace().find(|word| word.starts_with("SHA256:"));
    let fingerprint = fingerprint.expect("a fingerprint");
    assert!(
        commands_in_hint(&status, &["cargo"])
            .iter()
            .any(|command| command.ends_with("identity trust target"))
    );
    fixture.run(&["identity", "trust", "target", "--fingerprint", fingerprint]).assert_code(0);
    assert_known(&fixture);
}
