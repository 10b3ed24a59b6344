//! The log of a run, and how much of its story a run prints.

use std::fs;

use crate::deploy_fixture::{Fixture, NEW, NEW_PROFILE, OLD, OLD_PROFILE, probe_answer};
use crate::support::Sandbox;

/// A deploy that succeeds, with a fake deploy-rs that prints a line.
fn good_deploy() -> Fixture {
    Fixture::new(&probe_answer(NEW_PROFILE, NEW, ""), "https://me:pw@host confirmed", 0)
}

#[test]
fn a_log_has_the_events_the_children_and_the_end() {
    let fixture = good_deploy();
    fixture.deploy(&["stinky", "--", "--", "--option", "access-tokens", "h=ghp_1"]).assert_code(0);
    fixture.sandbox.run(&["--flake", "github:o/f", "status", "nobody"]);
    let log = fixture.sandbox.run(&["log", "stinky"]);
    let text = &log.assert_code(0).assert_stderr("").stdout;
    for expected in [
        "log of xtask ",
        "deploy stinky",
        "] $ nix --version\n",
        "] $ deploy --skip-checks ",
        "] https://…@host confirmed\n",
        "] exit code 0 after ",
        " deploy stinky as root@stinky.lan\n",
        " exit code 0\n",
    ] {
        assert!(text.contains(expected), "no {expected:?} in {text}");
    }
    assert!(!text.contains("ghp_1") && !text.contains("me:pw"), "{text}");
    let last = fixture.sandbox.run(&["log"]);
    last.assert_stdout_contains("status nobody").assert_code(0);
    let json = fixture.sandbox.run(&["log", "stinky", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.assert_code(0).stdout).unwrap();
    assert_eq!(json["lines"].as_array().unwrap().len(), text.lines().count());
}

#[test]
fn a_failure_names_its_log_once_and_a_refusal_does_not() {
    let fixture = Fixture::new("", "no route", 1);
    let failed = fixture.deploy(&["stinky"]);
    let log = format!("log: {}\n", fixture.path("state/logs/last-run.log"));
    assert!(failed.code > 3 && failed.stderr.ends_with(&log), "{failed:?}");
    assert_eq!(failed.stderr.matches("log: ").count(), 1);
    let failed = fixture.deploy(&["stinky", "--json"]);
    let events = failed.stderr.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let last = events.map(|event| event["event"].clone()).collect::<Vec<_>>();
    assert_eq!(last[last.len() - 2..], ["log_file", "failed"]);
    assert!(!Sandbox::new().run(&["identity", "show", "pi"]).assert_code(3).stderr.contains("log: "));
}

#[test]
fn a_result_that_cannot_be_printed_is_the_error_of_the_run() {
    let fixture = good_deploy();
    fixture.deploy(&["stinky"]).assert_code(0);
    let full = fs::File::options().write(true).open("/dev/full").expect("opening /dev/full");
    let args = ["--json", "--flake", "github:o/f", "status", "stinky"];
    let outcome = fixture.sandbox.xtask(&args).stdout(full).run();
    let events = outcome.assert_code(5).events();
    let [.., named, failed] = &events[..] else { panic!("{outcome:?}") };
    assert_eq!((&named["event"], &failed["event"]), (&"log_file".into(), &"failed".into()));
    assert_eq!(failed["reasons"][0]["kind"], "no_room");
    let log = fs::read_to_string(named["path"].as_str().expect("a path")).expect("reading the log");
    assert!(log.ends_with(" exit code 5\n"), "{log}");
}

#[test]
fn quiet_prints_the_result_alone_and_verbose_each_command_line() {
    let quiet = good_deploy().deploy(&["stinky", "-q"]);
    quiet.assert_code(0).assert_stderr("").assert_stdout_contains("stinky runs ");
    let normal = good_deploy().deploy(&["stinky"]);
    assert!(!normal.assert_code(0).stderr.contains("$ "), "{normal:?}");
    assert!(!normal.stderr.contains("  | "), "{normal:?}");
    // A deploy that fails shows the last lines of deploy-rs after all.
    let failed = Fixture::new(&probe_answer(OLD_PROFILE, OLD, ""), "no\nroom", 1).deploy(&["stinky", "-q"]);
    assert!(failed.stderr.starts_with("  | to stdout\n  | no\n  | room\nerror: "), "{failed:?}");
    let verbose = good_deploy().deploy(&["stinky", "-v"]);
    verbose.assert_code(0).assert_stderr_contains("  $ nix --version\n");
    verbose.assert_stderr_contains("  $ deploy --skip-checks --ssh-opts '");
    verbose.assert_stderr_contains("\n  | to stdout\n  | https://…@host confirmed\n");
    let json = good_deploy().deploy(&["stinky", "-v", "--json"]);
    json.assert_code(0).assert_stderr_contains(r#""argv":["nix","--version"]"#);
    good_deploy().deploy(&["stinky", "-v", "-q"]).assert_code(2);
}

#[test]
fn a_log_of_ones_own_is_written_and_nothing_else_overwritten() {
    let fixture = good_deploy();
    let [own, precious] = ["home/own.log", "home/precious"].map(|name| fixture.path(name));
    fixture.deploy(&["stinky", "--log-file", &own]).assert_code(0);
    assert!(fs::read_to_string(&own).unwrap().contains("] $ deploy "));
    fs::write(&precious, "mine").unwrap();
    let refused = fixture.deploy(&["stinky", "--log-file", &precious]);
    refused.assert_code(3).assert_stderr_contains("precious is there already, and no log of this tool\n");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "mine");
    let missing = fixture.path("home/missing/own.log");
    let failed = fixture.deploy(&["stinky", "--log-file", &missing]);
    failed.assert_code(5).assert_stderr_contains("No such file or directory\nhint: make its folder");
}

#[test]
fn without_a_run_there_is_no_log() {
    let sandbox = Sandbox::new();
    sandbox.run(&["log"]).assert_code(3).assert_stderr_contains("error: there is no log yet: ");
    let text = "error: there is no log of a flash or a deploy of pi\nhint: `cargo xtask log` without a host prints that \
                of the last run\n";
    sandbox.run(&["log", "pi"]).assert_code(2).assert_stderr(text);
}

/// Nix would never see them.
#[test]
fn arguments_for_nix_that_nobody_reads_are_refused() {
    for args in [
        &["flash", "--image", "a.img", "/dev/no-card", "--", "--offline"][..],
        &["boot", "--image", "a.img", "--", "--offline"],
        &["card", "verify", "/dev/no-card", "--", "--offline"],
        &["identity", "trust", "pi", "--published", "--", "--offline"],
        &["identity", "make", "pi", "--yes", "--", "--offline"],
    ] {
        let refused = Sandbox::new().run(args);
        refused
            .assert_code(2)
            .assert_stderr_contains("`--offline` is an argument for Nix, and this command line");
    }
}
