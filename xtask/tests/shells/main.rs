//! The scripts of `completions`, sourced by real shells on a terminal: they complete commands, options and hosts.

use std::fs;
use std::process::Command;

#[path = "../support/mod.rs"]
mod support;

use support::Sandbox;
use support::terminal::Terminal;

/// What the tests type on a shell's terminal, each up to Tab, and the line that the shell makes of it.
const CASES: &[(&str, &str)] = &[
    (" identity ren", " identity rename"),
    (" flash --no-e", " flash --no-eject"),
    (" flash --mode=de", " flash --mode=delta"),
    (" deploy sti", " deploy stinky"),
    (" flash --image ./flake.n", " flash --image ./flake.nix"),
];

/// A sandbox with a flake of two hosts, which a fake Nix names, and the script of `shell` in the file `script`: for the
/// alias of cargo, or for a program on `PATH`.
fn sandbox(shell: &str, is_of_cargo: bool) -> Sandbox {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("flake/flake.nix"), "").expect("writing a flake");
    fs::create_dir(sandbox.path("flake/.git")).expect("making a repository");
    let names = r#"{"packages":{},"images":[],"nodes":["stinky"],"broken":[],"configurations":[["nixosConfigurations","smelly"]]}"#;
    sandbox.fake("nix", &format!("case \"$*\" in *eval*) echo '{names}';; *) exit 1;; esac"));
    let link = sandbox.path("bin/xtask");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_xtask"), &link).expect("linking the program");
    let run = sandbox.xtask(&["completions", shell]);
    // cargo sets the variable for what it runs, such as this test.
    let run = run.env("CARGO_PKG_NAME", if is_of_cargo { "xtask" } else { "" });
    let outcome = run.current_dir(sandbox.path("flake")).run();
    outcome.assert_code(0).assert_stderr("");
    fs::write(sandbox.path("script"), &outcome.stdout).expect("writing the script");
    sandbox
}

/// The command that runs the shell `words` on a terminal of its own, in the flake of `sandbox`.
fn shell(sandbox: &Sandbox, words: &[&str]) -> Command {
    in_flake(sandbox, &[&["setsid", "--ctty"], words].concat())
}

/// The command `words` with the environment of the tool, in the flake of `sandbox`.
#[expect(clippy::disallowed_methods, reason = "the suite starts shells itself")]
fn in_flake(sandbox: &Sandbox, words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("TERM", "vt100").env_remove("FPATH").current_dir(sandbox.path("flake"));
    for (name, value) in sandbox.command(&[]).get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Types `setup`, then each of [`CASES`] behind `program`, with Tab.
fn check_cases(terminal: &mut Terminal, setup: &str, program: &str) {
    terminal.type_keys(&format!("{setup}; echo re''ady >&2\n")).wait_for("ready");
    for (typed, expected) in CASES {
        // Ctrl-U clears the line for the next case.
        terminal.type_keys(&format!("{program}{typed}\t")).wait_for(&format!("{program}{expected}"));
        terminal.type_keys("\x15");
    }
}

#[test]
#[ignore = "needs zsh and fish: run `cargo xtask test`"]
fn bash_completes_the_program_and_the_alias() {
    for (is_of_cargo, program) in [(false, "xtask"), (true, "cargo xtask")] {
        let sandbox = sandbox("bash", is_of_cargo);
        let mut terminal = Terminal::run(shell(&sandbox, &["bash", "--norc", "--noprofile", "-i"]));
        let script = sandbox.path("script");
        check_cases(&mut terminal, &format!("source {}", script.display()), program);
        terminal.type_keys("exit\n");
        terminal.finish();
    }
}

#[test]
#[ignore = "needs zsh and fish: run `cargo xtask test`"]
fn bash_keeps_the_completions_of_cargo() {
    let sandbox = sandbox("bash", true);
    let mut terminal = Terminal::run(shell(&sandbox, &["bash", "--norc", "--noprofile", "-i"]));
    let script = sandbox.path("script");
    let setup = "_own() { COMPREPLY=(generate-lockfile); }; complete -F _own cargo";
    terminal
        .type_keys(&format!("{setup}; source {}; echo re''ady >&2\n", script.display()))
        .wait_for("ready");
    terminal.type_keys("cargo gen\t").wait_for("cargo generate-lockfile");
    terminal.type_keys("\x15cargo xtask dep\t").wait_for("cargo xtask deploy");
    terminal.type_keys("\x15exit\n");
    terminal.finish();
}

#[test]
#[ignore = "needs zsh and fish: run `cargo xtask test`"]
fn zsh_completes_the_program_and_the_alias() {
    for (is_of_cargo, program) in [(false, "xtask"), (true, "cargo xtask")] {
        let sandbox = sandbox("zsh", is_of_cargo);
        let mut terminal = Terminal::run(shell(&sandbox, &["zsh", "-f", "-i"]));
        let setup = format!(
            "autoload -U compinit; compinit -u -d {}; source {}",
            sandbox.path("zcompdump").display(),
            sandbox.path("script").display()
        );
        check_cases(&mut terminal, &setup, program);
        terminal.type_keys("exit\n");
        terminal.finish();
    }
}

/// As the package installs it: a file of `fpath`, which zsh loads for the first completion.
#[test]
#[ignore = "needs zsh and fish: run `cargo xtask test`"]
fn zsh_loads_the_script_of_a_package() {
    let sandbox = sandbox("zsh", false);
    let folder = sandbox.path("site-functions");
    fs::create_dir(&folder).expect("making a folder");
    fs::copy(sandbox.path("script"), folder.join("_xtask")).expect("installing the script");
    let mut terminal = Terminal::run(shell(&sandbox, &["zsh", "-f", "-i"]));
    let dump = sandbox.path("zcompdump");
    let setup = format!(
        "fpath=({} $fpath); autoload -U compinit; compinit -u -d {}",
        folder.display(),
        dump.display()
    );
    check_cases(&mut terminal, &setup, "xtask");
    terminal.type_keys("exit\n");
    terminal.finish();
}

/// fish lists the completions of a line itself.
#[test]
#[ignore = "needs zsh and fish: run `cargo xtask test`"]
fn fish_completes_the_program_and_the_alias() {
    for (is_of_cargo, program) in [(false, "xtask"), (true, "cargo xtask")] {
        let sandbox = sandbox("fish", is_of_cargo);
        for (typed, expected) in CASES {
            let script = sandbox.path("script").display().to_string();
            let list = format!("source {script}; complete --do-complete '{program}{typed}'");
            let words = ["fish", "--no-config", "--command", &list];
            let output = in_flake(&sandbox, &words).output().expect("running fish");
            let found = String::from_utf8_lossy(&output.stdout).into_owned();
            let word = expected.split(' ').next_back().expect("a word");
            let values = found.lines().map(|line| line.split('\t').next().unwrap_or_default());
            assert!(values.clone().any(|value| value == word), "{typed}: {found}");
        }
    }
}
