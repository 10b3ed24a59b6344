//! The command lines of `identity backup` and `identity restore`.

use std::path::PathBuf;

use clap::Args;

use super::KeysArg;
use crate::base::HostName;
use crate::cli::Candidates;
use crate::cli::output_file::output_file;
use crate::cli::whole_number::{MAX_DESCRIPTOR, whole_number};

/// The text after the options of `identity backup`.
pub const BACKUP_EXAMPLES: &str = "\
Examples:
  cargo xtask identity backup identities.age
  cargo xtask identity backup identities.age --recipients-file ~/.ssh/id_ed25519.pub
  cargo xtask identity backup pi.age pi --recipient age1…";

#[derive(Debug, Args)]
pub struct PassphraseFd {
    /// Read the passphrase from this file descriptor instead of the terminal; 0 is stdin
    #[arg(long, value_name = "N", value_parser = whole_number(0..=MAX_DESCRIPTOR))]
    pub passphrase_fd: Option<u32>,
}

#[derive(Debug, Args)]
pub struct IdentityBackup {
    /// The file to write
    #[arg(value_parser = output_file())]
    pub file: PathBuf,
    /// The hosts (default: all)
    #[arg(value_name = "HOST", add = Candidates::Identities)]
    pub hosts: Vec<HostName>,
    /// Encrypt to this public key instead of a passphrase: age1…, or an ed25519 key of ssh; may be repeated
    #[arg(long, value_name = "KEY")]
    pub recipient: Vec<String>,
    /// Encrypt to the public keys in this file, one on each line, such as one of ssh ending in .pub; may be
    /// repeated
    #[arg(long, value_name = "FILE")]
    pub recipients_file: Vec<PathBuf>,
    #[command(flatten)]
    pub passphrase: PassphraseFd,
    #[command(flatten)]
    pub keys: KeysArg,
    /// Replace FILE without asking
    #[arg(long)]
    pub yes: bool,
}

impl IdentityBackup {
    /// Whether the backup is encrypted to public keys.
    pub fn has_recipients(&self) -> bool {
        !self.recipient.is_empty() || !self.recipients_file.is_empty()
    }
}

#[derive(Debug, Args)]
pub struct IdentityRestore {
    /// The backup, as `cargo xtask identity backup` wrote it
    pub file: PathBuf,
    /// The hosts (default: all in the backup)
    #[arg(value_name = "HOST", add = Candidates::Hosts)]
    pub hosts: Vec<HostName>,
    /// Decrypt with the private key in this file, of age or of ssh; may be repeated
    #[arg(long, value_name = "FILE")]
    pub age_identity: Vec<PathBuf>,
    #[command(flatten)]
    pub passphrase: PassphraseFd,
    /// Only list what the backup contains
    #[arg(long)]
    pub list: bool,
    #[command(flatten)]
    pub keys: KeysArg,
    /// Replace other keys of the same hosts without asking
    #[arg(long)]
    pub yes: bool,
}
