//! The help of each command.

use crate::support::Sandbox;

const JSON: &str = "Print results as JSON, and events as JSON lines on stderr\n";

/// The options of all commands are in one group, behind those of its own. `--flake` is offered where it is read.
#[test]
fn options_of_all_commands() {
    let flake =
        "      --flake <REF>  The flake to work on, a folder or a reference such as github:owner/name";
    let default = "                     (default: this repository)";
    let both = format!("{flake}\n{default}\n      --json         {JSON}");
    let alone = format!("      --json  {JSON}");
    for (command, expected) in [
        ("sd-image", &both),
        ("flash", &both),
        ("deploy", &both),
        ("status", &both),
        ("history", &alone),
        ("hosts", &both),
        ("devices", &both),
        ("card", &both),
        ("card inspect", &alone),
        ("card verify", &both),
        ("card check", &both),
        ("identity", &both),
        ("identity show", &alone),
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

/// Whoever always gives `--flake` may give it to all commands, on either side of the name.
#[test]
fn a_flake_that_nobody_reads() {
    for args in [["--flake", "/none", "history"], ["history", "--flake", "/none"]] {
        let text = "there is no receipt: nothing was flashed or deployed from this checkout yet\n";
        Sandbox::new()
            .run(&args)
            .assert_stderr_contains(text)
            .assert_code(0)
            .assert_stdout("WHEN  WHAT  HOST  VERDICT  TIME  CONTENT\n");
    }
}
