//! The payload options of `flash`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use clap::Args;

use super::Candidates;
use super::whole_number::{MAX_DESCRIPTOR, whole_number};
use crate::bail;
use crate::base::HostName;
use crate::identity::WifiPassword;

/// The payload of a card: what it gets beside its image.
#[derive(Clone, Debug, Default, Args)]
pub struct PayloadArgs {
    /// Which ssh host key the card gets; the first connection then already knows the key [default: keep, or none with
    /// --image and with an attribute that names no host]
    #[arg(long, value_enum)]
    pub identity: Option<crate::identity::KeyChoice>,
    /// With --image, or an attribute that names no host: the host whose identity the card gets
    #[arg(long, value_name = "HOST", add = Candidates::Identities)]
    pub identity_of: Option<HostName>,
    /// The folder of the keys, with a folder for each host (default: .xtask/identity)
    #[arg(long, value_name = "DIR")]
    pub identity_dir: Option<PathBuf>,
    /// Copy the content of this folder with its modes to the card, such as Wi-Fi secrets and age keys: into the folder
    /// that holds the host's etc/ssh
    #[arg(long, value_name = "DIR")]
    pub files: Option<PathBuf>,
    /// Let the owner of this public key log in to the host, such as `id_ed25519.pub`; may be repeated
    #[arg(long, value_name = "FILE")]
    pub ssh_key: Vec<PathBuf>,
    /// The user who logs in with --ssh-key [default: the administrator of the host]
    #[arg(long, value_name = "USER", requires = "ssh_key")]
    pub ssh_key_user: Option<String>,
    /// Connect the host to this Wi-Fi network, whose password is asked for
    #[arg(long, value_name = "SSID")]
    pub wifi: Option<OsString>,
    /// Read the password of --wifi from this file descriptor instead
    #[arg(long, value_name = "N", requires = "wifi", value_parser = whole_number(0..=MAX_DESCRIPTOR))]
    pub wifi_password_fd: Option<u32>,
    /// The password of --wifi, once it is known.
    #[arg(skip)]
    pub wifi_password: WifiPasswordCell,
}

/// The password of the network, which is read or asked for once, however many cards get it.
#[derive(Clone, Debug, Default)]
pub struct WifiPasswordCell(Arc<Mutex<Option<WifiPassword>>>);

impl WifiPasswordCell {
    /// The password; the first time that which `find` returns.
    ///
    /// # Errors
    /// Those of `find`.
    pub fn get_or_find(&self, find: impl FnOnce() -> Result<WifiPassword>) -> Result<WifiPassword> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(password) = &*known {
            return Ok(password.clone());
        }
        Ok(known.insert(find()?).clone())
    }
}

impl PayloadArgs {
    /// The payload of the one of several cards that gets the identity of the host `identity_of`, if that is named.
    #[must_use]
    pub fn for_card(&self, identity_of: Option<&HostName>) -> Self {
        let own = self.clone();
        Self { identity_of: identity_of.cloned().or(own.identity_of), ..own }
    }

    /// # Errors
    /// `Usage` for an option that needs the configuration of the host, which is unknown for the image of `--image`.
    pub fn require_no_configuration(&self) -> Result<()> {
        let option = match (&self.ssh_key[..], &self.wifi) {
            ([], None) => return Ok(()),
            ([], Some(_)) => "--wifi",
            (_, _) => "--ssh-key",
        };
        bail!(
            Usage, "{option} needs the configuration of the host, which decides about the file that the card gets";
            hint: "name the host instead of --image, or write the file with --files DIR"
        )
    }
}
