//! The command line of the commands that read receipts: `rollback` and `history`.

use clap::Args;

use super::deploy::parse_host;
use super::{Candidates, DeployArgs};
use crate::base::HostName;

/// The text after the options of `rollback`.
pub(super) const ROLLBACK_EXAMPLES: &str = "\
Examples:
  cargo xtask rollback stinky                the system before the present one
  cargo xtask rollback stinky 12 --dry-run   that of receipt 12 of `history stinky`
  cargo xtask rollback stinky v1.2 --reboot  that of a revision, tried by a reboot";

#[derive(Debug, Args)]
pub struct Rollback {
    /// The host, as `cargo xtask hosts` lists it
    #[arg(value_parser = parse_host, add = Candidates::RecordedHosts)]
    pub host: HostName,
    /// The number of a receipt, as `cargo xtask history HOST` lists it, or a revision of git (default: the receipt of
    /// the system before the present one)
    #[arg(value_name = "TO", add = Candidates::Receipts)]
    pub wanted: Option<String>,
    #[command(flatten)]
    pub how: DeployArgs,
}

#[derive(Debug, Args)]
pub struct History {
    /// List only the receipts of this host
    #[arg(value_parser = parse_host, add = Candidates::RecordedHosts)]
    pub host: Option<HostName>,
    /// Show for each system of the host how its packages differ from those of the system before, as far as the Nix
    /// store of this machine still has both
    #[arg(long, requires = "host")]
    pub diff: bool,
}
