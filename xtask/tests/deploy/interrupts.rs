//! Ctrl-C and SIGKILL while a real ssh runs.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::fixture::Fixture;
use crate::ssh_mux::allow_one_session;
use crate::support::Outcome;
use crate::support::xtask::SignalTo;

/// Runs the tool and presses Ctrl-C once `is_ready`.
#[track_caller]
fn interrupt(fixture: &Fixture, args: &[&str], is_ready: impl Fn() -> bool) -> Outcome {
    let run = fixture.sandbox.xtask(&[&["--flake", &fixture.flake()], args].concat());
    run.stop_timeout(Duration::from_secs(5)).interrupt_once(is_ready, SignalTo::Group)
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn ctrl_c_during_a_health_check_leaves_the_health_unknown() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    let args = ["deploy", "target", "--health", "touch /mnt/asked; sleep 60"];
    let outcome = interrupt(&fixture, &args, || fixture.machine.path("asked").exists());
    outcome
        .assert_stderr_contains("-one, but its health is unknown: the health check was stopped\n")
        .assert_code(130);
    fixture.assert_runs("one");
    assert!(fixture.run(&["history", "target"]).assert_code(0).stdout.contains("target  unchecked  "));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn ctrl_c_stops_the_wait_for_a_host_that_does_not_answer() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    // The host has no route, so that nothing answers.
    fixture.machine.run_inside("ip route flush table main");
    for (args, error) in [
        (&["deploy", "target"][..], "error: stopped while querying target\n"),
        (&["deploy", "target", "--wait"], "error: stopped while waiting for target\n"),
        (&["status"], "error: stopped\n"),
    ] {
        let start = Instant::now();
        let outcome = interrupt(&fixture, args, || start.elapsed() > Duration::from_secs(2));
        outcome.assert_code(130).assert_stdout("").assert_stderr(error);
    }
}

/// After SIGKILL, the host goes on, which `status` says, and the folder of deploy-rs stays there. A later deploy
/// removes the folder once no activation can need it.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_folder_that_a_killed_run_left_is_removed_later() {
    let fixture = Fixture::new();
    let until_go = "for i in $(seq 600); do if [ -e /mnt/go ]; then break; fi; sleep 0.1; done";
    fixture.set_profile("one", &format!("touch /mnt/activating; {until_go}"));
    let mut child = fixture.sandbox.command(&["--flake", &fixture.flake(), "deploy", "target"]);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("running the binary");
    while !fixture.machine.path("activating").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("killing the tool");
    child.wait().expect("waiting for the tool");
    fixture
        .run(&["status"])
        .assert_code(0)
        .assert_stdout_contains("target  activates a system")
        .assert_stderr_contains(" status target\n");
    assert_eq!(fixture.run(&["status", "--json"]).json()["hosts"][0]["activates"], true);
    fixture.machine.run_inside("touch /mnt/go");
    fixture.machine.wait_for_the_end_of_activations();
    let list = || fixture.machine.run_inside("cd /tmp && ls -d xtask-deploy.* | sort");
    let left = list();
    assert_eq!(left.lines().count(), 1, "{left}");
    fixture.machine.run_inside(&format!(
        "cd /tmp; mkdir xtask-deploy.young00000 xtask-deploy.foreign000 xtask-deploy.short /mnt/precious
         ln -s /mnt/precious xtask-deploy.link000000; chown 65534 xtask-deploy.foreign000; touch /mnt/precious/file
         touch -d '2 days ago' /mnt/precious {left} xtask-deploy.foreign000 xtask-deploy.short
         touch -h -d '2 days ago' xtask-deploy.link000000"
    ));
    fixture.set_profile("two", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.assert_runs("two");
    let kept = ["foreign000", "link000000", "short", "young00000"].map(|end| format!("xtask-deploy.{end}"));
    assert_eq!(list(), kept.join("\n"));
    assert!(fixture.machine.path("precious/file").exists());
}

/// Deploys a system whose activation fails, and sends the signals, one a second, to the tool and its children from the
/// moment on at which the host has made the file `moment`. Returns the outcome once the host has gone back.
fn stop_failing_deploy(fixture: &Fixture, moment: &str, signals: &[Signal]) -> Outcome {
    fixture.machine.run_inside("rm -f /mnt/began /mnt/going-back /mnt/back");
    // Whoever has lost its connection ends at its next line.
    fixture.set_profile("failing", "touch /mnt/began; for i in 1 2 3; do sleep 1; echo $i; done; exit 4");
    let mut run = fixture.sandbox.xtask(&["--flake", &fixture.flake(), "deploy", "target", "--wait"]).spawn();
    let start = Instant::now();
    while !fixture.machine.path(moment).exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "the host did not make {moment}");
        std::thread::sleep(Duration::from_millis(20));
    }
    for signal in signals {
        std::thread::sleep(Duration::from_secs(1));
        run.signal(SignalTo::Group, *signal);
    }
    let outcome = run.finish();
    fixture.machine.wait_for_the_end_of_activations();
    outcome
}

/// A fixture whose host runs the system `good`, which takes some time and lines to be activated again.
fn fixture_that_goes_back_slowly() -> Fixture {
    let fixture = Fixture::new();
    let again = "touch /mnt/going-back; for i in 1 2 3; do sleep 1; echo $i; done; touch /mnt/back";
    fixture.set_profile("good", &format!("if [ -e /mnt/began ]; then {again}; fi"));
    fixture
}

/// Asserts that the host has gone back to its end, and that nothing is left of the deploy on this machine.
#[track_caller]
fn assert_whole(fixture: &Fixture, outcome: &Outcome) {
    fixture.assert_runs("good");
    assert!(fixture.machine.path("back").exists(), "{}", outcome.stderr);
    let kept = fixture.machine.run_inside("readlink /nix/var/nix/profiles/system-*-link");
    assert!(!kept.contains("-failing"), "{kept}");
    for folder in ["state/ssh", "state/stand-ins/ssh"] {
        let left = std::fs::read_dir(fixture.sandbox.path(folder)).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{folder}: {}", outcome.stderr);
    }
}

/// Ctrl-C and a terminal that is closed reach the tool, deploy-rs and each ssh.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_activation_that_fails_goes_back_whoever_is_stopped() {
    let fixture = fixture_that_goes_back_slowly();
    fixture.deploy(&[]).assert_code(0);
    for (moment, signals, code, words) in [
        ("began", &[Signal::INT][..], 10, "error: target rolled back to "),
        ("began", &[Signal::HUP], 10, "error: target rolled back to "),
        ("going-back", &[Signal::INT], 10, "error: target rolled back to "),
        (
            "began",
            &[Signal::INT, Signal::INT, Signal::INT],
            130,
            "error: stopped while an activation may be running on target\n",
        ),
    ] {
        let outcome = stop_failing_deploy(&fixture, moment, signals);
        outcome
            .assert_code(code)
            .assert_stderr_contains("stopped; reading what target runs; Ctrl-C again ends that\n");
        outcome.assert_stderr_contains(words);
        assert_whole(&fixture, &outcome);
    }
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_activation_without_a_shared_connection_goes_back_too() {
    let fixture = fixture_that_goes_back_slowly();
    fixture.deploy(&[]).assert_code(0);
    allow_one_session(&fixture);
    let outcome = stop_failing_deploy(&fixture, "began", &[Signal::INT]);
    outcome.assert_code(10).assert_stderr_contains("error: target rolled back to ");
    assert_whole(&fixture, &outcome);
}
