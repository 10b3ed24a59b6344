//! The real binary against fake programs: exact argument vectors, stdout, stderr and exit codes.

#[path = "cli/deploy.rs"]
mod deploy;
#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/fake_nix.rs"]
mod fake_nix;
#[path = "cli/flash.rs"]
mod flash;
#[path = "cli/hosts.rs"]
mod hosts;
#[path = "cli/sd_image.rs"]
mod sd_image;
mod support;

use support::Sandbox;

#[test]
fn an_unknown_command_is_a_usage_error() {
    Sandbox::new().run(&["no-such-command"]).says("unrecognized subcommand").exits(2);
}
