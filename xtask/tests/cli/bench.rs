//! `bench`: refusals before the measurements.

use crate::support::Sandbox;

#[test]
fn invalid_bench_arguments_are_usage_errors() {
    let sandbox = Sandbox::new();
    for (args, text) in [
        (&["bench"][..], "Usage: cargo xtask bench [OPTIONS] <COMMAND>"),
        (
            &["bench", "flash", "--rounds", "0"],
            "invalid value '0' for '--rounds <N>': must be a whole number, 1 or more",
        ),
        (
            &["bench", "deploy", "--rounds", "x"],
            "invalid value 'x' for '--rounds <N>': must be a whole number, 1 or more",
        ),
        (
            &["bench", "flash", "--only", "frist"],
            "invalid value 'frist' for '--only <CASE>'\n  \
             [possible values: first, blank, again, tenth, next, fast]",
        ),
        (
            &["bench", "flash", "--mode", "dleta"],
            "invalid value 'dleta' for '--mode <MODE>'\n  [possible values: auto, full, delta]",
        ),
    ] {
        sandbox.run(args).assert_stderr_contains(text).assert_code(2);
    }
}

#[test]
fn bench_flash_lists_its_missing_programs_or_asks_for_root() {
    let outcome = Sandbox::with_fakes_only().run(&["bench", "flash", "--only", "fast"]);
    if rustix::process::geteuid().is_root() {
        let programs =
            ["blockdev", "dd", "losetup", "zstd"].map(|name| format!("the program {name} on PATH"));
        outcome
            .assert_stderr_contains(format!("error: measuring needs {}", programs.join("; and ")))
            .assert_code(3);
    } else {
        outcome.assert_stderr_contains("error: measuring needs loop devices\nhint: run this command as root");
        outcome.assert_code(6);
    }
}

#[test]
fn bench_deploy_lists_its_missing_programs() {
    let outcome = Sandbox::with_fakes_only().run(&["bench", "deploy"]);
    let root =
        if rustix::process::geteuid().is_root() { "" } else { "needs root: run this command as root; " };
    outcome.assert_stderr_contains(format!("error: measuring deploys {root}needs Nix: no nix on PATH"));
    outcome
        .assert_stderr_contains("needs deploy, activate")
        .assert_stderr_contains("\nhint: run `cargo xtask test deploy`, which installs missing programs")
        .assert_code(3);
}
