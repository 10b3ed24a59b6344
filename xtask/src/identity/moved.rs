//! Moving the key of a host from one state folder to another.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::folder;
use super::known_hosts::KnownHosts;
use crate::base::{HostName, state};
use crate::failure;

/// Moves the key of `host`, and its line in `known_hosts`, from the state folder `from` to `to`. Returns whether there
/// was a key to move: one that is already in `to` stays.
///
/// # Errors
/// `Io` where the key cannot be moved, such as to another file system.
pub fn move_key(from: &Path, to: &Path, host: &HostName) -> Result<bool> {
    let [old, new] = [from, to].map(folder);
    let [source, target] = [&old, &new].map(|folder| folder.join(host.as_str()));
    if !source.is_dir() || target.exists() {
        return Ok(false);
    }
    state::private_folder(&new)?;
    fs::rename(&source, &target).map_err(|error| {
        failure!(
            Io, "the key of {host} cannot be moved from {} to {}: {error}", source.display(), target.display();
            hint: "move the folder by hand"
        )
    })?;
    let key = KnownHosts::of(&old).key_of(host)?;
    KnownHosts::of(&new).set(host, key.as_deref())?;
    KnownHosts::of(&old).set(host, None)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_moved_once_and_replaces_none() {
        let dir = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| dir.path().join(name));
        let host = HostName::from("pi");
        let key = folder(&old).join("pi");
        fs::create_dir_all(&key).unwrap();
        fs::write(key.join("ssh_host_ed25519_key"), "secret").unwrap();
        // At rest the folder of a key is closed.
        fs::set_permissions(&key, PermissionsExt::from_mode(0o0)).unwrap();
        for part in [&old, &folder(&old)] {
            fs::set_permissions(part, PermissionsExt::from_mode(0o700)).unwrap();
        }
        KnownHosts::of(&folder(&old)).set("pi", Some("ssh-ed25519 AAAA")).unwrap();
        assert!(move_key(&old, &new, &host).unwrap());
        assert!(!key.exists() && folder(&new).join("pi").is_dir());
        assert_eq!(KnownHosts::of(&folder(&new)).key_of("pi").unwrap().as_deref(), Some("ssh-ed25519 AAAA"));
        assert_eq!(KnownHosts::of(&folder(&old)).key_of("pi").unwrap(), None);
        assert!(!move_key(&old, &new, &host).unwrap());
        fs::create_dir(&key).unwrap();
        assert!(!move_key(&old, &new, &host).unwrap() && key.is_dir());
    }
}
