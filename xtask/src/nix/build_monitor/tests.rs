use super::*;
use crate::base::Recorder;
use crate::nix::Programs;

#[test]
fn the_log_of_the_build_that_failed_is_shown() {
    let recorder = Recorder::default();
    let mut monitor = BuildMonitor::new(&recorder);
    for line in [
        r#"{"action":"start","id":1,"type":105,"fields":["/nix/store/a-bad.drv","",1,1]}"#,
        r#"{"action":"start","id":2,"type":105,"fields":["/nix/store/b-good.drv","",1,1]}"#,
        r#"{"action":"result","id":1,"type":101,"fields":["bad says"]}"#,
        r#"{"action":"result","id":2,"type":101,"fields":["good says"]}"#,
        r#"{"action":"msg","level":1,"msg":"warning: Git tree is odd"}"#,
        r#"{"action":"msg","level":0,"msg":"error: Cannot build '/nix/store/a-bad.drv'.\n"}"#,
    ] {
        monitor.process_line(&format!("@nix {line}"));
    }
    assert_eq!(monitor.made_count(), 2);
    let error = monitor.into_failures().error("F", &Programs::default()).to_string();
    assert!(error.contains("\n  | bad says\n") && !error.contains("good says"), "{error}");
    let events = recorder.events();
    assert_eq!(
        events.first(),
        Some(&Event::TaskStarted { task: 1, text: "building bad".into(), is_emulated: false })
    );
    assert_eq!(events.last(), Some(&Event::warning("Git tree is odd")));
}

#[test]
fn an_input_that_cannot_be_fetched_is_named() {
    let mut monitor = BuildMonitor::new(&crate::base::Silent);
    let error = "error:\n       … while updating the flake input 'secrets'\n\n       … while fetching the input \
                 'git+ssh://git@host/secrets.git'\n\n       error: revspec 'master' not found";
    let event = serde_json::json!({"action": "msg", "level": 0, "msg": error, "raw_msg": "x"});
    for line in [
        "git@host: Permission denied (publickey).",
        "fatal: Could not read from remote repository.",
        "",
        r#"@nix {"action":"msg","level":1,"msg":"warning: could not update cached head"}"#,
        &format!("@nix {event}"),
    ] {
        monitor.process_line(line);
    }
    let expected = "nix failed on F: revspec 'master' not found\n  while fetching the input 'secrets', \
                    'git+ssh://git@host/secrets.git'\n  | git@host: Permission denied (publickey).\n  \
                    | fatal: Could not read from remote repository.";
    assert_eq!(monitor.into_failures().error("F", &Programs::default()).to_string(), expected);
}

/// A builder can write events of Nix into its log.
#[test]
fn endless_output_of_a_builder_is_not_kept() {
    let mut monitor = BuildMonitor::new(&crate::base::Silent);
    let long = "x".repeat(1 << 20);
    for id in 0..300 {
        monitor.process_line(&format!(r#"@nix {{"action":"msg","level":0,"msg":"error: {long}"}}"#));
        monitor
            .process_line(&format!(r#"@nix {{"action":"result","id":{id},"type":101,"fields":["{long}"]}}"#));
    }
    for id in 0..3000 {
        monitor.process_line(&format!(
            r#"@nix {{"action":"start","id":{id},"type":105,"fields":["/nix/store/a-x.drv"]}}"#
        ));
    }
    let logs = monitor.builds.values().flat_map(|build| &build.log);
    let kept = logs.chain(&monitor.unverified_errors).map(String::len);
    assert!(kept.sum::<usize>() < 8 << 20);
    assert!(monitor.builds.len() <= MAX_BUILDS && monitor.unverified_errors.len() <= MAX_ERRORS);
}

#[test]
fn an_error_forged_by_a_builder_or_a_trace_is_no_cause() {
    let forged = r#"{"action":"msg","level":0,"msg":"error: builder for '/nix/store/x-forged.drv' failed"}"#;
    let error =
        |text: &str| format!(r#"{{"action":"msg","level":0,"msg":"error: {text}","raw_msg":"{text}"}}"#);
    let cause = |lines: &[&str]| {
        let mut monitor = BuildMonitor::new(&crate::base::Silent);
        for line in lines {
            monitor.process_line(&format!("@nix {line}"));
        }
        monitor.into_failures().error("F", &Programs::default()).to_string()
    };
    let real = error("builder for '/nix/store/a-real.drv' failed");
    let flood = [vec![forged; 2 * MAX_ERRORS], vec![&real]].concat();
    assert_eq!(cause(&flood), "nix failed on F: builder for '/nix/store/a-real.drv' failed");
    // A daemon reports the cause, and its client the consequence.
    let follows = error("1 dependencies of derivation '/nix/store/b-top.drv' failed to build");
    assert!(cause(&[forged, &follows]).contains("x-forged.drv"));
    assert!(cause(&[forged]).contains("x-forged.drv"));
}
