//! The key that a host offers, before anybody has accepted it.

use anyhow::Result;

use super::options::owned_options;
use super::ssh::Remote;
use crate::base::bounded::{self, Links};
use crate::base::process::Launcher;
use crate::base::{HostName, ssh_path};
use crate::deploy::target::Connection;
use crate::failure;
use crate::identity::KnownKey;

/// The maximum size of the file in which ssh records the key, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// The options by which ssh records any key of a host that it does not know, prefers an ed25519 key, and logs in by no
/// method. ssh takes the first value of an option, so these precede those of the node.
const RECORD_KEY: &[&str] = &[
    "-o",
    "StrictHostKeyChecking=accept-new",
    "-o",
    "GlobalKnownHostsFile=/dev/null",
    "-o",
    "KnownHostsCommand=none",
    "-o",
    "HostKeyAlgorithms=^ssh-ed25519",
    "-o",
    "HashKnownHosts=no",
    "-o",
    "CheckHostIP=no",
    "-o",
    "UpdateHostKeys=no",
    "-o",
    "VerifyHostKeyDNS=no",
    "-o",
    "PreferredAuthentications=none",
    "-o",
    "BatchMode=yes",
];

/// The key that `host` offers. Nothing is sent to the host, and no method of login is tried: ssh ends after the host
/// has shown that it has the key.
///
/// # Errors
/// `Unreachable` and others where there is no connection.
pub fn offered_key(launcher: &Launcher, host: &HostName, connection: &Connection) -> Result<KnownKey> {
    let folder = tempfile::Builder::new().prefix("xtask-host-key.").tempdir()?;
    let file = folder.path().join("known_hosts");
    let recording = format!("UserKnownHostsFile={}", ssh_path(&file));
    let own = ["-o".to_owned(), recording, "-o".to_owned(), "HostKeyAlias=offered".to_owned()];
    let options = [&own[..], &owned_options(RECORD_KEY), &connection.options].concat();
    let recording = Connection { options, pin: None, ..connection.clone() };
    let login = Remote::new(launcher, host, &recording).run("reading the host key", "true");
    let recorded = bounded::read(&file, MAX_SIZE, Links::Refuse).unwrap_or_default();
    let key = String::from_utf8_lossy(&recorded).lines().find_map(|line| {
        let (_name, key) = line.split_once(' ')?;
        KnownKey::parse(key)
    });
    match (key, login) {
        (Some(key), _) => Ok(key),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(failure!(HostKey, "ssh has connected to {host}, but recorded no key of it")),
    }
}
