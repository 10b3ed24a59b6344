//! Several hosts in one command: unknown names and conflicts are refused before anything is built, and a broken node
//! stops no other host.

use std::fs;

use crate::deploy_fixture::{Fixture, OLD, OLD_PROFILE, nodes_json, probe_answer};

/// A change of a node: each `old` is replaced by `new`.
#[derive(Clone, Copy)]
pub struct Change {
    pub old: &'static str,
    pub new: &'static str,
}

pub const NO_CHANGE: Change = Change { old: "", new: "" };

/// A flake with the nodes `one` and `two`, of which the second is changed.
pub fn fixture_with_two_nodes(change: Change) -> Fixture {
    let fixture = Fixture::new("", "", 0);
    fixture.write("before", &probe_answer(OLD_PROFILE, OLD, ""));
    let node = |name: &str| {
        nodes_json("root").replace(r#"["other","stinky"]"#, r#"["one","two"]"#).replace("stinky.lan", name)
    };
    fixture.write("one", &node("one.lan"));
    fixture.write("two", &node("two.lan").replace(change.old, change.new));
    fixture.write("none", r#"{"names":["one","two"],"node":null,"system":null}"#);
    let [one, two, none] = ["one", "two", "none"].map(|name| fixture.path(name));
    // The arguments of an evaluation end with the host, or with the option that keeps the lock file of the flake.
    let by_host = format!(
        r#"*'"one"'|*'"one" --no-write-lock-file') cat {one};; *'"two"'|*'"two" --no-write-lock-file') cat {two};; *) cat {none};;"#
    );
    let version = r#"--version) echo "nix (Nix) 2.26.3";;"#;
    fixture.sandbox.fake("nix", &format!(r#"case "$*" in {version} {by_host} esac"#));
    fixture
}

/// Asserts that stderr is `error`, and that nothing was built, no host was queried and no lock was made.
#[track_caller]
fn assert_refused(fixture: &Fixture, args: &[&str], code: i32, error: &str) {
    let outcome = fixture.deploy(args);
    outcome.assert_code(code).assert_stdout("").assert_stderr(format!("error: {error}\n"));
    assert!(!fixture.sandbox.calls("nix").iter().any(|call| call.contains(&"build".to_owned())), "{args:?}");
    assert_eq!(
        (fixture.sandbox.calls("ssh").len(), fixture.sandbox.calls("deploy").len()),
        (0, 0),
        "{args:?}"
    );
    assert_eq!(lock_names(fixture), [""; 0], "{args:?}");
}

/// The names of the locks in the state folder, sorted.
fn lock_names(fixture: &Fixture) -> Vec<String> {
    let files = fs::read_dir(fixture.sandbox.path("state/locks")).into_iter().flatten();
    let mut names =
        files.map(|file| file.expect("a file").file_name().into_string().expect("UTF-8")).collect::<Vec<_>>();
    names.sort_unstable();
    names
}

#[test]
fn an_unknown_host_stops_the_deploy_of_all_hosts() {
    let unknown = "github:o/f has no deploy node";
    for (args, error) in [
        (
            &["one", "twoo"][..],
            format!("{unknown} 'twoo' (nodes: one, two); nothing was deployed\nhint: did you mean 'two'?"),
        ),
        (
            &["one", "--wait", "5"],
            format!(
                "{unknown} '5' (nodes: one, two); nothing was deployed\nhint: write a number behind `=`: `deploy --wait=5`, `status --keep-connections=5`"
            ),
        ),
        (
            &["six", "one", "ten"],
            format!(
                "nothing was deployed, as 2 hosts cannot be deployed:\n  - {unknown} 'six' (nodes: one, two)\n  - {unknown} 'ten' (nodes: one, two)"
            ),
        ),
        (
            &["5"],
            format!(
                "{unknown} '5' (nodes: one, two)\nhint: write a number behind `=`: `deploy --wait=5`, `status --keep-connections=5`"
            ),
        ),
    ] {
        assert_refused(&fixture_with_two_nodes(NO_CHANGE), args, 2, &error);
    }
}

#[test]
fn a_broken_node_does_not_stop_the_other_hosts() {
    let fixture = fixture_with_two_nodes(Change { old: r#"["system"]"#, new: r#"["home"]"# });
    let outcome = fixture.deploy(&["one", "two", "--dry-run"]);
    outcome.assert_stderr_contains("two: warning: deploy.nodes.two needs a profile 'system'");
    assert!(outcome.assert_code(3).stdout.contains("\none   planned  "), "{}", outcome.stdout);
}

#[test]
fn a_host_that_is_named_twice_is_queried_once() {
    let fixture = fixture_with_two_nodes(NO_CHANGE);
    fixture.sandbox.fake("ssh", "echo 'no route' >&2; exit 255");
    let outcome = fixture.sandbox.run(&["--flake", "github:o/f", "status", "two", "one", "two"]);
    let rows =
        outcome.assert_code(12).stdout.lines().skip(1).map(|row| row.split(' ').next().unwrap_or_default());
    assert_eq!(rows.collect::<Vec<_>>(), ["two", "one"]);
    assert_eq!(fixture.ssh_calls().len(), 2);
    outcome.assert_stderr_contains("error: the state of 2 of 2 hosts is unknown: two, one\n");
}

#[test]
fn two_nodes_with_one_address_are_refused() {
    let first = "one and two are the same machine, one.lan, which cannot run both systems; nothing was deployed\n\
                 hint: deploy one of them";
    assert_refused(
        &fixture_with_two_nodes(Change { old: "two.lan", new: "one.lan" }),
        &["one", "two"],
        3,
        first,
    );
    let second = first.replace("one.lan", "10.0.0.5");
    assert_refused(
        &fixture_with_two_nodes(NO_CHANGE),
        &["one", "two", "--", "--hostname", "10.0.0.5"],
        3,
        &second,
    );
}

/// A name that is not in the flake gets no lock.
#[test]
fn each_known_host_has_a_lock() {
    let fixture = fixture_with_two_nodes(NO_CHANGE);
    fixture.sandbox.fake("ssh", "echo 'no route' >&2; exit 255");
    fixture.deploy(&["one", "two"]).assert_code(12);
    assert_eq!(lock_names(&fixture), ["deploy-one", "deploy-two"]);
    fixture.deploy(&["on"]).assert_stderr_contains("did you mean 'one'?").assert_code(2);
    assert_eq!(lock_names(&fixture), ["deploy-one", "deploy-two"]);
}

#[test]
fn interactive_sudo_is_refused_for_several_hosts() {
    let interactive = Change { old: r#""interactiveSudo":null"#, new: r#""interactiveSudo":true"# };
    let error = "sudo on two asks for a password, and a deploy of several hosts cannot ask; nothing was deployed\n\
                 hint: deploy to each host with `interactiveSudo` by a command of its own";
    assert_refused(&fixture_with_two_nodes(interactive), &["one", "two"], 2, error);
    // The command line overrides the node, and --dry-run needs no password.
    for args in [&["one", "two", "--dry-run"][..], &["one", "two", "--", "--interactive-sudo", "false"]] {
        let fixture = fixture_with_two_nodes(interactive);
        fixture.sandbox.fake("ssh", "echo 'no route' >&2; exit 255");
        fixture.deploy(args).assert_code(12);
    }
    let error = "sudo on one, two asks for a password, and a deploy of several hosts cannot ask; nothing was deployed\n\
                 hint: deploy to each host with `interactiveSudo` by a command of its own";
    let outcome =
        fixture_with_two_nodes(NO_CHANGE).deploy(&["one", "two", "--", "--interactive-sudo", "true"]);
    outcome.assert_code(2).assert_stdout("");
    assert_eq!(outcome.stderr, format!("error: {error}\n"));
}
