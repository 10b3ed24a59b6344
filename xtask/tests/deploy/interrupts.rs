//! Ctrl-C and SIGKILL while a real ssh runs.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::fixture::Fixture;
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

/// After SIGKILL, the folder of deploy-rs stays on the host. A later deploy removes the folder once no activation can
/// need it.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_folder_that_a_killed_run_left_is_removed_later() {
    let fixture = Fixture::new();
    fixture.set_profile("one", "touch /mnt/activating; sleep 2");
    let mut child = fixture.sandbox.command(&["--flake", &fixture.flake(), "deploy", "target"]);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("running the binary");
    while !fixture.machine.path("activating").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("killing the tool");
    child.wait().expect("waiting for the tool");
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
