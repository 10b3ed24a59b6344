//! The command line.

mod card;
mod deploy;
mod identity;

use std::num::NonZero;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Arg, Args, Parser, Subcommand};

pub use card::{Card, CardCheck, CardCommand, CardInspect, CardVerify};
pub use deploy::{Deploy, History, Status};
pub use identity::{Identity, IdentityCommand, IdentityOf, PayloadArgs};

/// What follows the list of commands.
const AFTER_HELP: &str = "\
From a flake to a running host:
  cargo xtask sd-image HOST        build the image, and see where it is
  cargo xtask flash HOST DEVICE    build it, write it to a card, and read it back
  cargo xtask deploy HOST          from then on, over ssh
  cargo xtask status               what runs where

Exit codes: 0 done, 1 failed, 2 wrong command line or no such host, 3 refused before anything was changed, 4 read back \
otherwise than written, 5 input or output, 6 no permission, 10 to 14 as docs/deploying.md says, 130 stopped by the user";

/// The heading of the options that all commands have, which follow those of their own.
const GLOBAL: &str = "Global options";

/// What follows the options of `flash`.
const FLASH_EXAMPLES: &str = "\
Examples:
  cargo xtask flash stinky
  cargo xtask flash stinky /dev/mmcblk0
  cargo xtask flash --image nixos.img.zst /dev/sdb
  cargo xtask flash stinky /dev/sdb --yes --expect-serial 4C530001";

/// Takes a Raspberry Pi from a NixOS flake to a running, proven machine.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    disable_help_subcommand = true,
    after_help = AFTER_HELP
)]
pub struct Cli {
    /// The flake to work on, a folder or a reference such as github:owner/name (default: this repository)
    #[arg(long, global = true, value_name = "REF", help_heading = GLOBAL)]
    pub flake: Option<String>,
    /// Print results as JSON, and events as JSON lines on stderr
    #[arg(long, global = true, help_heading = GLOBAL)]
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
        override_usage = "cargo xtask flash [OPTIONS] <HOST> [DEVICE]\n       cargo xtask flash [OPTIONS] --image <FILE> [DEVICE]",
        after_help = FLASH_EXAMPLES
    )]
    Flash(Flash),
    /// Deploy a host over ssh with deploy-rs, and prove on the host that it took
    #[command(
        override_usage = "cargo xtask deploy [OPTIONS] <HOST>... [-- <DEPLOY ARGS>...]\n       cargo xtask deploy [OPTIONS] --all [-- <DEPLOY ARGS>...]"
    )]
    Deploy(Deploy),
    /// Say what runs where: how far each host is from the flake, and what is wrong with it
    Status(Status),
    /// Say what was flashed and deployed from here, the newest last
    #[command(arg = no_flake())]
    History(History),
    /// List the hosts of the flake that have an SD image or a deploy node
    Hosts,
    /// List the cards that are plugged in, and say whether `flash` would take them
    Devices(Devices),
    /// Look at a card: what is on it, whether it still is what was written, whether it holds what it says
    Card(Card),
    /// Show or make the ssh host key that the cards of a host get
    Identity(Identity),
    /// Say whether this machine can build images and deploy, and if not, what is missing
    #[command(arg = no_flake())]
    Doctor,
    /// Put in place what this machine lacks for building, flashing and deploying
    #[command(arg = no_flake())]
    Setup(Setup),
    /// Go the whole way without a Pi: build a small real image, and write it to a virtual card
    #[command(arg = no_flake())]
    Demo(Demo),
    /// Run formatting, lints and all test suites that this machine can run
    #[command(arg = no_flake())]
    Test(Test),
    /// Measure this tool against the programs that people use instead
    #[command(arg = no_flake())]
    Bench(Bench),
    /// The worker that is started for what needs the card itself, elevated if need be: a job on stdin,
    /// events on stdout
    #[command(hide = true, name = crate::card::worker::Access::Write.command())]
    WriteCard,
    /// The same, for jobs that only read
    #[command(hide = true, name = crate::card::worker::Access::Read.command())]
    ReadCard,
}

impl Command {
    /// Whether the flake of the user is evaluated, which may build parts of it.
    pub fn evaluates(&self) -> bool {
        match self {
            Self::Deploy(_) | Self::Hosts | Self::SdImage(_) | Self::Status(_) => true,
            Self::Flash(args) => args.image.is_none(),
            _ => false,
        }
    }

    /// Where keys of hosts are, if the user says so.
    pub fn identity_dir(&self) -> Option<&Path> {
        match self {
            Self::Flash(args) => args.packed.identity_dir.as_deref(),
            _ => None,
        }
    }

    /// Whether the flake may set any option of ssh.
    pub fn trusts_flake(&self) -> bool {
        match self {
            Self::Deploy(args) => args.trust.trust_flake,
            Self::Status(args) => args.trust.trust_flake,
            _ => false,
        }
    }
}

/// `--flake` where nothing reads it: it is not offered, and taken all the same, as before the name of the command.
fn no_flake() -> Arg {
    Arg::new("flake").long("flake").value_name("REF").global(true).hide(true)
}

/// A limit of memory; none at all would let nothing be decompressed.
fn memory(text: &str) -> anyhow::Result<u64> {
    match crate::base::parse_bytes(text)? {
        0 => anyhow::bail!("with no memory nothing can be decompressed; leave it out for 256 MiB"),
        size => Ok(size),
    }
}

/// How often something is measured.
fn rounds(text: &str) -> Result<NonZero<u32>, &'static str> {
    text.parse().map_err(|_| "it takes a whole number, 1 or more")
}

#[derive(Debug, Args)]
pub struct Flash {
    /// The host whose image is built and written, as `cargo xtask hosts` lists it; none with --image
    #[arg(value_name = "HOST")]
    pub first: Option<String>,
    /// The card, as `cargo xtask devices` lists it; all that is on it will be lost. Without it, the card
    /// that is inserted next
    #[arg(value_name = "DEVICE")]
    pub second: Option<String>,
    /// Write this file instead of a host's image: .img, .img.zst, .img.xz or .img.gz
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    #[command(flatten)]
    pub confirm: ConfirmArgs,
    #[command(flatten)]
    pub packed: PayloadArgs,
    /// Unmount the card without asking, if it is mounted
    #[arg(long)]
    pub unmount: bool,
    /// How the image gets onto the card; after each of them the card holds it exactly
    #[arg(long, value_enum, default_value_t)]
    pub mode: crate::card::flash::Mode,
    /// Check the image once more, even if it was found whole before and nobody has touched it since
    #[arg(long)]
    pub check_image: bool,
    /// Let decompressing the image take this much memory, such as 1GiB, where it says that it takes more than 256 MiB
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub memory_limit: Option<u64>,
    /// Do not eject the card when it is written
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
    /// Assemble an SD image with programs of this machine, and with those of a Pi, which are emulated
    Assemble(BenchAssemble),
    /// Deploy to hosts in namespaces of this machine, with proof and with deploy-rs alone
    Deploy(BenchDeploy),
}

#[derive(Debug, Args)]
pub struct BenchFlash {
    /// How often each writer runs; the result is the median
    #[arg(long, value_name = "N", default_value = "3", value_parser = rounds)]
    pub rounds: NonZero<u32>,
    /// Only this case; may be given several times
    #[arg(long, value_name = "CASE", value_parser = PossibleValuesParser::new(crate::dev::bench::names()))]
    pub only: Vec<String>,
    /// How `flash` is to do it
    #[arg(long, value_enum)]
    pub mode: Option<crate::card::flash::Mode>,
}

/// How somebody agrees that a card is written.
#[derive(Debug, Args)]
pub struct ConfirmArgs {
    /// Do not ask for the name of the card; needs --expect-size or --expect-serial
    #[arg(long)]
    pub yes: bool,
    /// Refuse a card that has not exactly this size: bytes, or a whole number with KiB, MiB, GiB, TiB, KB, MB, GB or TB
    #[arg(long, value_name = "SIZE")]
    pub expect_size: Option<String>,
    /// Refuse a card that has not this serial number
    #[arg(long, value_name = "SERIAL")]
    pub expect_serial: Option<String>,
    /// Take a loop device or a plain file too, which are no cards
    #[arg(long)]
    pub allow_virtual: bool,
}

#[derive(Debug, Args)]
pub struct BenchAssemble {
    /// How often each is done; the result is the median
    #[arg(long, value_name = "N", default_value = "3", value_parser = rounds)]
    pub rounds: NonZero<u32>,
}

#[derive(Debug, Args)]
pub struct BenchDeploy {
    /// How often each is done; the result is the median
    #[arg(long, value_name = "N", default_value = "3", value_parser = rounds)]
    pub rounds: NonZero<u32>,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Boot the card twice in QEMU too, and read on its console that the host does what it should
    #[arg(long, value_enum, value_name = "MACHINE", num_args = 0..=1, default_missing_value = "virt")]
    pub boot: Option<crate::dev::qemu::Machine>,
}

#[derive(Debug, Args)]
pub struct Setup {
    /// Do not ask before what needs root is run by sudo
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct Test {
    /// Only these suites, without formatting and lints: unit, boot, build, cli, database, deploy, device, evaluation, flake,
    /// fuzz, image, nix (with database and image). fuzz runs the property tests of all parsers for minutes, and runs only
    /// where it is named. A suite that is named and that this machine cannot run whole is a failure
    #[arg(value_name = "SUITE")]
    pub suites: Vec<String>,
    /// For how many minutes the suite fuzz runs, all parsers together (default: 1)
    #[arg(long, value_name = "N", value_parser = rounds)]
    pub minutes: Option<NonZero<u32>>,
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
    /// Arguments passed on to `nix build`, such as --max-jobs 2
    #[arg(last = true, value_name = "NIX ARGS")]
    pub nix_args: Vec<String>,
}
