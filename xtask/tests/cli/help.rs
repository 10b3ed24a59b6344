//! The help of each command.

use crate::support::Sandbox;

/// The help of the global option `--json`.
const JSON: &str = "Print results as JSON, and events as JSON lines on stderr\n";

/// The help of the global options about the output, behind that of `--json`.
const OUTPUT: &str = concat!(
    "  -q, --quiet            Print only the result, warnings and errors\n",
    "  -v, --verbose          Also print the command line of each program that is run, and all that\n",
    "                         deploy-rs prints\n",
    "      --log-file <FILE>  Also write the log of this run to a file: events, command lines, the stderr\n",
    "                         of programs, exit codes, times",
);

/// The global options follow those of the command. `--flake` is listed for commands that read the flake.
#[test]
fn help_lists_the_global_options_last() {
    let flake =
        "      --flake <REF>      The flake to work on, a folder or a reference such as github:owner/name";
    let default = "                         (default: `XTASK_FLAKE`, or the nearest flake.nix upwards)";
    let alone = format!("      --json             {JSON}{OUTPUT}");
    let both = format!("{flake}\n{default}\n{alone}");
    for (command, expected) in [
        ("new-host", &both),
        ("up", &both),
        ("sd-image", &both),
        ("flash", &both),
        ("boot", &both),
        ("restore", &both),
        ("deploy", &both),
        ("rollback", &both),
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
        ("completions", &alone),
        ("demo", &alone),
        ("test", &alone),
        ("bench", &alone),
        ("bench flash", &alone),
        ("bench assemble", &alone),
        ("bench deploy", &alone),
        ("bench edit", &alone),
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

/// `help` and its names print what `--help` prints.
#[test]
fn the_command_help_prints_the_help_of_each_command() {
    for command in [&[][..], &["flash"], &["card", "inspect"], &["identity"]] {
        let asked = Sandbox::new().run(&[&["help"], command].concat());
        let flag = Sandbox::new().run(&[command, &["--help"]].concat());
        assert_eq!(asked.assert_code(0).stdout, flag.assert_code(0).stdout, "{command:?}");
        assert!(asked.stdout.contains("Usage: "), "{asked:?}");
    }
    let nested = Sandbox::new().run(&["card", "help", "inspect"]);
    assert!(nested.assert_code(0).stdout.contains("Usage: cargo xtask card inspect"), "{nested:?}");
    Sandbox::new().run(&["help", "flsh"]).assert_code(2).assert_stdout("");
}

#[test]
fn no_help_and_no_suggestion_names_the_workers() {
    for args in [&["--help"][..], &["help"], &["write-crd"], &["help", "red-card"]] {
        let outcome = Sandbox::new().run(args);
        let printed = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(!printed.contains("write-card") && !printed.contains("read-card"), "{args:?}: {printed}");
    }
    Sandbox::new().run(&["help", "read-card"]).assert_code(2).assert_stdout("");
    Sandbox::new().run(&["flahs"]).assert_code(2).assert_stderr_contains("'flash'");
}
