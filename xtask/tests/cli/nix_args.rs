//! The arguments for Nix behind `--`.

use crate::support::Sandbox;

/// A line of each command that takes arguments for Nix, and whether the command builds.
const LINES: &[(&str, bool)] = &[
    ("sd-image pi --", true),
    ("flash pi /dev/sdx --", true),
    ("boot pi --", true),
    ("restore pi /dev/sdx --", true),
    ("up pi --", true),
    ("card verify /dev/sdx pi --", true),
    ("deploy pi -- --", true),
    ("rollback pi -- --", true),
    ("release pi --out x --", true),
    ("demo --", true),
    ("hosts --", false),
    ("status pi --", false),
    ("new-host pi --board pi4 --admin me --", false),
    ("identity make pi --", false),
    ("identity trust pi --", false),
];

#[test]
fn an_option_with_which_nix_would_do_something_else_is_a_usage_error_of_each_command() {
    let sandbox = Sandbox::with_fakes_only();
    sandbox.fake("nix", "exit 1");
    for (line, builds) in LINES {
        let run = |option: &str| {
            let words = line.split(' ').chain([option]).collect::<Vec<_>>();
            sandbox.run(&[&["--flake", "github:me/pis"], &words[..]].concat())
        };
        let refused = "error: --dry-run cannot be passed to Nix: nothing would be built\nhint: `--plan` of ";
        run("--dry-run").assert_code(2).assert_stdout("").assert_stderr_contains(refused);
        let is_refused = run("--no-link").stderr.contains("--no-link cannot be passed to Nix");
        assert_eq!(is_refused, !builds, "{line}");
    }
}

#[test]
fn an_option_that_this_tool_lacks_is_not_sent_to_nix() {
    let sandbox = Sandbox::with_fakes_only();
    let run = |option: &str| sandbox.run(&["sd-image", "pi", option, "x"]);
    let outcome = run("--no-such");
    assert!(!outcome.assert_code(2).stderr.contains("tip:"), "{outcome:?}");
    let tip = "  tip: arguments for Nix stand behind `--`, of `deploy` and `rollback` behind a second `--`\n";
    run("--override-input").assert_code(2).assert_stderr_contains(tip);
}
