//! Ctrl-C while a real ssh runs.

use std::time::{Duration, Instant};

use crate::scene::Scene;
use crate::support::Outcome;
use crate::support::xtask::SignalTo;

/// Runs the tool and presses Ctrl-C once `is_ready`.
#[track_caller]
fn interrupt(scene: &Scene, args: &[&str], is_ready: impl Fn() -> bool) -> Outcome {
    let run = scene.sandbox.xtask(&[&["--flake", &scene.flake()], args].concat());
    run.stop_timeout(Duration::from_secs(5)).interrupt_once(is_ready, SignalTo::Group)
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn ctrl_c_during_a_health_check_leaves_the_health_unknown() {
    let scene = Scene::new();
    scene.set_profile("one", ":");
    let args = ["deploy", "target", "--health", "touch /mnt/asked; sleep 60"];
    let outcome = interrupt(&scene, &args, || scene.machine.path("asked").exists());
    outcome
        .assert_stderr_contains("-one, but its health is unknown: the health check was stopped\n")
        .assert_code(130);
    scene.assert_runs("one");
    assert!(scene.run(&["history", "target"]).assert_code(0).stdout.contains("target  unchecked  "));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn ctrl_c_stops_the_wait_for_a_host_that_does_not_answer() {
    let scene = Scene::new();
    scene.set_profile("one", ":");
    // The host has no route, so that nothing answers.
    scene.machine.inside("ip route flush table main");
    for (args, error) in [
        (&["deploy", "target"][..], "error: stopped while querying target\n"),
        (&["deploy", "target", "--wait"], "error: stopped while waiting for target\n"),
        (&["status"], "error: stopped\n"),
    ] {
        let start = Instant::now();
        let outcome = interrupt(&scene, args, || start.elapsed() > Duration::from_secs(4));
        outcome.assert_code(130).assert_stdout("").assert_stderr(error);
    }
}
