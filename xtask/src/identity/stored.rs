//! The identity of a host as it is stored and backed up: its key, its pending key, and its line in `known_hosts`.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};

use super::KEY_FILE;
use super::PENDING;
use super::access::{ReadableFolder, make_unreadable};
use super::key::PublicKey;
use super::secret::Secret;
use crate::base::{HostName, state};

/// A private key with its public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    pub private: Secret,
    pub public: PublicKey,
}

/// The identity of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredIdentity {
    pub host: HostName,
    /// `None` for a host that is only known by its public key.
    pub key: Option<KeyPair>,
    /// A key that an unfinished flash may have put on a card.
    pub pending: Option<KeyPair>,
    /// The key in `known_hosts`, such as `ssh-ed25519 AAAA…`.
    pub known: Option<String>,
}

impl StoredIdentity {
    /// The names and the contents of the files in the folder of the host.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let pairs = [(KEY_FILE, &self.key), (PENDING, &self.pending)];
        let present = pairs.into_iter().filter_map(|(name, pair)| Some((name, pair.as_ref()?)));
        let both = present.flat_map(|(name, pair)| {
            let public = format!("{} {}\n", pair.public.line(), self.host);
            [(name.to_owned(), pair.private.reveal().to_vec()), (format!("{name}.pub"), public.into_bytes())]
        });
        both.collect()
    }

    /// Writes the files to `folder`, which is made and closed.
    pub(super) fn write_to(&self, folder: &Path) -> Result<()> {
        state::create_private_folder(folder)?;
        // Another run would close the folder in between.
        let readable = ReadableFolder::open(folder)?;
        for (name, content) in self.files() {
            state::write(&folder.join(name), &content)?;
        }
        let parent = folder.parent().unwrap_or(Path::new("/"));
        drop(readable);
        make_unreadable(folder);
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        synced.with_context(|| format!("writing {}", folder.display()))
    }

    /// Whether there is anything of the host.
    pub fn is_present(&self) -> bool {
        self.key.is_some() || self.pending.is_some() || self.known.is_some()
    }

    /// The fingerprint of the key.
    pub fn fingerprint(&self) -> Option<String> {
        self.key.as_ref().map(|key| key.public.fingerprint())
    }
}
