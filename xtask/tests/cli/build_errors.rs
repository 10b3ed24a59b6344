//! `sd-image` when nix fails: the error and its hint.

use crate::fake_build::{SD_IMAGE_ARGS, attribute, event_script};
use crate::fake_nix::Answers;

/// Answers with a build that reports `events` and fails.
fn failing_build(events: &[&str]) -> Answers {
    let log = events.iter().map(|json| event_script(json)).collect::<String>();
    Answers { build: format!("{log}exit 1"), ..Answers::default() }
}

/// Answers with a build that fails with the error `text`.
fn failing_build_with_error(text: &str) -> Answers {
    let message = serde_json::json!({"action": "msg", "level": 0, "msg": format!("error: {text}")});
    failing_build(&[&message.to_string()])
}

#[test]
fn a_failed_builder_is_reported_with_the_end_of_its_log() {
    let cause_of_older_nix = "builder for '/nix/store/a-dep.drv' failed with exit code 3";
    let cause_of_newer_nix =
        "Cannot build '/nix/store/a-dep.drv'.\n       Reason: builder failed with exit code 3.";
    for (cause, consequence) in [
        (cause_of_older_nix, "1 dependencies of derivation '/nix/store/b-top.drv' failed to build"),
        (cause_of_newer_nix, "Cannot build '/nix/store/b-top.drv'.\n       Reason: 1 dependency failed."),
    ] {
        let message = |text| {
            serde_json::json!({"action": "msg", "level": 0, "msg": format!("error: {text}")}).to_string()
        };
        let mut events = vec![
            r#"{"action":"start","id":1,"type":105,"fields":["/nix/store/a-dep.drv"]}"#.to_owned(),
            r#"{"action":"start","id":2,"type":105,"fields":["/nix/store/c-other.drv"]}"#.to_owned(),
        ];
        let log = |id, text| format!(r#"{{"action":"result","id":{id},"type":101,"fields":["{text}"]}}"#);
        events.extend((1..=30).map(|number| log(1, format!("line {number}"))));
        events.extend([log(2, "another builder".into()), message(cause), message(consequence)]);
        let events = events.iter().map(String::as_str).collect::<Vec<_>>();
        let outcome = failing_build(&events).install().run(SD_IMAGE_ARGS);
        let tail = (11..=30).map(|number| format!("  | line {number}\n")).collect::<Vec<_>>().concat();
        let stderr = format!(
            "            building dep\n            building other\nerror: nix failed on {}: {cause}\n  \
             last lines of the builder's log:\n{tail}  full log: `nix-store --read-log /nix/store/a-dep.drv`\n",
            attribute()
        );
        outcome.assert_code(1).assert_stdout("").assert_stderr(stderr);
    }
}

const CANNOT_SANDBOX: &str = "allow user namespaces (sysctl user.max_user_namespaces, and \
    kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu), or use a Nix whose daemon has build users: builds \
    outside a sandbox could read the private keys of hosts";
const DOCTOR: &str = "run `cargo xtask doctor` to see why this machine cannot build for that system";

/// Errors of nix with their hints.
const ERRORS: &[(&str, &str)] = &[
    // The first three are one error, by Nix up to 2.29 and Lix, by Nix 2.30 to 2.33, and by Nix from 2.34 on.
    (
        "a 'aarch64-linux' with features {} is required to build '/nix/store/a.drv', but I am a 'x86_64-linux'",
        DOCTOR,
    ),
    (
        "Cannot build '/nix/store/a.drv'.\nReason: required system or feature not available\nRequired system: 'aarch64-linux'",
        DOCTOR,
    ),
    ("Cannot build '/nix/store/a.drv'.\nReason: platform mismatch\nRequired system: 'aarch64-linux'", DOCTOR),
    (
        "builder for '/nix/store/a.drv' failed with exit code 1; last 1 log lines: executing '/nix/store/b': Exec format error",
        "run `cargo xtask doctor` to see why this machine cannot run programs of that system",
    ),
    (
        "unable to start any build; either increase '--max-jobs' or enable remote builds.",
        "run `cargo xtask doctor`, which asks the remote builders, and check `max-jobs` in nix.conf: no machine takes this build",
    ),
    (
        "Failed to find a machine for remote build!\nderivation: a.drv",
        "check `builders` in nix.conf and /etc/nix/machines: no remote builder takes this build",
    ),
    (
        "cannot build on 'ssh://pi': error: failed to start SSH connection to 'pi'",
        "check the remote builder, which does not answer: `nix --extra-experimental-features nix-command store ping \
         --store ADDRESS`",
    ),
    (
        "flake 'github:o/f' does not provide attribute 'x'",
        "run `cargo xtask --flake github:o/f hosts` to list what the flake offers",
    ),
    (
        "derivation '/nix/store/a.drv' does not have wanted outputs 'out'",
        "give the image's package an output `out`",
    ),
    ("derivation '/nix/store/a.drv' does not have output 'out'", "give the image's package an output `out`"),
    (
        "this system does not support the kernel namespaces that are required for sandboxing; use '--no-sandbox' to disable sandboxing",
        CANNOT_SANDBOX,
    ),
    (
        "derivation '/nix/store/a.drv' has '__noChroot' set, but that's not allowed when 'sandbox' is 'true'",
        "remove `__noChroot` from the derivation: a build outside the sandbox could read the private keys of hosts",
    ),
    (
        "hash mismatch in fixed-output derivation '/nix/store/a.drv':\nspecified: sha256-A=\ngot: sha256-B=",
        "find out why the source has another content than the flake expects; if that is right, write the hash behind \
         `got:` into the flake",
    ),
    (
        "writing to file: No space left on device",
        "free space in the Nix store, as the disk is full: `nix-collect-garbage`",
    ),
];

#[test]
fn build_errors_of_nix_have_hints() {
    for (text, hint) in ERRORS {
        let outcome = failing_build_with_error(text).install().run(SD_IMAGE_ARGS);
        let text = text.replace('\n', "\n  ");
        let stderr = format!("error: nix failed on {}: {text}\nhint: {hint}\n", attribute());
        outcome.assert_code(1).assert_stdout("").assert_stderr(stderr);
    }
}

#[test]
fn an_input_that_a_build_cannot_fetch_is_named_with_the_line_of_ssh() {
    let error = "error:\n … while updating the flake input 'secrets'\n\n … while fetching the input \
                 'git+ssh://git@host/s.git'\n\n error: revspec 'master' not found";
    let message = serde_json::json!({"action": "msg", "level": 0, "msg": error, "raw_msg": ""});
    let lines =
        "echo 'ssh: connect to host host port 22: Connection refused' >&2; echo 'fatal: Could not read' >&2;";
    let build = format!("{lines} {} exit 1", event_script(&message.to_string()));
    let outcome = Answers { build, ..Answers::default() }.install().run(SD_IMAGE_ARGS);
    outcome.assert_code(1).assert_stderr(format!(
        "error: nix failed on {}: revspec 'master' not found\n  while fetching the input 'secrets', \
         'git+ssh://git@host/s.git'\n  | ssh: connect to host host port 22: Connection refused\n  | fatal: Could not read\n",
        attribute()
    ));
}

#[test]
fn an_evaluation_error_names_the_position() {
    let trace = "\n … while a\n   at /nix/store/a-source/flake.nix:3:7:\n     3| x\n\n error: deep down";
    let outcome = failing_build_with_error(trace).install().run(SD_IMAGE_ARGS);
    let message = "deep down\n  at /nix/store/a-source/flake.nix:3:7";
    outcome
        .assert_code(1)
        .assert_stdout("")
        .assert_stderr(format!("error: nix failed on {}: {message}\n", attribute()));
}
