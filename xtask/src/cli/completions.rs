//! The command lines of `completions` and of the commands of its scripts, and what completes the values of arguments.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::ArgExt;
use clap::{Args, Parser, ValueEnum};

/// The text after the options of `completions`.
pub(super) const EXAMPLES: &str = "\
Examples:
  bash, in ~/.bashrc:                   source <(cargo xtask completions bash)
  zsh, in ~/.zshrc, after `compinit`:   source <(cargo xtask completions zsh)
  fish, in ~/.config/fish/config.fish:  cargo xtask completions fish | source";

/// The commands of scripts and packages. The parser of users does not have them, so that no help and no suggestion
/// names them.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub enum Internal {
    /// List the completions of a command line
    #[command(name = "__complete")]
    Complete(Complete),
    /// Write the man pages
    #[command(name = "__man-pages")]
    ManPages(ManPages),
}

impl Internal {
    /// Whether `name`, the first word of a command line, names one of these commands.
    pub fn has(name: &OsStr) -> bool {
        name.as_encoded_bytes().starts_with(b"__")
    }
}

/// A shell with completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct Complete {
    /// The shell that asks
    #[arg(value_enum)]
    pub shell: Shell,
    /// The words of the command line up to the cursor. For bash, the line up to the cursor, and the part of its last
    /// word that a completion replaces
    #[arg(last = true)]
    pub words: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct ManPages {
    /// The folder for the pages
    pub folder: PathBuf,
}

/// What completes the value of an argument, where clap does not know. `commands/complete` finds the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// The hosts of the flake.
    Hosts,
    /// The hosts with receipts.
    RecordedHosts,
    /// The receipts of the host that is named before.
    Receipts,
    /// The hosts whose keys the project has or knows.
    Identities,
    /// The inserted cards, and files.
    Cards,
    /// The hosts of the flake; for a word that begins a path, cards and files.
    HostsAndCards,
}

impl ArgExt for Candidates {}
