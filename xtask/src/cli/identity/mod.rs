//! The command line of `identity`.

mod backup;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

pub use backup::{IdentityBackup, IdentityRestore, PassphraseFd};

use crate::base::{Address, HostName};
use crate::cli::deploy::Trust;
use crate::cli::{Candidates, NixArgs};

#[derive(Debug, Args)]
pub struct Identity {
    #[command(subcommand)]
    pub command: IdentityCommand,
}

#[derive(Debug, Subcommand)]
pub enum IdentityCommand {
    /// List the hosts whose keys this project has or knows
    List(IdentityList),
    /// Show the fingerprint of the key, its public key, and its age recipient, to which you encrypt secrets for the
    /// host
    Show(IdentityOf),
    /// Make the key if there is none, as the first flash would, and show it
    Make(IdentityMake),
    /// Take over the private key of a host that has one already, such as a Pi that runs
    Import(IdentityImport),
    /// Accept the key of a host that made its own: connect, compare the fingerprint, and pin the key for deploys
    Trust(IdentityTrust),
    /// Write public keys to `known_hosts` beside flake.nix, which the team commits
    Publish(IdentityPublish),
    /// Remove the key of a host from this project
    Remove(IdentityRemove),
    /// Give the key of a host to its new name
    Rename(IdentityRename),
    /// Write private and public keys to one encrypted file
    #[command(after_help = backup::BACKUP_EXAMPLES)]
    Backup(IdentityBackup),
    /// Restore the keys of a backup, on this or another workstation
    Restore(IdentityRestore),
    /// Print the public key that hosts trust for what this project deploys, and make the key if there is none
    CacheKey(IdentityCacheKey),
}

impl IdentityCommand {
    /// The hosts that the command line names.
    pub fn host_names_mut(&mut self) -> Vec<&mut HostName> {
        match self {
            Self::List(_) | Self::CacheKey(_) => Vec::new(),
            Self::Show(of) => vec![&mut of.host],
            Self::Make(args) => vec![&mut args.of.host],
            Self::Import(args) => vec![&mut args.host],
            Self::Trust(args) => vec![&mut args.host],
            Self::Publish(args) => args.hosts.iter_mut().collect(),
            Self::Remove(args) => vec![&mut args.host],
            Self::Rename(args) => vec![&mut args.old, &mut args.new],
            Self::Backup(args) => args.hosts.iter_mut().collect(),
            Self::Restore(args) => args.hosts.iter_mut().collect(),
        }
    }

    /// The options for Nix; `None` for a command that never asks Nix.
    pub fn nix(&self) -> Option<&NixArgs> {
        match self {
            Self::Make(args) => Some(&args.nix),
            Self::Import(args) => Some(&args.nix),
            Self::Trust(args) => Some(&args.nix),
            Self::Rename(args) => Some(&args.nix),
            _ => None,
        }
    }

    /// The folder of the keys; `None` for a command that has no option for it.
    pub fn keys(&self) -> Option<&KeysArg> {
        match self {
            Self::List(args) => Some(&args.keys),
            Self::Show(args) => Some(&args.keys),
            Self::Make(args) => Some(&args.of.keys),
            Self::Import(args) => Some(&args.keys),
            Self::Remove(args) => Some(&args.keys),
            Self::Rename(args) => Some(&args.keys),
            Self::Backup(args) => Some(&args.keys),
            Self::Restore(args) => Some(&args.keys),
            Self::Trust(_) | Self::Publish(_) | Self::CacheKey(_) => None,
        }
    }

    /// Whether the command looks its host up in the flake.
    pub fn looks_host_up(&self) -> bool {
        match self {
            Self::Make(args) => !args.yes,
            Self::Import(args) => !args.yes.yes,
            Self::Rename(args) => !args.yes,
            _ => false,
        }
    }

    /// Whether the command evaluates the flake, to find the address of the host.
    pub fn evaluates(&self) -> bool {
        matches!(self, Self::Trust(args) if !args.published)
    }
}

/// The folder of the keys, where it is not that of the project.
#[derive(Debug, Default, Args)]
pub struct KeysArg {
    /// The folder of the keys, with a folder for each host (default: .xtask/identity)
    #[arg(long, value_name = "DIR")]
    pub identity_dir: Option<PathBuf>,
}

impl KeysArg {
    pub fn dir(&self) -> Option<&Path> {
        self.identity_dir.as_deref()
    }
}

/// The agreement of a user who is not asked.
#[derive(Clone, Copy, Debug, Args)]
pub struct YesArg {
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct IdentityCacheKey {
    /// The name of a new key (default: xtask-, and 8 random digits). No two keys that a host trusts may share a name
    #[arg(long, value_parser = parse_key_name)]
    pub name: Option<String>,
}

/// The name of a cache key: as in a signature, which separates it by a colon.
fn parse_key_name(text: &str) -> Result<String, &'static str> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(is_allowed) {
        return Ok(text.to_owned());
    }
    Err("must have only ASCII letters, digits, `.`, `_` and `-`, and not begin with `-`")
}

#[derive(Debug, Args)]
pub struct IdentityList {
    #[command(flatten)]
    pub keys: KeysArg,
}

#[derive(Debug, Args)]
pub struct IdentityOf {
    /// The host, as `cargo xtask hosts` lists it
    #[arg(add = Candidates::Hosts)]
    pub host: HostName,
    #[command(flatten)]
    pub keys: KeysArg,
}

#[derive(Debug, Args)]
pub struct IdentityMake {
    #[command(flatten)]
    pub of: IdentityOf,
    /// Also make the key of a host that the flake does not have, without asking
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub nix: NixArgs,
}

#[derive(Debug, Args)]
pub struct IdentityImport {
    /// The host, as `cargo xtask hosts` lists it
    #[arg(add = Candidates::Hosts)]
    pub host: HostName,
    /// The private ed25519 key in the format of OpenSSH; `-` reads it from stdin
    pub file: PathBuf,
    #[command(flatten)]
    pub keys: KeysArg,
    #[command(flatten)]
    pub yes: YesArg,
    #[command(flatten)]
    pub nix: NixArgs,
}

#[derive(Debug, Args)]
pub struct IdentityTrust {
    /// The host, as `cargo xtask hosts` lists it
    #[arg(add = Candidates::Hosts)]
    pub host: HostName,
    /// The address of the host (default: that of its deploy node)
    #[arg(long, value_name = "[USER@]ADDRESS", conflicts_with = "published")]
    pub to: Option<Address>,
    /// Accept this fingerprint and no other, without asking; `ssh-keygen -lf` prints it on the host
    #[arg(long, value_name = "SHA256:…", conflicts_with = "published")]
    pub fingerprint: Option<String>,
    /// Take the key that `known_hosts` beside flake.nix has, without a connection
    #[arg(long)]
    pub published: bool,
    /// With --published, do not ask before another key is replaced
    #[arg(long, requires = "published")]
    pub yes: bool,
    #[command(flatten)]
    pub trust: Trust,
    #[command(flatten)]
    pub nix: NixArgs,
}

#[derive(Debug, Args)]
pub struct IdentityPublish {
    /// The hosts (default: all whose key this project knows)
    #[arg(value_name = "HOST", add = Candidates::Identities)]
    pub hosts: Vec<HostName>,
    #[command(flatten)]
    pub yes: YesArg,
}

#[derive(Debug, Args)]
pub struct IdentityRemove {
    /// The host, as `cargo xtask identity list` lists it
    #[arg(add = Candidates::Identities)]
    pub host: HostName,
    #[command(flatten)]
    pub keys: KeysArg,
    #[command(flatten)]
    pub yes: YesArg,
}

#[derive(Debug, Args)]
pub struct IdentityRename {
    /// The host, as `cargo xtask identity list` lists it
    #[arg(add = Candidates::Identities)]
    pub old: HostName,
    /// The name that the host has in the flake from now on
    #[arg(add = Candidates::Hosts)]
    pub new: HostName,
    #[command(flatten)]
    pub keys: KeysArg,
    /// Also take a new name that the flake does not have, without asking
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub nix: NixArgs,
}
