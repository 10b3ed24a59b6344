//! Who a host is: its ssh host key, made on the workstation and put on the card, so that the first connection
//! already knows it; and the files that are put there with it. Keys and the `known_hosts` of the project are in its
//! state folder.

mod access;
mod extra_files;
mod folder;
mod key;
mod known_hosts;
mod payload;
mod secret;
mod store_guard;

pub use access::close_all;
pub use extra_files::{Owners, read as read_files};
pub use folder::{Choice, Folder, HostKey, forget};
pub use payload::{Entry, Identity, Owner, PLACE, Payload, What};
pub use secret::Secret;
pub use store_guard::{goes_to_stores, keep_out_of_stores};

use std::path::PathBuf;

use anyhow::Result;

use crate::base::project;
use known_hosts::KnownHosts;

/// Where the project keeps what it knows of its hosts.
pub fn folder() -> PathBuf {
    project::state_dir().join("identity")
}

/// The project's `known_hosts`, if it has a key for `host`: ssh takes it with `UserKnownHostsFile`, and with the
/// name of the host as `HostKeyAlias`.
///
/// # Errors
/// A file that cannot be read.
pub fn known(host: &str) -> Result<Option<PathBuf>> {
    let file = KnownHosts::of(&folder());
    Ok(file.key_of(host)?.map(|_| file.path))
}

/// Where the project's `known_hosts` is, or will be.
pub fn known_hosts() -> PathBuf {
    KnownHosts::of(&folder()).path
}

/// Fails where the project's `known_hosts` cannot be read or written.
///
/// # Errors
/// Of [`crate::base::failure::ExitKind::Refused`].
pub fn check_known_hosts() -> Result<()> {
    KnownHosts::of(&folder()).check()
}
