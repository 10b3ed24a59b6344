//! The command line of `new-host`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};

use super::NixArgs;
use crate::boot::Board;

/// The text after the options of `new-host`.
pub(super) const EXAMPLES: &str = "\
Examples:
  cargo xtask new-host smelly --board pi4 --admin anna --ssh-key anna.pub
  cargo xtask new-host garage --board pi02 --admin anna --wifi --address 10.0.0.7";

/// A board that a host can name in its option `raspberryPi.boards`.
#[derive(Clone, Copy, Debug)]
pub struct OptionBoard {
    pub board: Board,
    /// The name in the option.
    pub name: &'static str,
}

impl OptionBoard {
    fn all() -> impl Iterator<Item = Self> {
        Board::pis().filter_map(|board| Some(Self { board, name: board.option_name()? }))
    }
}

/// The parser of the boards that a host can have: the help, the completions and the error list no others.
fn boards() -> impl TypedValueParser<Value = OptionBoard> {
    let names = OptionBoard::all().filter_map(|known| known.board.to_possible_value());
    PossibleValuesParser::new(names.collect::<Vec<_>>()).try_map(|name| {
        let board = Board::from_str(&name, false)?;
        OptionBoard::all()
            .find(|known| known.board == board)
            .ok_or_else(|| format!("{name} is no board of a host"))
    })
}

#[derive(Debug, Args)]
pub struct NewHost {
    /// The name of the new host, in the flake and on the network
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The board that the host has to boot
    #[arg(long, value_name = "BOARD", value_parser = boards())]
    pub board: OptionBoard,
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
