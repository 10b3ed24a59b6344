//! `__complete`: what the scripts of `completions` get for a command line, and what they cost.

use std::fs;

use crate::fake_nix::{names_json, print_script};
use crate::support::{Outcome, Sandbox};

/// A sandbox with a flake, and with a Nix that runs `names` to evaluate it.
fn sandbox(names: &str) -> Sandbox {
    let sandbox = Sandbox::with_fakes_only();
    fs::write(sandbox.path("flake/flake.nix"), "").expect("writing a flake");
    fs::create_dir(sandbox.path("flake/.git")).expect("making a repository");
    sandbox.fake("nix", &format!("case \"$*\" in *' eval '*) {names};; *) exit 1;; esac"));
    sandbox
}

/// The completions of the line `words` in the flake.
fn complete(sandbox: &Sandbox, words: &[&str]) -> Outcome {
    let args = [&["__complete", "fish", "--"], words].concat();
    let outcome = sandbox.xtask(&args).current_dir(sandbox.path("flake")).run();
    outcome.assert_code(0).assert_stderr("");
    outcome
}

fn two_hosts() -> String {
    print_script(&names_json(&[], &["smelly"], &["stinky", "$(reboot)"]))
}

#[test]
fn hosts_are_named_by_one_evaluation_that_neither_builds_nor_downloads() {
    let sandbox = sandbox(&two_hosts());
    complete(&sandbox, &["xtask", "deploy", ""]).assert_stdout("smelly\nstinky\n");
    complete(&sandbox, &["xtask", "deploy", "st"]).assert_stdout("stinky\n");
    let calls = sandbox.calls("nix");
    assert_eq!(calls.len(), 2, "{calls:?}");
    let words = calls[0].join(" ");
    for part in ["--offline", "--no-write-lock-file", "allow-import-from-derivation false"] {
        assert!(words.contains(part), "{words}");
    }
    // A key press leaves nothing behind.
    assert!(!sandbox.path("state").exists());
}

#[test]
fn hosts_that_are_known_otherwise_are_named_where_the_flake_fails() {
    let sandbox = sandbox("echo broken >&2; exit 1");
    complete(&sandbox, &["xtask", "deploy", "st"]).assert_stdout("");
    let folder = sandbox.path("state/identity/stinky");
    fs::create_dir_all(&folder).expect("making the folder of a key");
    complete(&sandbox, &["xtask", "deploy", "st"]).assert_stdout("stinky\n");
    complete(&sandbox, &["xtask", "identity", "remove", ""]).assert_stdout("stinky\n");
}

#[test]
fn a_line_outside_of_a_flake_has_no_hosts_and_no_error() {
    let sandbox = Sandbox::with_fakes_only();
    for (shell, words) in [
        ("bash", &["xtask deploy st", "st"][..]),
        ("zsh", &["xtask", "deploy", "st"]),
        ("fish", &["xtask", "deploy", "st"]),
    ] {
        let args = [&["__complete", shell, "--"], words].concat();
        let outcome = sandbox.xtask(&args).current_dir(sandbox.path("home")).run();
        outcome.assert_code(0).assert_stdout("").assert_stderr("");
    }
    let args = ["__complete", "fish", "--", "xtask", "--flake", "/none", "deploy", "st"];
    sandbox.run(&args).assert_code(0).assert_stdout("").assert_stderr("");
}

#[test]
fn each_shell_gets_its_own_lines() {
    let sandbox = Sandbox::with_fakes_only();
    for (shell, words, expected) in [
        ("bash", &["cargo xtask flash --mode=fu", "fu"][..], "full\n"),
        (
            "fish",
            &["xtask", "flash", "--mode=fu"],
            "--mode=full\tWrite everything, whatever the card holds\n",
        ),
        (
            "zsh",
            &["cargo", "xtask", "flash", "--mode", "fu"],
            "full:Write everything, whatever the card holds\n",
        ),
        ("zsh", &["xtask", "restore", "pi", "/dev/none"], ":files\n"),
        ("zsh", &["xtask", "flash", "--files", ""], ":folders\n"),
        ("bash", &["xtask deploy pi -- ", ""], ":files\n"),
        ("fish", &["xtask", "write-"], ""),
    ] {
        let args = [&["__complete", shell, "--"], words].concat();
        sandbox.run(&args).assert_code(0).assert_stdout(expected).assert_stderr("");
    }
}

#[test]
fn the_script_of_an_unknown_shell_is_a_usage_error() {
    Sandbox::new().run(&["completions", "csh"]).assert_stderr_contains("bash, zsh, fish").assert_code(2);
}
