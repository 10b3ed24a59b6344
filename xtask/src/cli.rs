//! The command line.

use std::num::NonZero;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

/// Takes a Raspberry Pi from a NixOS flake to a running, proven machine.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, disable_help_subcommand = true)]
pub struct Cli {
    /// The flake to work on (default: this repository)
    #[arg(long, global = true, value_name = "REF")]
    pub flake: Option<String>,
    /// Print results as JSON, and events as JSON lines on stderr
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build a host's SD image and print its path
    SdImage(SdImage),
    /// Write an image to a card, and prove that it is on it
    #[command(
        override_usage = "cargo xtask flash [OPTIONS] HOST DEVICE\n       cargo xtask flash [OPTIONS] --image FILE DEVICE"
    )]
    Flash(Flash),
    /// Deploy a host over ssh with deploy-rs, and prove on the host that it took
    Deploy(Deploy),
    /// List the hosts of the flake that have an SD image or a deploy node
    Hosts,
    /// List the cards that are plugged in, and say whether `flash` would take them
    Devices(Devices),
    /// Say whether this machine can build images, and if not, what is missing
    Doctor,
    /// Put in place what this machine lacks for building, flashing and deploying
    Setup(Setup),
    /// Go the whole way on this machine, without a Pi: build a small real image and write it to a virtual card
    Demo,
    /// Run formatting, lints and all test suites that this machine can run
    Test(Test),
    /// Measure this tool against the programs that people use instead
    Bench(Bench),
    /// The writer that `flash` starts, elevated if need be: a plan on stdin, events on stdout
    #[command(hide = true, name = crate::flash::COMMAND)]
    WriteCard,
}

#[derive(Debug, Args)]
pub struct Flash {
    /// The host whose image is built and written, unless --image is given; and the card, such as /dev/mmcblk0
    #[arg(required = true, num_args = 1..=2, value_names = ["HOST", "DEVICE"])]
    pub words: Vec<String>,
    /// Write this image file (.img, .img.zst, .img.xz, .img.gz) instead of a host's
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// Do not ask; needs --expect-size or --expect-serial
    #[arg(long)]
    pub yes: bool,
    /// Refuse a card that has not exactly this size (bytes, or with KiB, MiB, GiB)
    #[arg(long, value_name = "SIZE")]
    pub expect_size: Option<String>,
    /// Refuse a card that has not this serial number
    #[arg(long, value_name = "SERIAL")]
    pub expect_serial: Option<String>,
    /// Take a loop device or a plain file for a card
    #[arg(long)]
    pub allow_virtual: bool,
    /// Leave the card in its place when it is written
    #[arg(long)]
    pub no_eject: bool,
}

#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    pub what: Benchmark,
}

#[derive(Debug, Subcommand)]
pub enum Benchmark {
    /// Flash virtual cards, as slow as SD cards and as fast as memory, with every writer that is installed
    Flash(BenchFlash),
}

#[derive(Debug, Args)]
pub struct BenchFlash {
    /// How often each writer runs; the result is the median
    #[arg(long, value_name = "N", default_value = "3")]
    pub rounds: NonZero<u32>,
    /// Only this case; may be given several times
    #[arg(long, value_name = "CASE", value_parser = PossibleValuesParser::new(crate::bench::names()))]
    pub only: Vec<String>,
    /// Passed on to `flash`
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
}

#[derive(Debug, Args)]
pub struct Setup {
    /// Run by sudo, without asking, what needs root
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct Test {
    /// Only these suites, such as unit and cli
    #[arg(value_name = "SUITE")]
    pub suites: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Devices {
    /// List every disk, with the reason why it is no card
    #[arg(long)]
    pub all: bool,
    /// Count loop devices as cards
    #[arg(long)]
    pub allow_virtual: bool,
}

#[derive(Debug, Args)]
pub struct SdImage {
    /// The host, as `cargo xtask hosts` lists it
    pub host: String,
    /// Arguments passed on to `nix build`
    #[arg(last = true, value_name = "NIX ARGS")]
    pub nix_args: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Deploy {
    /// The host: a node of deploy-rs, `deploy.nodes.<HOST>`
    pub host: String,
    /// Arguments passed on to deploy-rs
    #[arg(last = true, value_name = "DEPLOY ARGS")]
    pub deploy_args: Vec<String>,
}
