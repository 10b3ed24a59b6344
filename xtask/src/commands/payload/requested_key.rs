//! The host key that a card is to get.

use anyhow::Result;

use crate::bail;
use crate::base::{Context, HostName};
use crate::cli::PayloadArgs;
use crate::identity::{Identity, KeyChoice, KeyFolder, KeyOrigin};

/// The text in place of the fingerprint of a key that is not made yet.
const NOT_MADE: &str = "(made by the flash)";

/// The host whose identity a card gets, and which of its keys.
pub struct RequestedKey {
    pub folder: KeyFolder,
    pub choice: KeyChoice,
}

impl RequestedKey {
    /// The requested key of the host of `--identity-of`, or else of `host`, the host of the image. `None` where there
    /// is no host, and where no key is requested for a host whose name allows none.
    ///
    /// # Errors
    /// `Usage` for a requested key without a host or with two, and `Refused` for a host whose name allows no key.
    pub fn find(cx: &Context, args: &PayloadArgs, host: Option<&HostName>) -> Result<Option<Self>> {
        if let (Some(host), Some(other)) = (host, &args.identity_of)
            && host != other
        {
            bail!(
                Usage, "the image is of {host}, and --identity-of names {other}";
                hint: "leave --identity-of out, or name the image by --image FILE"
            );
        }
        let Some(host) = args.identity_of.as_ref().or(host) else {
            return match args.identity {
                None | Some(KeyChoice::None) => Ok(None),
                Some(KeyChoice::Keep | KeyChoice::New) => bail!(
                    Usage, "--identity needs a host, and nothing names that of the image";
                    hint: "name the host with --identity-of HOST"
                ),
            };
        };
        let folder = KeyFolder::new(&cx.state, host, args.identity_dir.as_deref());
        match (folder, args.identity.unwrap_or_default()) {
            // A host whose name allows no key needs none here.
            (Err(_), KeyChoice::None) => Ok(None),
            (folder, choice) => Ok(Some(Self { folder: folder?, choice })),
        }
    }

    /// Whether a flash makes the key: the host has none that the card could get.
    pub fn needs_new_key(&self, cx: &Context) -> Result<bool> {
        let is_missing = |key: Result<Option<_>>| key.map(|key| key.is_none());
        match self.choice {
            KeyChoice::None => Ok(false),
            KeyChoice::New => is_missing(self.folder.pending_key(&cx.launcher)),
            KeyChoice::Keep => Ok(is_missing(self.folder.public_key(&cx.launcher))?
                && is_missing(self.folder.pending_key(&cx.launcher))?),
        }
    }

    /// The identity of a key that is not made yet.
    pub fn identity_to_make(&self) -> Identity {
        let host = self.folder.host().into();
        Identity { host, fingerprint: NOT_MADE.to_owned(), origin: KeyOrigin::New }
    }

    /// Whether the card gets a key.
    pub fn is_wanted(&self) -> bool {
        self.choice != KeyChoice::None
    }
}
