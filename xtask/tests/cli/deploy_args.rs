//! Command lines of `deploy`, `status` and `history` that are wrong by themselves.

use crate::support::Sandbox;

fn check(lines: &[(&[&str], &str)]) {
    for (args, words) in lines {
        let sandbox = Sandbox::with_fakes_only();
        sandbox.run(args).assert_stderr_contains(words).assert_code(2).assert_stdout("");
    }
}

#[test]
fn how_long_a_host_is_waited_for() {
    let range = "is not in 1..=10080";
    check(&[
        (&["deploy", "stinky", "--wait=0"], range),
        (&["deploy", "stinky", "--wait=10081"], range),
        (&["deploy", "stinky", "--wait=18446744073709551615"], range),
    ]);
    // One that is allowed goes on to what this machine lacks.
    for allowed in ["--wait", "--wait=1", "--wait=10080"] {
        Sandbox::with_fakes_only()
            .run(&["deploy", "stinky", allowed])
            .assert_stderr_contains("no nix on PATH")
            .assert_code(1);
    }
}

#[test]
fn which_hosts() {
    let usage = "\n\nUsage: cargo xtask deploy [OPTIONS] <HOST>... [-- <DEPLOY ARGS>...]\n       \
                 cargo xtask deploy [OPTIONS] --all [-- <DEPLOY ARGS>...]\n";
    let none = format!("error: the following required arguments were not provided:\n  <HOST|--all>{usage}");
    let both =
        |one: &str, other: &str| format!("error: the argument '{one}' cannot be used with '{other}'{usage}");
    check(&[
        (&["deploy"], &none),
        (&["deploy", "--", "--debug-logs"], &none),
        (&["deploy", "--all", "stinky"], &both("--all", "[HOST]...")),
        (&["deploy", "stinky", "--all"], &both("[HOST]...", "--all")),
    ]);
}

#[test]
fn commands_that_are_none() {
    let words = "for '--health <COMMAND>': must be a command for the host";
    check(&[
        (&["deploy", "stinky", "--health", ""], words),
        (&["deploy", "stinky", "--health", "true", "--health= \t\n"], words),
    ]);
}

#[test]
fn hosts_without_a_name() {
    let words = "must be the name of a host";
    check(&[
        (&["deploy", "stinky", ""], words),
        (&["status", ""], words),
        (&["status", "stinky", " "], words),
        (&["history", ""], words),
    ]);
}
