//! The help of each command.

use crate::support::Sandbox;

/// The help of the global option `--json`.
const JSON: &str = "Print results as JSON, and events as JSON lines on stderr\n";

/// The global options follow those of the command. `--flake` is listed for commands that read the flake.
#[test]
fn help_lists_the_global_options_last() {
    let flake =
        "      --flake <REF>  The flake to work on, a folder or a reference such as github:owner/name";
    let default = "                     (default: `XTASK_FLAKE`, or the nearest flake.nix upwards)";
    let both = format!("{flake}\n{default}\n      --json         {JSON}");
    let alone = format!("      --json  {JSON}");
    for (command, expected) in [
        ("sd-image", &both),
        ("flash", &both),
        ("boot", &both),
        ("restore", &both),
        ("deploy", &both),
        ("status", &both),
        ("history", &both),
        ("hosts", &both),
        ("devices", &both),
        ("card", &both),
        ("card inspect", &alone),
        ("card verify", &both),
        ("card check", &both),
        ("identity", &both),
        ("identity show", &both),
        ("identity make", &both),
        ("doctor", &alone),
        ("setup", &alone),
        ("demo", &alone),
        ("test", &alone),
        ("bench", &alone),
        ("bench flash", &alone),
        ("bench assemble", &alone),
        ("bench deploy", &alone),
    ] {
        let args = command.split(' ').chain(["-h"]).collect::<Vec<_>>();
        let outcome = Sandbox::new().run(&args);
        let (own, global) = outcome.assert_code(0).stdout.split_once("\n\nGlobal options:\n").expect(command);
        let global = global.split("\n\n").next().unwrap_or_default().trim_end();
        assert_eq!(global, expected.trim_end(), "{command}");
        assert!(!own.contains("--flake <REF>") && !own.contains(JSON.trim_end()), "{command}: {own}");
    }
}

/// All commands accept `--flake`, before and after their name, so that an alias may always pass it.
#[test]
fn the_option_flake_may_stand_before_and_after_the_command() {
    for args in [["--flake", "/none", "history"], ["history", "--flake", "/none"]] {
        let text = "error: no flake in /none: there is no such folder\n";
        Sandbox::new().run(&args).assert_stderr_contains(text).assert_code(2).assert_stdout("");
    }
}
