//! The payload options of `flash`.

use std::path::PathBuf;

use clap::Args;

use crate::base::HostName;

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
