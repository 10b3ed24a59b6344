//! What each command says of itself.

use crate::support::Sandbox;

const JSON: &str = "Print results as JSON, and events as JSON lines on stderr\n";

/// The options of all commands are in one group, behind those of its own.
#[test]
fn options_of_all_commands() {
    let flake =
        "      --flake <REF>  The flake to work on, a folder or a reference such as github:owner/name";
    let default = "                     (default: this repository)";
    let both = format!("{flake}\n{default}\n      --json         {JSON}");
    for command in [
        "sd-image",
        "flash",
        "deploy",
        "status",
        "history",
        "hosts",
        "devices",
        "card",
        "card inspect",
        "card verify",
        "card check",
        "identity",
        "identity show",
        "identity make",
        "doctor",
        "setup",
        "demo",
        "test",
        "bench",
        "bench flash",
        "bench assemble",
    ] {
        let args = command.split(' ').chain(["-h"]).collect::<Vec<_>>();
        let outcome = Sandbox::new().run(&args);
        let (own, global) = outcome.exits(0).split_once("\n\nGlobal options:\n").expect(command);
        let global = global.split("\n\n").next().unwrap_or_default().trim_end();
        assert_eq!(global, both.trim_end(), "{command}");
        assert!(!own.contains("--flake <REF>") && !own.contains(JSON.trim_end()), "{command}: {own}");
    }
}
