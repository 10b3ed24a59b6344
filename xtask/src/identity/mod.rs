//! The identity of a host, which is its name and its ssh host key, and the other files of the payload. The key is made
//! on the workstation and written to the card, so that ssh knows the host at the first connection. The keys of a
//! project's hosts and the project's `known_hosts` are in its state folder.

mod access;
mod adopt;
pub mod backup;
mod cache_key;
mod change;
mod copied_folders;
mod extra_files;
mod folder;
mod folder_name;
mod import;
mod key;
mod key_blob;
mod known_hosts;
mod known_key;
mod login_key;
mod login_keys;
mod move_key;
mod payload;
mod pinned;
mod published;
mod secret;
mod stored;
mod wifi;

pub use access::make_all_unreadable;
pub use adopt::{Adoption, adopt};
pub use cache_key::CacheKey;
pub use change::Identities;
pub use copied_folders::{is_copied_to_store, keep_out_of_stores, refuse_copied_keys};
pub use extra_files::{Owners, read as read_files};
pub use folder::{HostKey, KeyChoice, KeyFolder};
pub use import::read_key_file;
pub use key::PublicKey;
pub use known_hosts::NewKeys;
pub use known_key::{KnownKey, fingerprint_of};
pub use login_key::{LoginKey, parse_public_keys};
pub use login_keys::{LoginKeys, UserKey};
pub use move_key::{hosts_with_folders, move_key};
pub use payload::{EntryKind, Identity, KeyOrigin, Owner, Payload, PayloadEntry, PayloadRoot, Usage};
pub use pinned::{PinnedKey, pinned_file, pinned_key};
pub use published::PublishedHosts;
pub use secret::Secret;
pub use stored::StoredIdentity;
pub use wifi::{Ssid, WifiFile, WifiPassword};

use std::path::{Path, PathBuf};

use anyhow::Result;

use known_hosts::KnownHosts;

/// The file of a host's private key; that of its public key ends in `.pub`.
const KEY_FILE: &str = "ssh_host_ed25519_key";

/// The file of a pending key. It is never removed: whether a card has a key that an earlier run left here is unknown.
const PENDING: &str = "ssh_host_ed25519_key.new";

/// The folder with the keys of a project's hosts and their `known_hosts`, in the state folder `state`.
pub fn folder(state: &Path) -> PathBuf {
    state.join("identity")
}

/// Checks that the project's `known_hosts` can be read and written.
///
/// # Errors
/// `Refused` where it cannot.
pub fn check_known_hosts(state: &Path) -> Result<()> {
    KnownHosts::of(&folder(state)).check()
}
