//! An interrupt during `deploy` and `status` ends the tool with an error and leaves no ssh running.

use rustix::process::Signal;

use crate::deploy_fixture::{ACTIVATING, Fixture, NEW, NEW_PROFILE, OLD, OLD_PROFILE, probe_answer};
use crate::support::Outcome;
use crate::support::xtask::SignalTo;

/// Runs the tool and interrupts it once it has called ssh `call_count` times.
#[track_caller]
fn interrupt_after_calls(fixture: &Fixture, args: &[&str], call_count: usize, to: SignalTo) -> Outcome {
    interrupt_once(fixture, args, || fixture.ssh_calls().len() >= call_count, to)
}

/// Runs the tool and interrupts it once `is_ready`.
#[track_caller]
fn interrupt_once(fixture: &Fixture, args: &[&str], is_ready: impl Fn() -> bool, to: SignalTo) -> Outcome {
    let run = fixture.sandbox.xtask(&[&["--flake", "github:o/f"], args].concat());
    run.interrupt_once(is_ready, to)
}

#[test]
fn an_interrupt_stops_the_wait_for_a_host_that_does_not_answer() {
    for (args, error) in [
        (&["deploy", "stinky"][..], "error: stopped while querying stinky\n"),
        (&["deploy", "stinky", "--wait"], "error: stopped while waiting for stinky\n"),
        (&["status", "stinky"], "error: stopped\n"),
    ] {
        for (to, ssh) in [
            (SignalTo::Group, "exec sleep 30"),
            (SignalTo::Tool, "exec sleep 30"),
            // An ssh that has a connection exits with 255 at Ctrl-C, as this fake does.
            (SignalTo::Group, "trap 'exit 255' INT; sleep 30"),
        ] {
            let fixture = Fixture::new("", "", 0);
            fixture.sandbox.fake("ssh", ssh);
            let outcome = interrupt_after_calls(&fixture, args, 1, to);
            outcome.assert_code(130).assert_stdout("").assert_stderr(error);
            assert_eq!((fixture.ssh_calls().len(), fixture.sandbox.calls("deploy").len()), (1, 0));
        }
    }
}

/// Nix checks for interrupts only between the steps of an evaluation, and one step may never end.
#[test]
fn an_interrupt_stops_an_evaluation_that_ignores_it() {
    for to in [SignalTo::Group, SignalTo::Tool] {
        let fixture = Fixture::new("", "", 0);
        let version = "*--version*) echo 'nix (Nix) 2.26.3'";
        fixture
            .sandbox
            .fake("nix", &format!("case $* in {version};; *eval*) trap '' INT; exec sleep 30;; esac"));
        let is_evaluating = || fixture.sandbox.calls("nix").iter().flatten().any(|word| word == "eval");
        let outcome = interrupt_once(&fixture, &["deploy", "stinky"], is_evaluating, to);
        let error = "error: stopped while nix evaluated the flake; nothing was changed\n";
        outcome.assert_code(130).assert_stdout("").assert_stderr(error);
    }
}

/// Whoever stops a run of several hosts sees of each that nothing was begun.
#[test]
fn an_interrupt_of_the_evaluation_of_several_hosts_ends_with_their_table() {
    let fixture = Fixture::new("", "", 0);
    let version = "*--version*) echo 'nix (Nix) 2.26.3'";
    fixture.sandbox.fake("nix", &format!("case $* in {version};; *eval*) exec sleep 30;; esac"));
    let is_evaluating = || fixture.sandbox.calls("nix").iter().flatten().any(|word| word == "eval");
    let outcome = interrupt_once(&fixture, &["deploy", "one", "two"], is_evaluating, SignalTo::Group);
    let rows = outcome.assert_code(130).stdout.lines().collect::<Vec<_>>();
    assert!(rows.len() == 3 && rows[1..].iter().all(|row| row.contains("not reached")), "{outcome:?}");
    assert!(fixture.ssh_calls().is_empty());
}

/// Whoever stops deploy-rs needs none of its lines to know why it ended.
#[test]
fn an_interrupt_of_deploy_rs_shows_none_of_its_lines() {
    let fixture = Fixture::new(&probe_answer(OLD_PROFILE, OLD, ""), "", 0);
    fixture.sandbox.fake("deploy", "echo 'a line of deploy-rs' >&2; exec sleep 30");
    fixture.write("before", &probe_answer(OLD_PROFILE, OLD, ""));
    let is_running = || fixture.sandbox.calls("deploy").len() == 1;
    let outcome = interrupt_once(&fixture, &["deploy", "stinky"], is_running, SignalTo::Group);
    let stderr = &outcome.assert_code(130).stderr;
    assert!(stderr.contains("stopped before the activation") && !stderr.contains("  | "), "{stderr}");
}

#[test]
fn an_interrupt_stops_the_wait_between_two_attempts() {
    let fixture = Fixture::new("", "", 0);
    fixture
        .sandbox
        .fake("ssh", "echo 'ssh: connect to host stinky.lan port 22: No route to host' >&2; exit 255");
    let args = ["--flake", "github:o/f", "deploy", "stinky", "--wait=1"];
    let outcome = fixture.sandbox.xtask(&args).interrupt_at("does not answer yet");
    outcome.assert_stderr_contains("error: stopped while waiting for stinky\n").assert_code(130);
}

#[test]
fn a_wait_shows_what_it_tries_and_what_the_last_answer_was() {
    let fixture = Fixture::new("", "", 0);
    let answer = "ssh: connect to host stinky.lan port 22: No route to host";
    fixture.sandbox.fake("ssh", &format!("echo '{answer}' >&2; exit 255"));
    let args = ["--flake", "github:o/f", "deploy", "stinky", "--wait=1"];
    let mut terminal = fixture.sandbox.xtask(&args).on_terminal();
    terminal.wait_for("probe").wait_for("attempt 3 at root@stinky.lan: No route to host");
    terminal.signal(Signal::INT);
    terminal.finish().assert_code(130);
    // Plain lines have each new answer once.
    let mut run = fixture.sandbox.xtask(&args).spawn();
    run.wait_for(&format!("            root@stinky.lan: {answer}"));
    run.signal(SignalTo::Group, Signal::INT);
    let outcome = run.finish();
    assert_eq!(outcome.assert_code(130).stderr.matches(&format!("root@stinky.lan: {answer}")).count(), 1);
}

#[test]
fn an_interrupt_during_a_health_check_leaves_the_health_unknown() {
    for to in [SignalTo::Group, SignalTo::Tool] {
        let fixture = Fixture::new(&probe_answer(NEW_PROFILE, NEW, ""), ACTIVATING, 0);
        fixture.write("before", &probe_answer(OLD_PROFILE, OLD, ""));
        let calls_of_deploy_rs = fixture.path("calls/deploy");
        let before = fixture.path("before");
        let after = fixture.path("after");
        let answers = format!("if [ -e {calls_of_deploy_rs} ]; then cat {after}; else cat {before}; fi");
        fixture.fake_ssh(&answers, "*' true') ;; *' cat') ;; *) exec sleep 30;;");
        let args = ["deploy", "stinky", "--health", "curl x", "--health", "curl y"];
        // The first four calls are the three probes and `mktemp`, the fifth is the first health check.
        let outcome = interrupt_after_calls(&fixture, &args, 5, to);
        outcome.assert_stderr_contains(format!(
            "error: stinky runs {NEW}, but its health is unknown: the health check was stopped\n"
        ));
        outcome.assert_code(130).assert_stdout("");
        assert_eq!((fixture.ssh_calls().len(), fixture.sandbox.calls("deploy").len()), (5, 1));
        let history = fixture.sandbox.run(&["history", "stinky"]);
        assert!(history.assert_code(0).stdout.contains("stinky  unchecked  "), "{}", history.stdout);
    }
}
