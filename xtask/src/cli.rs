//! The command line.

use clap::{Args, Parser, Subcommand};

/// Takes a Raspberry Pi from a NixOS flake to a running, proven machine.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", version, disable_help_subcommand = true)]
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
    /// List the hosts of the flake that have an SD image or a deploy node
    Hosts,
    /// Say whether this machine can build images, and if not, what is missing
    Doctor,
    /// Go the whole way on this machine, without a Pi: build a small real image and write it to a virtual card
    Demo,
    /// Build a host's SD image and print its path
    SdImage(SdImage),
    /// Deploy a host over ssh with deploy-rs, and prove on the host that it took
    Deploy(Deploy),
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
