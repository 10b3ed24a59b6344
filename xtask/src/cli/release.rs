//! The command line of `release`, and the options of the commands that take a release in place of the flake.

use std::path::PathBuf;

use anyhow::Result;
use clap::{ArgGroup, Args, ValueHint};

use super::deploy::{Trust, parse_host, parse_tag};
use super::output_file::output_file;
use super::whole_number::whole_number;
use super::{BuildHow, Candidates, NixArgs, host_ref};
use crate::base::HostName;

/// The text after the options of `release`.
pub(super) const EXAMPLES: &str = "\
Examples:
  cargo xtask release --all --out release.json --sign ~/.ssh/id_ed25519.pub
  cargo xtask release stinky --images --out release.json --sign ci_key
  cargo xtask deploy --release release.json";

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("released").args(["hosts", "all", "on"]).required(true).multiple(true))]
pub struct MakeRelease {
    /// The hosts, as `cargo xtask hosts` lists them
    #[arg(value_name = "HOST", value_parser = parse_host, add = Candidates::Hosts, conflicts_with = "all")]
    pub hosts: Vec<HostName>,
    /// Take all nodes of the flake
    #[arg(long)]
    pub all: bool,
    /// Take the nodes of the flake with this tag alone, also with --all: from `deploy.nodes.HOST.tags` or
    /// `xtask.tags.HOST` of the flake. May be given several times
    #[arg(long, value_name = "TAG", conflicts_with = "hosts", value_parser = parse_tag)]
    pub on: Vec<String>,
    /// The file to write; its signature is FILE.sig
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = output_file())]
    pub out: PathBuf,
    /// Sign with this ssh key: a private key, or the public key (.pub) of one that an agent has
    #[arg(long, value_name = "KEY", value_hint = ValueHint::FilePath)]
    pub sign: Option<PathBuf>,
    /// Also build the image of each host that has one, with its SHA-256
    #[arg(long)]
    pub images: bool,
    /// Refuse to deploy the release after this many days
    #[arg(long, value_name = "NUMBER", value_parser = whole_number(1..=MAX_DAYS))]
    pub expires_in_days: Option<u64>,
    /// Accept a work tree with changes that no commit has, and a flake outside git
    #[arg(long)]
    pub allow_dirty: bool,
    #[command(flatten)]
    pub trust: Trust,
    #[command(flatten)]
    pub builds: BuildHow,
    #[command(flatten)]
    pub nix: NixArgs,
}

/// The most days for which a release may be deployed: a hundred years.
const MAX_DAYS: u64 = 36_500;

impl MakeRelease {
    /// The named hosts, each by its name alone.
    ///
    /// # Errors
    /// `Usage` for an attribute that is no host.
    pub fn hosts(&self) -> Result<Vec<HostName>> {
        host_ref::hosts(&self.hosts)
    }
}

/// A release in place of the flake.
#[derive(Debug, Default, Args)]
pub struct ReleaseArgs {
    /// Take what hosts are to run from this file of `cargo xtask release`, without evaluating the flake. Without a
    /// HOST, all hosts of the file. Its signature, FILE.sig, must be one of an allowed signer
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub release: Option<PathBuf>,
    /// With --release: the allowed signers, as in ssh-keygen(1) (default: `allowed_signers` beside flake.nix)
    #[arg(long, value_name = "FILE", requires = "release", conflicts_with = "unsigned", value_hint = ValueHint::FilePath)]
    pub signers: Option<PathBuf>,
    /// With --release: accept the file without a signature. Who can change it decides what the hosts run
    #[arg(long, requires = "release")]
    pub unsigned: bool,
}
