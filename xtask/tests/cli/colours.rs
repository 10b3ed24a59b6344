//! Colours and symbols: when there are any, and where.

use crate::deploy_several::{Change, fixture_with_two_nodes};
use crate::support::Sandbox;
use crate::support::xtask::Xtask;

/// A run of `args` with these variables set, and no others that decide about colours.
fn run_with(sandbox: &Sandbox, args: &[&str], variables: &[(&str, &str)]) -> Xtask {
    let run = sandbox.xtask(args).env_remove("TERM");
    variables.iter().fold(run, |run, (name, value)| run.env(name, value))
}

#[test]
fn the_environment_decides_about_colours() {
    let sandbox = Sandbox::new();
    for (variables, on_terminal, in_pipe) in [
        (&[("TERM", "xterm")][..], true, false),
        (&[("TERM", "xterm"), ("NO_COLOR", "1")], false, false),
        (&[("TERM", "xterm"), ("CLICOLOR", "0")], false, false),
        (&[("TERM", "xterm"), ("CLICOLOR_FORCE", "1")], true, true),
        (&[("TERM", "xterm"), ("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false, false),
        (&[("TERM", "dumb")], false, false),
    ] {
        let missing = ["flash", "--image", "/missing/a.img", "/dev/missing"];
        let run = || run_with(&sandbox, &missing, variables);
        for (stderr, has_colours) in
            [(run().on_narrow_terminal(100).finish().stderr, on_terminal), (run().run().stderr, in_pipe)]
        {
            assert_eq!(stderr.contains('\u{1b}'), has_colours, "{variables:?}: {stderr:?}");
            let error = if has_colours { "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m " } else { "error: " };
            assert!(stderr.starts_with(error), "{variables:?}: {stderr:?}");
        }
    }
}

#[test]
fn json_has_no_colours() {
    let sandbox = Sandbox::new();
    for args in [&["--json", "devices"][..], &["--json", "flash", "--image", "/missing", "/dev/missing"]] {
        let outcome = run_with(&sandbox, args, &[("CLICOLOR_FORCE", "1"), ("TERM", "xterm")]).run();
        assert!(!outcome.stdout.contains('\u{1b}') && !outcome.stderr.contains('\u{1b}'), "{outcome:?}");
    }
}

#[test]
fn the_help_and_the_errors_of_the_command_line_have_the_same_colours() {
    let sandbox = Sandbox::new();
    let coloured = &[("CLICOLOR_FORCE", "1"), ("TERM", "xterm")];
    let help = run_with(&sandbox, &["--help"], coloured).run();
    assert!(help.stdout.contains("\u{1b}[1mUsage:\u{1b}[0m"), "{}", help.stdout);
    let wrong = run_with(&sandbox, &["flsh\u{1b}[31m"], coloured).run();
    wrong.assert_code(2);
    assert!(wrong.stderr.starts_with("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m "), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("flsh\\u{1b}[31m"), "{}", wrong.stderr);
    for args in [&["--help"][..], &["flsh"]] {
        let outcome = run_with(&sandbox, args, &[("TERM", "xterm")]).run();
        assert!(!outcome.stdout.contains('\u{1b}') && !outcome.stderr.contains('\u{1b}'), "{outcome:?}");
    }
}

#[test]
fn the_labels_behind_the_name_of_a_host_have_colours() {
    let fixture = fixture_with_two_nodes(Change { old: r#"["system"]"#, new: r#"["home"]"# });
    let args = ["--flake", "github:o/f", "deploy", "one", "two", "--dry-run"];
    let outcome = run_with(&fixture.sandbox, &args, &[("TERM", "xterm")]).on_narrow_terminal(100).finish();
    let label = "\u{1b}[1mtwo:\u{1b}[0m \u{1b}[1m\u{1b}[33mwarning:\u{1b}[0m deploy.nodes.two needs";
    assert!(outcome.stderr.contains(label), "{}", outcome.stderr);
}
