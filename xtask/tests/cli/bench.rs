//! `bench`: refusals before the measurements.

use crate::support::Sandbox;

#[test]
fn odd_words() {
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
        sandbox.run(args).says(text).exits(2);
    }
}

#[test]
fn what_is_missing_is_named_at_once() {
    let outcome = Sandbox::with_fakes_only().run(&["bench", "flash", "--only", "fast"]);
    if rustix::process::geteuid().is_root() {
        let programs =
            ["blockdev", "dd", "losetup", "zstd"].map(|name| format!("the program {name} on PATH"));
        outcome.says(&format!("error: measuring needs {}", programs.join("; and "))).exits(3);
    } else {
        outcome.says("error: measuring needs a loop device with a throttle\nhint: run this command as root");
        outcome.exits(6);
    }
}

#[test]
fn deploys_take_programs_too() {
    let outcome = Sandbox::with_fakes_only().run(&["bench", "deploy"]);
    let root = if rustix::process::geteuid().is_root() { "" } else { "needs root; " };
    outcome.says(&format!("error: measuring deploys {root}no nix on PATH"));
    outcome.says("needs deploy, activate").says("`cargo xtask test deploy` installs programs").exits(3);
}
