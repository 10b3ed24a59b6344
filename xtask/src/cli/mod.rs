//! The command line.

mod board_tip;
mod boot;
mod card;
mod command_path;
mod completions;
mod demo;
mod deploy;
#[cfg(feature = "dev")]
mod dev;
mod environment;
mod flash;
mod flash_targets;
mod help_text;
mod host_ref;
pub mod identity;
mod image;
mod log;
mod needs;
mod new_host;
mod output;
mod output_file;
mod payload;
mod recorded;
mod release;
mod repeated;
mod restore;
mod up;
mod usage_error;
mod whole_number;
mod workstation;

use clap::{Arg, Args, Parser, Subcommand, ValueHint};

pub use boot::{Boot, BootArg};
pub use card::{Card, CardCheck, CardCommand, CardInspect, CardVerify};
pub use completions::{Candidates, Complete, Completions, Internal, ManPages, Shell};
pub use demo::Demo;
pub use deploy::{CacheArgs, Deploy, DeployArgs, MAX_KEPT_SECONDS, Status};
#[cfg(feature = "dev")]
pub use dev::{
    Bench, BenchAssemble, BenchDeploy, BenchEdit, BenchEvaluate, BenchFlash, BenchFleet, BenchHosts,
    BenchTrial, Benchmark, Test,
};
pub use flash::{ConfirmArgs, Flash, ImageArg, WriteArgs};
pub use flash_targets::{CardTarget, CardTo};
pub use help_text::after_help;
pub use identity::{Identity, IdentityCommand};
pub use image::{BuildArgs, BuildHow, ChecksumArgs, EvalArgs, NixArgs, SdImage};
pub use log::Log;
pub use new_host::NewHost;
pub use output::OutputArgs;
pub use payload::{PayloadArgs, WifiPasswordCell};
pub use recorded::{History, Rollback};
pub use release::{MakeRelease, ReleaseArgs};
pub use restore::Restore;
pub use up::{SkippedStep, Up};
pub use usage_error::{failure as usage_error, with_tip};
pub use workstation::{Devices, Setup};

use crate::base::TimeLimit;

/// The heading of the options that all commands share.
const GLOBAL_HEADING: &str = "Global options";

/// Take a Raspberry Pi from a NixOS flake to a running, verified host
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    after_help = after_help(crate::base::program::HELP_WIDTH)
)]
pub struct Cli {
    /// The flake to work on, a folder or a reference such as github:owner/name (default: `XTASK_FLAKE`, or the nearest
    /// flake.nix upwards)
    #[arg(long, global = true, value_name = "REF", help_heading = GLOBAL_HEADING, value_hint = ValueHint::DirPath)]
    pub flake: Option<String>,
    /// Print results as JSON, and events as JSON lines on stderr
    #[arg(long, global = true, help_heading = GLOBAL_HEADING)]
    pub json: bool,
    #[command(flatten)]
    pub output: OutputArgs,
    /// `None` for the overview of where things stand.
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write the files of a new host into the flake, and evaluate it
    #[command(after_help = new_host::EXAMPLES)]
    NewHost(NewHost),
    /// Take a host from the flake to a running machine: image, card, first boot and deploy, as far as they are left
    #[command(after_help = up::EXAMPLES)]
    Up(Box<Up>),
    /// Build the SD images of hosts and print their paths
    SdImage(SdImage),
    /// Write an image to a card and verify it
    #[command(
        override_usage = "cargo xtask flash [OPTIONS] <HOST> [DEVICE] [-- <NIX ARGS>...]\n       cargo xtask flash [OPTIONS] <HOST> <HOST>... [-- <NIX ARGS>...]\n       cargo xtask flash [OPTIONS] --image <FILE> [DEVICE]\n       cargo xtask flash [OPTIONS] [--image <FILE>] --to <DEVICE[=HOST]>... [-- <NIX ARGS>...]",
        after_help = flash::EXAMPLES
    )]
    Flash(Box<Flash>),
    /// Boot an image or a card in QEMU, without changing it, until the host is up
    #[command(
        override_usage = "cargo xtask boot [OPTIONS] <HOST> [-- <NIX ARGS>...]\n       cargo xtask boot [OPTIONS] <DEVICE>\n       cargo xtask boot [OPTIONS] --image <FILE>",
        after_help = boot::EXAMPLES
    )]
    Boot(Boot),
    /// Write a card as its host last had it: the same system, the same identity, and its saved state
    #[command(after_help = restore::EXAMPLES)]
    Restore(Restore),
    /// Deploy hosts over ssh with deploy-rs, and verify on each host that it runs the new system
    #[command(
        override_usage = "cargo xtask deploy [OPTIONS] <HOST>... [-- <DEPLOY ARGS>...]\n       cargo xtask deploy [OPTIONS] <--all|--on <TAG>> [-- <DEPLOY ARGS>...]\n       cargo xtask deploy [OPTIONS] --release <FILE> [HOST]... [-- <DEPLOY ARGS>...]"
    )]
    Deploy(Deploy),
    /// Deploy what an older receipt of a host says: the git revision that its system was built from
    #[command(
        override_usage = "cargo xtask rollback [OPTIONS] <HOST> [TO] [-- <DEPLOY ARGS>...]",
        after_help = recorded::ROLLBACK_EXAMPLES
    )]
    Rollback(Rollback),
    /// Build hosts, and write a signed file that says what each is to run, which `deploy --release` takes
    #[command(
        override_usage = "cargo xtask release [OPTIONS] --out <FILE> <HOST>... [-- <NIX ARGS>...]\n       cargo xtask release [OPTIONS] --out <FILE> <--all|--on <TAG>> [-- <NIX ARGS>...]",
        after_help = release::EXAMPLES
    )]
    Release(MakeRelease),
    /// Show what each host runs, how it differs from the flake, and its faults
    Status(Status),
    /// List the flashes and deploys of the flake's hosts with their receipts, the newest last
    History(History),
    /// Print the log of the last run, or of the last flash or deploy of a host
    Log(Log),
    /// List the hosts of the flake, and where the flake has their images
    Hosts(Hosts),
    /// List the inserted cards, and whether `flash` accepts them
    Devices(Devices),
    /// Inspect a card, verify it against an image, or check its capacity
    Card(Card),
    /// Make, share, back up and restore the ssh host keys of hosts, which their cards get
    Identity(Identity),
    /// Check whether this machine can build images and deploy, and list what is missing
    #[command(arg = hidden_flake_arg())]
    Doctor,
    /// Install what this machine lacks for building, flashing and deploying
    #[command(arg = hidden_flake_arg())]
    Setup(Setup),
    /// Print a script for a shell, which then completes commands, options, hosts and cards
    #[command(arg = hidden_flake_arg(), after_help = completions::EXAMPLES)]
    Completions(Completions),
    /// Build a small real image and flash it to a virtual card: the whole way without a Pi
    #[command(arg = hidden_flake_arg())]
    Demo(Demo),
    /// Run formatting, lints and all test suites that this machine can run
    #[cfg(feature = "dev")]
    #[command(arg = hidden_flake_arg())]
    Test(Test),
    /// Benchmark this tool against its alternatives
    #[cfg(feature = "dev")]
    #[command(arg = hidden_flake_arg())]
    Bench(Bench),
    /// Record the picture of the README from real runs
    #[cfg(feature = "dev")]
    #[command(hide = true, arg = hidden_flake_arg())]
    Record,
}

/// The option `--flake` of a command that reads no flake: the parser accepts the option before and after the name of
/// the command, but the help of the command does not list it.
fn hidden_flake_arg() -> Arg {
    Arg::new("flake").long("flake").value_name("REF").global(true).hide(true)
}

/// Parses a memory limit above 0, and returns it in bytes.
fn parse_memory_limit(text: &str) -> Result<u64, &'static str> {
    match crate::base::parse_bytes(text)? {
        0 => Err("0 leaves no memory for decompression; omit the option for 256 MiB"),
        size => Ok(size),
    }
}

#[derive(Debug, Args)]
pub struct Hosts {
    /// Also evaluate each configuration, to find the images that only an evaluation shows
    #[arg(long)]
    pub evaluate: bool,
    #[command(flatten)]
    pub nix: NixArgs,
}

impl Hosts {
    /// The longest time that one evaluation may take; `None` for the default. With `--evaluate` the default is shorter:
    /// a host whose evaluation does not end must not keep all others waiting for long.
    fn eval_timeout(&self) -> Option<TimeLimit> {
        self.nix.eval.eval_timeout.or_else(|| self.evaluate.then(|| TimeLimit::from_minutes(5)))
    }
}
