//! The key that a card gets: the key of its host, or a pending key, which replaces that one once the card is written.

use std::fs::File;
use std::path::Path;

use anyhow::Result;

use super::super::KEY_FILE;
use super::{KeyChoice, KeyFolder, PENDING};
use crate::bail;
use crate::base::process::Launcher;
use crate::base::state;
use crate::identity::access::ReadableFolder;
use crate::identity::change;
use crate::identity::key::PublicKey;
use crate::identity::payload::{Identity, KeyOrigin};
use crate::identity::secret::Secret;

/// The key for a card.
#[derive(Debug)]
pub struct HostKey {
    pub(super) folder: KeyFolder,
    /// The name of the key's file in the folder.
    pub(super) file: &'static str,
    pub identity: Identity,
    pub public: PublicKey,
    pub private: Secret,
    /// Keeps other runs from changing the folder until the key is committed.
    pub(super) _lock: File,
}

impl KeyFolder {
    /// The key for a card, which is made where it is missing; `None` for [`KeyChoice::None`]. A key that replaces
    /// another stays pending until [`HostKey::commit`].
    ///
    /// # Errors
    /// `Refused` while another run uses the key, and for a key that no host could use.
    pub fn choose(&self, launcher: &Launcher, choice: KeyChoice) -> Result<Option<HostKey>> {
        if choice == KeyChoice::None {
            return Ok(None);
        }
        let folder = self.dir.parent().unwrap_or(Path::new("/"));
        state::create_private_folder(folder)?;
        // No other run puts a key here meanwhile.
        let _change = change::lock(folder)?;
        state::create_private_folder(&self.dir)?;
        let readable = ReadableFolder::open(&self.dir)?;
        let lock = self.lock(choice)?;
        let (file, origin) = match choice {
            KeyChoice::Keep if self.has_file(KEY_FILE) => (KEY_FILE, KeyOrigin::Kept),
            _ if self.has_file(PENDING) => (PENDING, KeyOrigin::Pending),
            _ if self.has_file(KEY_FILE) => (PENDING, KeyOrigin::New),
            _ => (KEY_FILE, KeyOrigin::New),
        };
        if origin == KeyOrigin::New {
            self.make(launcher, file)?;
        }
        let private = self.read_private(file)?;
        drop(readable);
        let public = self.derive_public(launcher, file, &private)?;
        let identity = Identity { host: self.host.clone(), fingerprint: public.fingerprint(), origin };
        Ok(Some(HostKey { folder: self.clone(), file, identity, public, private, _lock: lock }))
    }
}

impl HostKey {
    pub fn folder(&self) -> &KeyFolder {
        &self.folder
    }

    /// Whether an earlier run left the key pending.
    pub fn was_pending(&self) -> bool {
        self.identity.origin == KeyOrigin::Pending
    }

    /// Makes a pending key the key of its host, and adds the key to `known_hosts`. Called when a card has the key.
    /// Returns whether `known_hosts` changed.
    ///
    /// # Errors
    /// `Other` where the pending key is no longer the one on the card; those of reading and writing the files.
    pub fn commit(&self) -> Result<bool> {
        if self.file == PENDING {
            let _readable = ReadableFolder::open(&self.folder.dir)?;
            if self.folder.read(PENDING)? != self.private {
                let path = self.folder.pending_path();
                bail!(Other, "{} was replaced: it is no longer the key on the card", path.display());
            }
            self.folder.rename(PENDING, KEY_FILE)?;
        }
        self.folder.known_hosts.set(&self.folder.host, Some(&self.public.line()))
    }
}
