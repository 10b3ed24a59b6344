//! The command line of `new-host`.

use std::path::PathBuf;

use clap::Args;

use super::NixArgs;
use crate::boot::Board;

/// The text after the options of `new-host`.
pub(super) const EXAMPLES: &str = "\
Examples:
  cargo xtask new-host smelly --board pi4 --admin anna --ssh-key ~/.ssh/id_ed25519.pub
  cargo xtask new-host garage --board pi02 --admin anna --wifi --address 10.0.0.7 --git-add";

#[derive(Debug, Args)]
pub struct NewHost {
    /// The name of the new host, in the flake and on the network
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The board that the host has to boot
    #[arg(long, value_enum, value_name = "BOARD")]
    pub board: Board,
    /// The user on the host who administers it and deploys to it
    #[arg(long, value_name = "USER")]
    pub admin: String,
    /// What ssh and deploys connect to: a name that your network knows, or an IP address [default: NAME]
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<String>,
    /// Let the host connect to Wi-Fi networks, whose passwords `flash --wifi` writes to its card
    #[arg(long)]
    pub wifi: bool,
    /// Let the owner of this public key log in, such as `id_ed25519.pub`; may be repeated
    #[arg(long, value_name = "FILE")]
    pub ssh_key: Vec<PathBuf>,
    /// The release of NixOS of the first installation, such as 26.05 [default: that of the flake's nixpkgs]
    #[arg(long, value_name = "RELEASE")]
    pub state_version: Option<String>,
    /// Let git list the new files, without asking: Nix sees no others
    #[arg(long)]
    pub git_add: bool,
    #[command(flatten)]
    pub nix: NixArgs,
}
