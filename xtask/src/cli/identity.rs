//! The command line of `identity`, and the payload options of `flash`.

use std::path::PathBuf;

use crate::base::HostName;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct Identity {
    #[command(subcommand)]
    pub command: IdentityCommand,
}

#[derive(Debug, Subcommand)]
pub enum IdentityCommand {
    /// Show the fingerprint of the key, its public key, and its age recipient, to which you encrypt secrets for the
    /// host
    Show(IdentityOf),
    /// Make the key if there is none, as the first flash would, and show it
    Make(IdentityOf),
}

impl IdentityCommand {
    pub fn host_name_mut(&mut self) -> &mut HostName {
        let (Self::Show(of) | Self::Make(of)) = self;
        &mut of.host
    }
}

#[derive(Debug, Args)]
pub struct IdentityOf {
    /// The host, as `cargo xtask hosts` lists it
    pub host: HostName,
    /// The folder of the keys, with a folder for each host (default: .xtask/identity)
    #[arg(long, value_name = "DIR")]
    pub identity_dir: Option<PathBuf>,
}

/// The payload of a card: what it gets beside its image.
#[derive(Debug, Default, Args)]
pub struct PayloadArgs {
    /// Which ssh host key the card gets; the first connection then already knows the key [default: keep, or none with
    /// --image and with an attribute that names no host]
    #[arg(long, value_enum)]
    pub identity: Option<crate::identity::KeyChoice>,
    /// With --image, or an attribute that names no host: the host whose identity the card gets
    #[arg(long, value_name = "HOST")]
    pub identity_of: Option<HostName>,
    /// The folder of the keys, with a folder for each host (default: .xtask/identity)
    #[arg(long, value_name = "DIR")]
    pub identity_dir: Option<PathBuf>,
    /// Copy the content of this folder with its modes to the card, such as Wi-Fi secrets and age keys: into the folder
    /// that holds the host's etc/ssh
    #[arg(long, value_name = "DIR")]
    pub files: Option<PathBuf>,
}
