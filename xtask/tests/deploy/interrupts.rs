//! Ctrl-C while a real ssh runs.

use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::scene::Scene;
use crate::support::Outcome;

/// Runs the tool, and presses Ctrl-C once it is `ready`.
fn interrupted(scene: &Scene, args: &[&str], ready: impl Fn() -> bool) -> Outcome {
    let mut command = scene.sandbox.command(&[&["--flake", &scene.flake()], args].concat());
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("running the binary");
    let begin = Instant::now();
    while !ready() {
        assert!(begin.elapsed() < Duration::from_secs(60), "never ready: {args:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    rustix::process::kill_process_group(Pid::from_child(&child), Signal::INT).expect("interrupting");
    let begin = Instant::now();
    let output = child.wait_with_output().expect("waiting for the binary");
    assert!(begin.elapsed() < Duration::from_secs(5), "{args:?} went on");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().unwrap_or(-1);
    Outcome { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn while_its_health_is_checked() {
    let scene = Scene::new();
    scene.set_profile("one", ":");
    let args = ["deploy", "target", "--health", "touch /mnt/asked; sleep 60"];
    let outcome = interrupted(&scene, &args, || scene.machine.path("asked").exists());
    outcome.says("-one, but its health is unknown: the health check was stopped\n").exits(130);
    scene.assert_runs("one");
    assert!(scene.run(&["history", "target"]).exits(0).contains("target  unchecked  "));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn while_a_host_does_not_answer() {
    let scene = Scene::new();
    scene.set_profile("one", ":");
    // The host has no route, so that nothing answers.
    scene.machine.inside("ip route flush table main");
    for (args, words) in [
        (&["deploy", "target"][..], "error: stopped while querying target\n"),
        (&["deploy", "target", "--wait"], "error: stopped while waiting for target\n"),
        (&["status"], "error: stopped\n"),
    ] {
        let begin = Instant::now();
        let outcome = interrupted(&scene, args, || begin.elapsed() > Duration::from_secs(4));
        assert_eq!((outcome.exits(130), outcome.stderr.as_str()), ("", words), "{args:?}");
    }
}
