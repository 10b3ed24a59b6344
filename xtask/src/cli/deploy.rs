//! The command line of what works on hosts over ssh.

use clap::{ArgGroup, Args};

/// As long as a host can be waited for, in minutes.
const A_WEEK: u64 = 7 * 24 * 60;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["hosts", "all"]).required(true))]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub struct Deploy {
    /// The hosts, as `cargo xtask hosts` lists them: nodes of deploy-rs, `deploy.nodes.<HOST>`
    #[arg(value_name = "HOST", value_parser = host)]
    pub hosts: Vec<String>,
    /// Deploy all nodes of the flake, side by side
    #[arg(long)]
    pub all: bool,
    /// Build it and show what would change; nothing is changed on the host
    #[arg(long, conflicts_with_all = ["boot", "reboot", "health"])]
    pub dry_run: bool,
    /// Let the host boot it from its next boot on, and run on till then as it is
    #[arg(long)]
    pub boot: bool,
    /// Reboot the host once that is done, and prove that it booted and runs what is meant; a host that already does
    /// is not rebooted
    #[arg(long)]
    pub reboot: bool,
    /// Wait for a host that does not answer yet, as after a flash, for so many minutes
    #[arg(long, value_name = "MINUTES", num_args = 0..=1, require_equals = true, default_missing_value = "10",
          value_parser = clap::value_parser!(u64).range(1..=A_WEEK))]
    pub wait: Option<u64>,
    /// A command that must succeed on the host in the end; may be given several times. Of a list, `a; b`, the last one
    /// decides: `a && b` for all of them
    #[arg(long, value_name = "COMMAND", value_parser = command)]
    pub health: Vec<String>,
    #[command(flatten)]
    pub trust: Trust,
    /// Arguments passed on to deploy-rs, such as --hostname 192.168.1.7
    #[arg(last = true, value_name = "DEPLOY ARGS")]
    pub deploy_args: Vec<String>,
}

#[derive(Debug, Args)]
pub struct History {
    /// Only of this host
    #[arg(value_parser = host)]
    pub host: Option<String>,
}

#[derive(Debug, Args)]
pub struct Status {
    /// The hosts, as `cargo xtask hosts` lists them; all that can be deployed where none is named
    #[arg(value_name = "HOST", value_parser = host)]
    pub hosts: Vec<String>,
    #[command(flatten)]
    pub trust: Trust,
}

#[derive(Debug, Args)]
pub struct Trust {
    /// Take all options of ssh that the flake sets, also those that run programs on this machine; without it, a flake that
    /// is no checkout of yours on this machine sets only options that run nothing
    #[arg(long)]
    pub trust_flake: bool,
}

/// No name at all comes of a variable of a script that was not set.
fn host(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("it must be the name of a host") } else { Ok(text.to_owned()) }
}

/// The shell of the host takes nothing for a command that succeeds.
fn command(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("it must be a command for the host") } else { Ok(text.to_owned()) }
}
