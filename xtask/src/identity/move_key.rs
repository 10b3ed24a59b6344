//! Moves the key of a host from one state folder to another.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::access::{ReadableFolder, make_unreadable};
use super::folder;
use super::folder_name::can_name_folder;
use super::known_hosts::KnownHosts;
use crate::base::{HostName, state};
use crate::failure;

/// The maximum size of a file in the folder of a key, in bytes.
const MAX_FILE_SIZE: u64 = 1 << 20;

/// The hosts with a folder of keys in the state folder `state`.
pub fn hosts_with_folders(state: &Path) -> Vec<HostName> {
    hosts_in(&folder(state))
}

/// The hosts with a folder in `identities`, the folder of keys.
pub fn hosts_in(identities: &Path) -> Vec<HostName> {
    let entries = fs::read_dir(identities).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    let names = folders.filter_map(|entry| entry.file_name().into_string().ok()).map(HostName::from);
    // Folders of unfinished changes begin with a dot.
    names.filter(can_name_folder).collect()
}

/// Moves the key of `host`, and its line in `known_hosts`, from the state folder `from` to the state folder `to`. Where
/// `to` has a key of the host already, both keys stay. Returns whether a key was moved.
///
/// # Errors
/// `Io` where the key cannot be moved. Where one of the `known_hosts` cannot be read or written, the key is moved
/// already.
pub fn move_key(from: &Path, to: &Path, host: &HostName) -> Result<bool> {
    let [old, new] = [from, to].map(folder);
    let [source, target] = [&old, &new].map(|folder| folder.join(host.as_str()));
    if !source.is_dir() || target.exists() {
        return Ok(false);
    }
    state::create_private_folder(&new)?;
    move_folder(&source, &target).map_err(|error| {
        failure!(
            Io, "the key of {host} cannot be moved from {} to {}: {error:#}", source.display(), target.display();
            hint: "move the folder by hand"
        )
    })?;
    make_unreadable(&target);
    let key = KnownHosts::of(&old).keys_of(host)?.into_iter().next();
    KnownHosts::of(&new).set(host, key.as_deref())?;
    KnownHosts::of(&old).set(host, None)?;
    Ok(true)
}

/// Moves the folder `source` to `target`, which may be on another file system.
fn move_folder(source: &Path, target: &Path) -> Result<()> {
    // A closed folder cannot get another parent.
    let _readable = ReadableFolder::open(source)?;
    match fs::rename(source, target) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => copy_and_remove(source, target),
        renamed => renamed.context("renaming the folder"),
    }
}

/// Copies the folder `source`, which contains only files, to `target`, and removes `source` once the copy is complete.
fn copy_and_remove(source: &Path, target: &Path) -> Result<()> {
    let parent = target.parent().context("finding the folder of keys")?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".moving.").permissions(fs::Permissions::from_mode(0o700));
    let staged = builder.tempdir_in(parent).context("making a folder")?;
    // Another run would close the folder in between.
    let _readable = ReadableFolder::open(staged.path())?;
    for entry in fs::read_dir(source).context("reading the folder")? {
        let file = entry.context("reading the folder")?.path();
        let bytes = state::read_unchecked(&file, MAX_FILE_SIZE)?.context("reading a key")?;
        state::write(&staged.path().join(file.file_name().unwrap_or_default()), &bytes)?;
    }
    fs::rename(staged.path(), target).context("renaming the copy")?;
    fs::remove_dir_all(source).context("removing the copied folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_moved_once_and_replaces_no_other() {
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
        assert_eq!(KnownHosts::of(&folder(&new)).keys_of("pi").unwrap(), ["ssh-ed25519 AAAA"]);
        assert!(KnownHosts::of(&folder(&old)).keys_of("pi").unwrap().is_empty());
        assert!(!move_key(&old, &new, &host).unwrap());
        fs::create_dir(&key).unwrap();
        assert!(!move_key(&old, &new, &host).unwrap() && key.is_dir());
    }

    #[test]
    fn a_key_is_copied_to_another_file_system_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| dir.path().join(name).join("pi"));
        for folder in [&old, new.parent().unwrap()] {
            fs::create_dir_all(folder).unwrap();
            fs::set_permissions(folder, PermissionsExt::from_mode(0o700)).unwrap();
        }
        fs::write(old.join("ssh_host_ed25519_key"), "secret").unwrap();
        fs::set_permissions(old.join("ssh_host_ed25519_key"), PermissionsExt::from_mode(0o600)).unwrap();
        copy_and_remove(&old, &new).unwrap();
        let key = new.join("ssh_host_ed25519_key");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (fs::read_to_string(&key).unwrap().as_str(), mode(&new), mode(&key)),
            ("secret", 0o700, 0o600)
        );
        assert!(!old.exists());
        let left = fs::read_dir(new.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
        let is_lock = |name: &std::ffi::OsString| name == ".access.lock";
        assert_eq!(left.filter(|name| !is_lock(name)).collect::<Vec<_>>(), ["pi"]);
    }
}
