//! The command line of `up`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::completions::Candidates;
use super::deploy::{MAX_WAIT_MINUTES, Trust};
use super::host_ref;
use super::whole_number::whole_number;
use super::{BuildArgs, PayloadArgs, WriteArgs};
use crate::base::{Address, HostName};

/// The text after the options of `up`.
pub(super) const EXAMPLES: &str = "\
Examples:
  cargo xtask up stinky
  cargo xtask up stinky --dry-run
  cargo xtask up stinky /dev/sdb --yes --expect-size 62.5GB --ssh-key me.pub";

/// A step that the user can leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SkippedStep {
    /// The check that somebody can log in to the host
    LoginKeys,
    /// The image, the card and the flash
    Flash,
    /// The wait for the host, and the deploy
    Deploy,
    /// The status at the end
    Status,
}

#[derive(Debug, Args)]
#[command(mut_arg("dry_run", |arg| arg.help("Show which steps are left to do, and do none")))]
pub struct Up {
    /// The host, as `cargo xtask hosts` lists it
    #[arg(value_name = "HOST", add = Candidates::Hosts)]
    pub host: HostName,
    /// The card, as `cargo xtask devices` lists it; all its data will be lost. Without it, one that
    /// is picked from a list, or else the one that is inserted next
    #[arg(value_name = "DEVICE", add = Candidates::Cards)]
    pub device: Option<PathBuf>,
    /// Leave out this step; may be repeated
    #[arg(long, value_enum, value_name = "STEP")]
    pub skip: Vec<SkippedStep>,
    /// Flash a card although the host was flashed before, or answers
    #[arg(long)]
    pub flash: bool,
    /// Wait up to this many minutes for the host to answer
    #[arg(long, value_name = "MINUTES", default_value_t = 15,
          value_parser = whole_number(1..=MAX_WAIT_MINUTES))]
    pub wait: u64,
    /// The address of the host, whatever the flake says. A host with a NixOS configuration then needs no node
    #[arg(long, value_name = "[USER@]ADDRESS")]
    pub to: Option<Address>,
    #[command(flatten)]
    pub build: BuildArgs,
    #[command(flatten)]
    pub payload: PayloadArgs,
    #[command(flatten)]
    pub write: WriteArgs,
    #[command(flatten)]
    pub trust: Trust,
}

impl Up {
    /// Whether a step asks the host.
    pub fn needs_host(&self) -> bool {
        ![SkippedStep::Deploy, SkippedStep::Status].iter().all(|step| self.skip.contains(step))
    }

    /// The host by its name alone: `HOST` also for `#HOST` and `#deploy.nodes.HOST`.
    ///
    /// # Errors
    /// `Usage` for an attribute that is no host.
    pub fn host(&self) -> Result<HostName> {
        host_ref::host(&self.host)
    }
}
