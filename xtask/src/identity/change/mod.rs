//! Changes of the identities of a project: key folders, the project's `known_hosts` and the published one change
//! together or not at all, also across a crash of the machine.
//!
//! A change is prepared beside the folders of hosts, under names that no host has, and then recorded in a journal. From
//! then on it counts: the next run finishes it where this one is cut off.

mod folders;
mod journal;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::folder::KeyFolder;
use super::known_hosts::{KnownHosts, NewKeys};
use super::move_key::hosts_in;
use super::published::PublishedHosts;
use super::stored::StoredIdentity;
use crate::base::lock::Lock;
use crate::base::process::Launcher;
use crate::base::{FlakeRef, HostName, interrupt, shell, state};
use crate::{bail, failure};
use journal::{Journal, KeysOfFile, KnownHostsFile};

/// The lock for changes, beside the folders of hosts. No host has this name.
const LOCK: &str = ".change.lock";
/// The maximum wait for another run that makes, changes or removes keys.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// The identities of a project: a folder with a folder for each host, and the files that pin their keys.
#[derive(Clone, Debug)]
pub struct Identities {
    state: PathBuf,
    folder: PathBuf,
    pub known_hosts: KnownHosts,
    /// `None` for a flake that is not in a folder of this machine.
    pub published: Option<PublishedHosts>,
}

impl Identities {
    /// The identities of `flake` with the state folder `state`, whose keys are in `dir` where the user names one.
    ///
    /// # Errors
    /// Where the working directory of a relative `dir` cannot be found.
    pub fn new(state: &Path, flake: &FlakeRef, dir: Option<&Path>) -> Result<Self> {
        let of_project = super::folder(state);
        let folder = dir.unwrap_or(&of_project);
        Ok(Self {
            state: state.to_owned(),
            folder: std::path::absolute(folder).with_context(|| format!("finding {}", folder.display()))?,
            known_hosts: KnownHosts::of(&of_project),
            published: PublishedHosts::of(flake),
        })
    }

    /// The folder that contains the folders of hosts.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The hosts that have a key folder, or a public key in one of the files.
    ///
    /// # Errors
    /// `Refused` for a file that cannot be read.
    pub fn hosts(&self) -> Result<BTreeSet<HostName>> {
        let mut hosts = hosts_in(&self.folder).into_iter().collect::<BTreeSet<_>>();
        hosts.extend(self.known_hosts.hosts()?);
        if let Some(published) = &self.published {
            hosts.extend(published.hosts()?);
        }
        Ok(hosts)
    }

    /// The folder of `host`.
    ///
    /// # Errors
    /// `Usage` for a name that no host with a key can have.
    pub fn key_folder(&self, host: &HostName) -> Result<KeyFolder> {
        KeyFolder::new(&self.state, host, Some(&self.folder))
    }

    /// The published key of `host`, and its file.
    ///
    /// # Errors
    /// `Refused` for a file that cannot be read.
    pub fn published_key(&self, host: &HostName) -> Result<Option<(String, &Path)>> {
        let Some(file) = &self.published else { return Ok(None) };
        Ok(file.keys_of(host)?.into_iter().next().map(|key| (key, file.path())))
    }

    /// The keys of `host` that are known, each with its file.
    ///
    /// # Errors
    /// `Refused` for a file that cannot be read.
    pub fn known_keys(&self, host: &HostName) -> Result<Vec<(String, &Path)>> {
        let own = self.known_hosts.keys_of(host)?;
        let published =
            self.published.as_ref().map(|file| Ok::<_, anyhow::Error>((file, file.keys_of(host)?)));
        let own = own.into_iter().map(|key| (key, self.known_hosts.path.as_path()));
        let published = published.transpose()?.into_iter();
        Ok(own
            .chain(published.flat_map(|(file, keys)| keys.into_iter().map(|key| (key, file.path()))))
            .collect())
    }

    /// Begins a change: no other run changes identities until it ends.
    ///
    /// # Errors
    /// `Refused` while another run does for longer than [`LOCK_TIMEOUT`].
    pub fn begin_change(&self) -> Result<Change<'_>> {
        state::create_private_folder(&self.folder)?;
        let lock = Lock::take_within(&self.folder.join(LOCK), LOCK_TIMEOUT)?;
        self.finish()?;
        Ok(Change { identities: self, journal: Journal::default(), key_locks: Vec::new(), _lock: lock })
    }

    /// Finishes a change that was cut off. Returns whether there was one.
    ///
    /// # Errors
    /// Where the change cannot be finished.
    pub fn finish_interrupted_change(&self) -> Result<bool> {
        if !Journal::exists(&self.folder) {
            return Ok(false);
        }
        state::check_folder(&self.folder)?;
        let _lock = Lock::take_within(&self.folder.join(LOCK), LOCK_TIMEOUT)?;
        self.finish()
    }

    /// Finishes the change that has a journal, and removes what other unfinished changes left. Returns whether there
    /// was a journal. The lock is held.
    fn finish(&self) -> Result<bool> {
        let journal = Journal::read(&self.folder)?;
        if let Some(journal) = &journal {
            let doing = || format!("finishing an interrupted change in {}", self.folder.display());
            journal.run(self).map_err(|(_, error)| error).with_context(doing)?;
            Journal::remove(&self.folder)?;
        }
        self.sweep()?;
        Ok(journal.is_some())
    }

    /// Removes the folders of changes that were not finished.
    fn sweep(&self) -> Result<()> {
        folders::sweep(&self.folder)
    }
}

/// Takes the lock for changes of the keys in `folder`. `None` where this user cannot create the lock file, and so can
/// change nothing there.
///
/// # Errors
/// As [`Identities::begin_change`], and `Refused` where a change was cut off.
pub fn lock(folder: &Path) -> Result<Option<Lock>> {
    if rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err() {
        return Ok(None);
    }
    let lock = Lock::take_within(&folder.join(LOCK), LOCK_TIMEOUT)?;
    if Journal::exists(folder) {
        let quoted = shell::quote(&folder.to_string_lossy());
        bail!(
            Refused, "a change of identities in {} was cut off", folder.display();
            hint: "finish it by `cargo xtask identity list --identity-dir {quoted}`"
        );
    }
    Ok(Some(lock))
}

/// A change of identities that is prepared. Dropping it without [`Self::commit`] leaves everything as it was.
#[derive(Debug)]
pub struct Change<'a> {
    identities: &'a Identities,
    journal: Journal,
    /// The locks on the key folders that change.
    key_locks: Vec<File>,
    _lock: Lock,
}

impl Change<'_> {
    /// Locks the key of `host`, which then no other run uses. Needed before the folder is read or changed.
    ///
    /// # Errors
    /// `Refused` while another run uses the key.
    pub fn lock_key(&mut self, host: &HostName) -> Result<()> {
        let lock = self.identities.key_folder(host)?.lock_for_change()?;
        self.key_locks.extend(lock);
        Ok(())
    }

    /// Removes the key folder of `host`, if it has one.
    pub fn remove(&mut self, host: &HostName) {
        if self.folder_of(host).symlink_metadata().is_ok() {
            self.journal.rename(host.as_str(), &folders::old_name(host));
        }
    }

    /// Renames the key folder of `host`, if it has one.
    pub fn rename(&mut self, host: &HostName, new: &HostName) {
        if self.folder_of(host).symlink_metadata().is_ok() {
            self.journal.rename(host.as_str(), new.as_str());
        }
    }

    /// Puts `identity` in place of the key folder of its host.
    ///
    /// # Errors
    /// Where its files cannot be written.
    pub fn put(&mut self, identity: &StoredIdentity) -> Result<()> {
        let staged = folders::new_name(&identity.host);
        identity.write_to(&self.identities.folder.join(&staged))?;
        self.remove(&identity.host);
        self.journal.rename(&staged, identity.host.as_str());
        Ok(())
    }

    /// Sets the only key of each host in the project's `known_hosts`, or removes its keys.
    pub fn set_known(&mut self, keys: NewKeys) {
        self.journal.set_keys(KeysOfFile { file: KnownHostsFile::OfProject, keys });
    }

    /// Sets the only key of each host in the published `known_hosts`, or removes its keys.
    pub fn set_published(&mut self, keys: NewKeys) {
        if self.identities.published.is_some() {
            self.journal.set_keys(KeysOfFile { file: KnownHostsFile::Published, keys });
        }
    }

    /// Makes the change. A request to stop does not cut it off.
    ///
    /// # Errors
    /// Where a file cannot be written: then nothing has changed, or the next command finishes the change. The message
    /// says which. `Io` with a hint where a removed folder is left.
    pub fn commit(mut self) -> Result<()> {
        let folder = &self.identities.folder;
        let _signals = interrupt::guard()?;
        let journal = std::mem::take(&mut self.journal);
        let undo = journal.check(self.identities)?;
        journal.write(folder)?;
        if let Err((count, error)) = journal.run(self.identities) {
            if journal.undo(self.identities, &undo, count).is_err() {
                return Err(error.context("a part of the change is made, and the next command finishes it"));
            }
            Journal::remove(folder)?;
            return Err(error.context("nothing was changed"));
        }
        Journal::remove(folder)?;
        self.identities.sweep().map_err(|error| {
            let folder = folder.display();
            failure!(Io, "the change is made, but a removed key is left: {error:#}"; hint: "remove {folder}/.old.*")
        })
    }

    fn folder_of(&self, host: &HostName) -> PathBuf {
        self.identities.folder.join(host.as_str())
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        // The next change removes what is left here.
        if !Journal::exists(&self.identities.folder) {
            let _ = self.identities.sweep();
        }
    }
}

impl Identities {
    /// The identity of `host` as it is stored.
    ///
    /// # Errors
    /// `Refused` for a key that no host could use, and while another run changes the key.
    pub fn read(&self, launcher: &Launcher, host: &HostName) -> Result<StoredIdentity> {
        let known = self.known_hosts.keys_of(host)?.into_iter().next();
        self.key_folder(host)?.read_identity(launcher, known)
    }
}
