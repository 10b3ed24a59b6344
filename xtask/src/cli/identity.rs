//! What the command line says about identities: of the command `identity`, and of `flash`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct Identity {
    #[command(subcommand)]
    pub what: IdentityCommand,
}

#[derive(Debug, Subcommand)]
pub enum IdentityCommand {
    /// Print the fingerprint of the key, and its age recipient, to which secrets for the host are encrypted
    #[command(arg = super::no_flake())]
    Show(IdentityOf),
    /// Make the key before the first flash does, where there is none, and show it
    Make(IdentityOf),
}

#[derive(Debug, Args)]
pub struct IdentityOf {
    /// The host, as `cargo xtask hosts` lists it
    pub host: String,
    /// Where the keys are, a folder for each host (default: .xtask/identity)
    #[arg(long, value_name = "DIR")]
    pub identity_dir: Option<PathBuf>,
}

/// What a card gets beside its image.
#[derive(Debug, Default, Args)]
pub struct PayloadArgs {
    /// Which ssh host key the card gets, so that the first connection knows it already [default: keep, or none with
    /// --image]
    #[arg(long, value_enum)]
    pub identity: Option<crate::identity::KeyChoice>,
    /// With --image: the host whose identity it gets
    #[arg(long, value_name = "HOST", requires = "image")]
    pub identity_of: Option<String>,
    /// Where the keys are, a folder for each host (default: .xtask/identity)
    #[arg(long, value_name = "DIR")]
    pub identity_dir: Option<PathBuf>,
    /// Put all that is in this folder into /persist of the card's `NIXOS_SD` too, with its modes: Wi-Fi secrets, age keys
    #[arg(long, value_name = "DIR")]
    pub files: Option<PathBuf>,
}
