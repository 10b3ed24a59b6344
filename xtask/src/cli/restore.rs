//! The command line of `restore`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueHint};

use super::{BuildArgs, Candidates, WriteArgs};
use crate::bail;
use crate::base::HostName;
use crate::card::saved_state::{ResticOptions, StateArg};

/// The text after the options.
pub(super) const EXAMPLES: &str = "\
Examples:
  cargo xtask restore stinky /dev/sdb
  cargo xtask restore stinky /dev/sdb --state restic:sftp:nas:/backup/pis
  cargo xtask restore stinky /dev/sdb --state persist.tar.zst
  cargo xtask restore stinky /dev/sdb --state /mnt/persist --revision v1.2";

#[derive(Debug, Args)]
pub struct Restore {
    /// The host, as `cargo xtask history` lists it
    #[arg(value_name = "HOST", add = Candidates::Hosts)]
    pub host: HostName,
    /// The card, as `cargo xtask devices` lists it; all its data will be lost. Without it, one that
    /// is picked from a list, or else the one that is inserted next
    #[arg(value_name = "DEVICE", add = Candidates::Cards)]
    pub device: Option<PathBuf>,
    /// Write this saved state to the card: a folder, an archive (.tar, .tar.zst or .tar.gz), or restic:REPOSITORY,
    /// where restic: alone is the repository of restic's environment. Without it, the host begins with empty state
    #[arg(long, value_name = "SOURCE", value_hint = ValueHint::AnyPath)]
    pub state: Option<String>,
    /// The folder of the host whose content the state is [default: the one that holds the host's etc/ssh, such as
    /// /nix/persist]
    #[arg(long, value_name = "PATH", requires = "state")]
    pub state_path: Option<String>,
    /// With restic: the id of the snapshot, instead of the latest one of the host
    #[arg(long, value_name = "ID", requires = "state")]
    pub snapshot: Option<String>,
    /// With restic: the file with the password of the repository [default: by restic's own environment]
    #[arg(long, value_name = "FILE", requires = "state")]
    pub password_file: Option<PathBuf>,
    /// Build this git revision of the flake, not the one of the last receipt
    #[arg(long, value_name = "REV", conflicts_with = "current")]
    pub revision: Option<String>,
    /// Build the flake as it is now, not the revision of the last receipt
    #[arg(long)]
    pub current: bool,
    #[command(flatten)]
    pub build: BuildArgs,
    /// The folder of the keys, with a folder for each host (default: .xtask/identity)
    #[arg(long, value_name = "DIR")]
    pub identity_dir: Option<PathBuf>,
    #[command(flatten)]
    pub write: WriteArgs,
}

impl Restore {
    /// The state of the host; `None` where the host begins with empty state.
    ///
    /// # Errors
    /// `Usage` for an empty name, and for options of restic with another source.
    pub fn state_arg(&self) -> Result<Option<StateArg>> {
        let Some(given) = &self.state else { return Ok(None) };
        if let Some(repository) = given.strip_prefix("restic:") {
            return Ok(Some(StateArg::Restic(ResticOptions {
                repository: Some(repository.to_owned()).filter(|repository| !repository.is_empty()),
                password_file: self.password_file.clone(),
                snapshot: self.snapshot.clone(),
            })));
        }
        if self.snapshot.is_some() || self.password_file.is_some() {
            bail!(
                Usage, "--snapshot and --password-file need a repository of restic";
                hint: "name it with --state restic:REPOSITORY"
            );
        }
        if given.is_empty() {
            bail!(Usage, "--state is empty"; hint: "name a folder, an archive or restic:REPOSITORY");
        }
        let path = PathBuf::from(given);
        Ok(Some(if path.is_dir() { StateArg::Folder(path) } else { StateArg::Archive(path) }))
    }
}
