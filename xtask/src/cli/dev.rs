//! The command line of the commands for development: `bench` and `test`.

use std::num::NonZero;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, ValueHint};
use clap_complete::{ArgValueCandidates, CompletionCandidate};

use super::whole_number::whole_number;
use crate::dev::bench::Payload;
use crate::dev::suites;

#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    pub benchmark: Benchmark,
}

#[derive(Debug, Subcommand)]
pub enum Benchmark {
    /// Flash virtual cards, as slow as SD cards and as fast as memory, with every installed writer
    Flash(BenchFlash),
    /// Assemble an SD image with native programs, and with those of a Pi under emulation
    Assemble(BenchAssemble),
    /// Deploy to hosts in namespaces of this machine, with this tool and with deploy-rs alone
    Deploy(BenchDeploy),
    /// Measure each phase between a small change of a host and its card: assemble, check, flash
    Edit(BenchEdit),
    /// List the 60 hosts of a flake, with this tool and with `nix eval` alone; build an image that is there, with this
    /// tool and with `nix build` alone
    Hosts(BenchHosts),
    /// Evaluate copies of the host of this repository together, against one after the other
    Evaluate(BenchEvaluate),
    /// Reboot guests in QEMU into a new system, on trial and without a trial
    Trial(BenchTrial),
    /// Ask and deploy many hosts in namespaces of this machine, of which a fifth is dead or fails
    Fleet(BenchFleet),
    /// Write an image to several cards at once, against the same image to one card
    Cards(BenchCards),
}

#[derive(Debug, Args)]
pub struct BenchFleet {
    /// How many hosts the flake has
    #[arg(long, value_name = "N", default_value = "200", value_parser = whole_number(1..=250_u32))]
    pub hosts: u32,
    /// What the path that changes has
    #[arg(long, value_enum, default_value_t = Payload::Programs)]
    pub payload: Payload,
}

#[derive(Debug, Args)]
pub struct BenchCards {
    /// How many cards are written at once
    #[arg(long, value_name = "N", default_value = "8", value_parser = parse_positive)]
    pub cards: NonZero<u32>,
    /// How often each number of cards is written; the result is the median
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse_positive)]
    pub rounds: NonZero<u32>,
}

#[derive(Debug, Args)]
pub struct BenchFlash {
    /// How often each writer runs; the result is the median
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse_positive)]
    pub rounds: NonZero<u32>,
    /// Run only this case; may be given several times
    #[arg(long, value_name = "CASE", value_parser = PossibleValuesParser::new(crate::dev::bench::names()))]
    pub only: Vec<String>,
    /// The mode of `flash`
    #[arg(long, value_enum)]
    pub mode: Option<crate::card::flash::Mode>,
}

#[derive(Debug, Args)]
pub struct BenchAssemble {
    /// How often each variant runs; the result is the median
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse_positive)]
    pub rounds: NonZero<u32>,
}

#[derive(Debug, Args)]
pub struct BenchDeploy {
    /// How often each variant runs; the result is the median
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse_positive)]
    pub rounds: NonZero<u32>,
}

#[derive(Clone, Debug, Args)]
pub struct BenchEdit {
    /// The size of the synthetic closure in MiB; 200 for a quick try
    #[arg(long, value_name = "N", default_value = "2048", value_parser = parse_positive)]
    pub size: NonZero<u32>,
    /// Measure with the store paths in this file, one a line, in place of a synthetic closure: real content takes less
    /// time to compress
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "size")]
    pub paths: Option<PathBuf>,
    /// How often each way is measured; the result is the median
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse_positive)]
    pub rounds: NonZero<u32>,
    /// Compare with the assembler in this folder, such as that of another revision
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub assembler: Option<PathBuf>,
    /// Compare with `flash` of this program, such as an earlier build
    #[arg(long, value_name = "PROGRAM", value_hint = ValueHint::ExecutablePath)]
    pub tool: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct BenchTrial {
    /// How often each reboot is measured; the result is the difference of the medians
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse_positive)]
    pub rounds: NonZero<u32>,
}

#[derive(Debug, Args)]
pub struct BenchEvaluate {
    /// How many hosts are evaluated
    #[arg(long, value_name = "N", default_value = "8", value_parser = parse_positive)]
    pub hosts: NonZero<u32>,
    /// How often the hosts are evaluated; the result is the median
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse_positive)]
    pub rounds: NonZero<u32>,
    /// Arguments for Nix, such as --override-input nixpkgs ../nixpkgs
    #[arg(last = true, value_name = "NIX ARGS")]
    pub nix_args: Vec<String>,
}

#[derive(Debug, Args)]
pub struct BenchHosts {
    /// How often each program runs; the result is the median
    #[arg(long, value_name = "N", default_value = "31", value_parser = parse_positive)]
    pub rounds: NonZero<u32>,
}

#[derive(Debug, Args)]
pub struct Test {
    /// Run only these suites, without formatting and lints: unit, boot (with trial), boot-cuts, build, cli, database,
    /// deploy, device, docs, evaluation, flake, fuzz, host, image, nix (with database and image), nix-forky,
    /// nix-trixie, setup, shells, trial. boot-cuts (power cuts during a deploy), fuzz (the property tests of all
    /// parsers), host (a host in QEMU), nix-forky and nix-trixie (nix and flake with the Nix of Debian's releases; both
    /// are nix-versions) and trial (faulty systems on trial) take minutes, and run only if they are named. A named
    /// suite that this machine cannot run whole is a failure
    #[arg(value_name = "SUITE", add = ArgValueCandidates::new(suite_names))]
    pub suites: Vec<String>,
    /// Fail where a suite is not run whole, as named suites do. evaluation, whose sources only variables name, may be
    /// left out
    #[arg(long, conflicts_with = "suites")]
    pub whole: bool,
    /// The duration of the suite fuzz in minutes, for all parsers together (default: 1)
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    pub minutes: Option<NonZero<u32>>,
    /// The number of power cuts of the suite boot-cuts after which U-Boot starts the card (default: 10; a long run:
    /// 100)
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    pub cuts: Option<NonZero<u32>>,
}

/// The names of the suites, which complete an argument of `test`.
fn suite_names() -> Vec<CompletionCandidate> {
    suites::names().map(CompletionCandidate::new).collect()
}

/// Parses a whole number, 1 or more.
fn parse_positive(text: &str) -> Result<NonZero<u32>, &'static str> {
    text.parse().map_err(|_| "must be a whole number, 1 or more")
}
