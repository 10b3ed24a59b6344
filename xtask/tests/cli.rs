//! The real binary against fake programs: exact argument vectors, stdout, stderr and exit codes.

#[path = "cli/deploy.rs"]
mod deploy;
mod support;

use support::Sandbox;

#[test]
fn an_unknown_command_is_a_usage_error() {
    Sandbox::new().run(&["no-such-command"]).says("unrecognized subcommand").exits(2);
}
