//! `deploy` and `status` that are stopped while the host is asked: an end with words, and no ssh that is left.

use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::deploy_scene::{ACTIVATING, BEFORE, NEW, OLD, PROFILE, Scene, answer};
use crate::support::Outcome;

/// Whom the request to stop reaches.
#[derive(Clone, Copy, Debug)]
enum To {
    /// All, as Ctrl-C does.
    Group,
    /// The tool alone.
    Tool,
}

/// Runs the tool, and asks it to stop once ssh was called `calls` times.
fn stopped(scene: &Scene, args: &[&str], calls: usize, to: To) -> Outcome {
    stopped_once(scene, args, || scene.asked().len() >= calls, to)
}

/// Runs the tool, and asks it to stop once it is `ready`.
fn stopped_once(scene: &Scene, args: &[&str], ready: impl Fn() -> bool, to: To) -> Outcome {
    let mut command = scene.sandbox.command(&[&["--flake", "github:o/f"], args].concat());
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("running the binary");
    let begin = Instant::now();
    while !ready() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it did not come so far: {args:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = Pid::from_child(&child);
    match to {
        To::Group => rustix::process::kill_process_group(pid, Signal::INT),
        To::Tool => rustix::process::kill_process(pid, Signal::INT),
    }
    .expect("interrupting");
    let begin = Instant::now();
    let output = child.wait_with_output().expect("waiting for the binary");
    assert!(begin.elapsed() < Duration::from_secs(10), "{args:?} went on");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().unwrap_or(-1);
    Outcome { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

#[test]
fn while_a_host_does_not_answer() {
    for (args, words) in [
        (&["deploy", "stinky"][..], "error: stopped while querying stinky\n"),
        (&["deploy", "stinky", "--wait"], "error: stopped while waiting for stinky\n"),
        (&["status", "stinky"], "error: stopped\n"),
    ] {
        for (to, ssh) in [
            (To::Group, "exec sleep 30"),
            (To::Tool, "exec sleep 30"),
            // As ssh ends once it is connected.
            (To::Group, "trap 'exit 255' INT; sleep 30"),
        ] {
            let scene = Scene::new("", "", 0);
            scene.sandbox.fake("ssh", ssh);
            let outcome = stopped(&scene, args, 1, to);
            assert_eq!((outcome.exits(130), outcome.stderr.as_str()), ("", words), "{args:?} {to:?} {ssh}");
            assert_eq!((scene.asked().len(), scene.sandbox.calls("deploy").len()), (1, 0));
        }
    }
}

/// Nix looks for an interrupt between steps of an evaluation, and one step can take for ever.
#[test]
fn while_an_evaluation_takes_no_notice() {
    for to in [To::Group, To::Tool] {
        let scene = Scene::new("", "", 0);
        let version = "*--version*) echo 'nix (Nix) 2.26.3'";
        scene
            .sandbox
            .fake("nix", &format!("case $* in {version};; *eval*) trap '' INT; exec sleep 30;; esac"));
        let evaluating = || scene.sandbox.calls("nix").iter().flatten().any(|word| word == "eval");
        let outcome = stopped_once(&scene, &["deploy", "stinky"], evaluating, to);
        let words = "error: stopped while nix evaluated the flake; nothing was changed\n";
        assert_eq!((outcome.exits(130), outcome.stderr.as_str()), ("", words), "{to:?}");
    }
}

#[test]
fn between_two_questions() {
    let scene = Scene::new("", "", 0);
    scene
        .sandbox
        .fake("ssh", "echo 'ssh: connect to host stinky.lan port 22: No route to host' >&2; exit 255");
    let args = ["--flake", "github:o/f", "deploy", "stinky", "--wait=1"];
    let outcome = scene.sandbox.interrupt_at(&args, "does not answer yet");
    outcome.says("error: stopped while waiting for stinky\n").exits(130);
}

#[test]
fn while_its_health_is_checked() {
    for to in [To::Group, To::Tool] {
        let scene = Scene::new(&answer(PROFILE, NEW, ""), ACTIVATING, 0);
        scene.write("before", &answer(BEFORE, OLD, ""));
        let (ran, before, after) = (scene.file("calls/deploy"), scene.file("before"), scene.file("after"));
        let answers = format!("if [ -e {ran} ]; then cat {after}; else cat {before}; fi");
        scene.ssh(&answers, "*' true') ;; *' cat') ;; *) exec sleep 30;;");
        let args = ["deploy", "stinky", "--health", "curl x", "--health", "curl y"];
        let outcome = stopped(&scene, &args, 5, to);
        outcome.says(&format!(
            "error: stinky runs {NEW}, but its health is unknown: the health check was stopped\n"
        ));
        assert_eq!(outcome.exits(130), "");
        assert_eq!((scene.asked().len(), scene.sandbox.calls("deploy").len()), (5, 1));
        let history = scene.sandbox.run(&["history", "stinky"]);
        assert!(history.exits(0).contains("stinky  unchecked  "), "{}", history.stdout);
    }
}
