//! The real binary against fake programs: exact argument vectors, stdout, stderr and exit codes.

mod bench;
mod boot;
mod build_errors;
mod cache_key;
mod card;
mod checksums;
mod colours;
mod completions;
mod deploy;
mod deploy_args;
mod deploy_fixture;
mod deploy_several;
mod deploy_stopped;
mod deploy_to;
mod doctor;
mod dry_run;
mod emulation;
mod escapes;
mod fake_build;
mod fake_nix;
mod flakes_with_login;
mod flash;
mod help;
mod history;
mod hosts;
mod hosts_evaluated;
mod identities;
mod identity;
mod identity_backups;
mod identity_walks;
mod logs;
mod missing_nix;
mod new_host;
mod new_host_fixture;
mod next_steps;
mod nix_args;
mod overview;
mod platforms;
mod release_out;
mod releases;
mod restore;
mod rollback;
mod sd_image;
mod sd_images;
mod setup;
mod state;
mod status;
mod suites;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod unknown_names;
mod up;
mod variables;
mod which_flake;
mod widths;

use support::Sandbox;

#[test]
fn an_unknown_command_is_a_usage_error() {
    Sandbox::new().run(&["no-such-command"]).assert_stderr_contains("unrecognized subcommand").assert_code(2);
}

#[test]
fn the_help_of_test_lists_every_suite() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run(&["test", "no-such-suite"]);
    let suites =
        outcome.assert_code(2).stderr.trim().split_once("hint: the suites are ").expect("a list of suites").1;
    let help = sandbox.run(&["test", "--help"]);
    let help = help.assert_code(0).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    // Behind a suite, the help names the suites that it includes.
    let mut names = help.clone();
    while let Some((before, rest)) = names.split_once(" (with ") {
        names = format!("{before}{}", rest.split_once(')').expect("a closing parenthesis").1);
    }
    assert!(names.contains(&format!("without formatting and lints: {suites}. ")), "{help}");
}

#[test]
fn flash_takes_a_host_or_an_image_and_a_device() {
    let sandbox = Sandbox::new();
    let help = sandbox.run(&["flash", "--help"]);
    let lines = help.assert_code(0).stdout.lines().map(str::trim).collect::<Vec<_>>();
    for text in [
        "Usage: cargo xtask flash [OPTIONS] <HOST> [DEVICE]",
        "cargo xtask flash [OPTIONS] --image <FILE> [DEVICE]",
        "The host whose image is built",
        "cargo xtask flash [OPTIONS] <HOST> <HOST>...",
        "[HOST|DEVICE]...",
    ] {
        assert!(lines.iter().any(|line| line.contains(text)), "{text}: {lines:?}");
    }
    let error = "error: neither a host nor an image is named\nhint: name the host or pass --image FILE; without a device, you pick or insert a card\n";
    for args in [&["flash"][..], &["flash", "--yes"], &["flash", "--yes", "/dev/sdx"]] {
        sandbox.run(args).assert_code(2).assert_stdout("").assert_stderr(error);
    }
    // Options may stand between the arguments.
    for args in [
        ["flash", "stinky", "--yes", "/dev/no-card", "--allow-virtual"],
        ["flash", "--image", "a.img", "/dev/no-card", "--yes"],
        ["flash", "/dev/no-card", "--yes", "--image", "a.img"],
    ] {
        sandbox.run(&args).assert_stderr_contains("there is no /dev/no-card\n").assert_code(3);
    }
}

#[test]
fn with_json_a_usage_error_is_an_event_and_help_stays_text() {
    let outcome = Sandbox::new().run(&["--json", "flash", "--no-such-option"]);
    let error = outcome.assert_code(2).json_error();
    assert_eq!((outcome.events().len(), &error["kind"]), (1, &"usage".into()));
    let message = error["message"].as_str().expect("a text");
    assert!(message.starts_with("unexpected argument '--no-such-option' found"), "{message}");
    assert!(
        Sandbox::new().run(&["--json", "--help"]).assert_code(0).stdout.starts_with("Take a Raspberry Pi")
    );
}

#[test]
fn a_full_stdout_is_an_error_and_a_closed_pipe_is_none() {
    let sandbox = Sandbox::new();
    let run = |stdout: std::fs::File| sandbox.xtask(&["devices", "--all", "--json"]).stdout(stdout).run();
    let full_disk = || std::fs::File::options().write(true).open("/dev/full").expect("opening /dev/full");
    let error = "writing the result to stdout: No space left on device";
    run(full_disk()).assert_stderr_contains(error).assert_code(5);
    let help = sandbox.xtask(&["flash", "--help"]).stdout(full_disk()).run();
    help.assert_stderr_contains(error).assert_code(5);
    let (reader, writer) = std::io::pipe().expect("making a pipe");
    drop(reader);
    let closed = run(std::fs::File::from(std::os::fd::OwnedFd::from(writer)));
    closed.assert_code(0).assert_stderr("");
}
