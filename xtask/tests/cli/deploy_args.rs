//! Usage errors of `deploy`, `status` and `history`.

use crate::support::Sandbox;

fn assert_usage_errors(cases: &[(&[&str], &str)]) {
    for (args, error) in cases {
        let sandbox = Sandbox::with_fakes_only();
        sandbox.run(args).assert_stderr_contains(error).assert_code(2).assert_stdout("");
    }
}

#[test]
fn wait_takes_1_to_10080_minutes() {
    let range = "must be a whole number from 1 to 10080";
    assert_usage_errors(&[
        (&["deploy", "stinky", "--wait=0"], range),
        (&["deploy", "stinky", "--wait=10081"], range),
        (&["deploy", "stinky", "--wait=18446744073709551615"], range),
    ]);
    // With a valid number the command fails later, as this machine has no nix.
    for allowed in ["--wait", "--wait=1", "--wait=10080"] {
        Sandbox::with_fakes_only()
            .run(&["deploy", "stinky", allowed])
            .assert_stderr_contains("no nix on PATH")
            .assert_code(3);
    }
}

#[test]
fn deploy_takes_either_hosts_or_all() {
    let usage = "\n\nUsage: cargo xtask deploy [OPTIONS] <HOST>... [-- <DEPLOY ARGS>...]\n       \
                 cargo xtask deploy [OPTIONS] <--all|--on <TAG>> [-- <DEPLOY ARGS>...]\n       \
                 cargo xtask deploy [OPTIONS] --release <FILE> [HOST]... [-- <DEPLOY ARGS>...]\n";
    let missing = "<HOST|--all|--on <TAG>|--release <FILE>>";
    let none = format!("error: the following required arguments were not provided:\n  {missing}{usage}");
    let both =
        |one: &str, other: &str| format!("error: the argument '{one}' cannot be used with '{other}'{usage}");
    assert_usage_errors(&[
        (&["deploy"], &none),
        (&["deploy", "--", "--debug-logs"], &none),
        (&["deploy", "--all", "stinky"], &both("--all", "[HOST]...")),
        (&["deploy", "stinky", "--all"], &both("[HOST]...", "--all")),
    ]);
}

#[test]
fn an_empty_health_check_is_a_usage_error() {
    let error = "for '--health <COMMAND>': must be a command for the host";
    assert_usage_errors(&[
        (&["deploy", "stinky", "--health", ""], error),
        (&["deploy", "stinky", "--health", "true", "--health= \t\n"], error),
    ]);
}

#[test]
fn a_health_check_of_the_next_boot_without_a_reboot_is_a_usage_error() {
    let hint = "\nhint: add --reboot to check the new system, or leave out --health\n";
    assert_usage_errors(&[(&["deploy", "stinky", "--boot", "--health", "true"], hint)]);
}

#[test]
fn a_time_for_kept_connections_is_a_number_of_seconds_up_to_a_day() {
    for value in ["ten", "86401", "-1", "1.5"] {
        let mut sandbox = Sandbox::with_fakes_only();
        sandbox.env("XTASK_KEEP_CONNECTIONS", value);
        let error =
            format!("error: XTASK_KEEP_CONNECTIONS is `{value}`, and no number of seconds up to 86400\n");
        sandbox.run(&["status", "stinky"]).assert_code(2).assert_stderr_contains(error);
    }
    let error = "for '--keep-connections[=<SECONDS>]'";
    assert_usage_errors(&[(&["status", "--keep-connections=86401"], error)]);
}

#[test]
fn an_empty_host_name_is_a_usage_error() {
    let error = "must be the name of a host";
    assert_usage_errors(&[
        (&["deploy", "stinky", ""], error),
        (&["status", ""], error),
        (&["status", "stinky", " "], error),
        (&["history", ""], error),
    ]);
}
