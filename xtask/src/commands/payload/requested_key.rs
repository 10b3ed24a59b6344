//! The host key that a card is to get.

use anyhow::Result;

use crate::bail;
use crate::base::{Context, HostName};
use crate::cli::PayloadArgs;
use crate::identity::{KeyChoice, KeyFolder};

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

    /// Whether the card gets a key.
    pub fn is_wanted(&self) -> bool {
        self.choice != KeyChoice::None
    }
}
