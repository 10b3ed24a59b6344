//! The folder on the workstation with the keys of a host: making, choosing, reading and replacing them.

mod host_key;
mod private_key;

pub use host_key::HostKey;
pub use private_key::{MAX_KEY_SIZE, public_key_of};

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::access::{ReadableFolder, require_private};
use super::folder_name::can_name_folder;
use super::key::PublicKey;
use super::known_hosts::KnownHosts;
use super::secret::Secret;
use super::stored::{KeyPair, StoredIdentity};
use super::{KEY_FILE, PENDING};
use crate::base::process::Launcher;
use crate::base::{HostName, state};
use crate::{bail, failure};

/// Which key a card gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum KeyChoice {
    /// Keep the host's key, or make its first one
    #[default]
    Keep,
    /// Make another key: ssh warns whoever knows the old one
    New,
    /// Write no key: the host makes its own on the first boot
    None,
}

/// The file in which ssh-keygen makes a key.
const PART: &str = "ssh_host_ed25519_key.part";

/// The folder with the keys of one host.
#[derive(Clone, Debug)]
pub struct KeyFolder {
    host: HostName,
    dir: PathBuf,
    /// The project's `known_hosts`, which gets the key of a written card.
    known_hosts: KnownHosts,
}

impl KeyFolder {
    /// The folder of `host` in `dir`; without `dir`, in the folder for keys of the state folder `state`.
    ///
    /// # Errors
    /// `Usage` for a name that no host with a key can have.
    pub fn new(state: &Path, host: &HostName, dir: Option<&Path>) -> Result<Self> {
        if !can_name_folder(host) {
            bail!(
                Usage, "{:?} cannot be the name of a host with a key", host.as_str();
                hint: "use ASCII letters, digits, `.`, `_` and `-`, with neither `.` nor `-` at the beginning (`known_hosts` is \
                       reserved), or pass --identity none to `flash`"
            );
        }
        let of_project = super::folder(state);
        let parent = dir.unwrap_or(&of_project);
        let absolute =
            std::path::absolute(parent).with_context(|| format!("finding {}", parent.display()))?;
        Ok(Self {
            host: host.to_owned(),
            dir: absolute.join(host.as_str()),
            known_hosts: KnownHosts::of(&of_project),
        })
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path of the project's `known_hosts`, which may not exist yet.
    pub fn known_hosts(&self) -> &Path {
        &self.known_hosts.path
    }

    /// Removes the key of the host from `known_hosts`, for a host that makes its own key. Returns whether there was a
    /// key.
    pub fn remove_known_host(&self) -> Result<bool> {
        self.known_hosts.set(&self.host, None)
    }

    /// The public key of the host; `None` for a host without a key.
    pub fn public_key(&self, launcher: &Launcher) -> Result<Option<PublicKey>> {
        self.public_key_in(launcher, KEY_FILE)
    }

    /// The public key of the pending key that an earlier run left, which a card may have. `None` where there is none.
    pub fn pending_key(&self, launcher: &Launcher) -> Result<Option<PublicKey>> {
        self.public_key_in(launcher, PENDING)
    }

    /// The public key of the private key in `file`; `None` where there is no such file. The folder is readable only
    /// while the key is read.
    fn public_key_in(&self, launcher: &Launcher, file: &str) -> Result<Option<PublicKey>> {
        state::check_folder(&self.dir)?;
        let readable = ReadableFolder::open(&self.dir)?;
        if !self.has_file(file) {
            return Ok(None);
        }
        let private = self.read_private(file)?;
        drop(readable);
        self.derive_public(launcher, file, &private).map(Some)
    }

    /// Locks the folder: shared for a key that stays, which several cards may get at once; exclusive for a change.
    ///
    /// # Errors
    /// `Refused` where another run holds a lock that excludes this one.
    fn lock(&self, choice: KeyChoice) -> Result<File> {
        let context = || format!("locking {}", self.dir.display());
        let folder = File::open(&self.dir).with_context(context)?;
        let operation = match choice {
            KeyChoice::Keep if self.has_file(KEY_FILE) => FlockOperation::NonBlockingLockShared,
            _ => FlockOperation::NonBlockingLockExclusive,
        };
        match flock(&folder, operation) {
            Err(Errno::WOULDBLOCK) => bail!(
                Refused(Locked), "another run is using the key of {} ({})", self.host, self.dir.display();
                hint: "wait until it ends"
            ),
            locked => locked.map(|()| folder).with_context(context),
        }
    }

    /// The content of `file`, which may be a link to a file that others cannot change either.
    fn read(&self, file: &str) -> Result<Secret> {
        let path = self.dir.join(file);
        let target = path.canonicalize().with_context(|| format!("reading {}", path.display()))?;
        let content = state::read(&target, MAX_KEY_SIZE)?;
        content.map(Secret::new).with_context(|| format!("{} is gone", path.display()))
    }

    /// The path of a pending key, which may not exist.
    pub fn pending_path(&self) -> PathBuf {
        self.dir.join(PENDING)
    }

    fn has_file(&self, file: &str) -> bool {
        self.dir.join(file).exists()
    }

    /// Makes a private key in `file`, and its public key beside it. An interrupted run leaves no incomplete key in
    /// `file`. Where no key can be made, a folder without keys is removed: its host has none.
    fn make(&self, launcher: &Launcher, file: &str) -> Result<()> {
        let made =
            self.remove_part().and_then(|()| self.make_part(launcher)).and_then(|()| self.rename(PART, file));
        made.inspect_err(|_| {
            // The error of the key is the one to report. A folder with another key stays.
            let _ = self.remove_part().and_then(|()| Ok(fs::remove_dir(&self.dir)?));
        })
    }

    fn remove_part(&self) -> Result<()> {
        let path = self.dir.join(PART);
        remove(&public_file(&path)).and_then(|()| remove(&path))
    }

    fn make_part(&self, launcher: &Launcher) -> Result<()> {
        let path = self.dir.join(PART);
        let mut args = ["-q", "-t", "ed25519", "-N", "", "-C", &self.host, "-f"].map(OsString::from).to_vec();
        args.push(path.clone().into_os_string());
        private_key::require_keygen(launcher)?;
        let made = launcher.read("ssh-keygen", &args).map(drop);
        // ssh-keygen has one exit code for all failures; a disk at fault has a remedy.
        made.or_else(|error| state::check_room(&path).and(Err(error))).context("making the host key")
    }

    /// The private key in `file`.
    ///
    /// # Errors
    /// `Refused` for a key that ssh would refuse.
    fn read_private(&self, file: &str) -> Result<Secret> {
        let path = self.dir.join(file);
        // Opening a pipe would block.
        if !path.is_file() {
            bail!(Refused, "the host key {} is not a file", path.display(); hint: "move it away, then run the command again");
        }
        require_private(&self.dir, "700")?;
        require_private(&path, "600")?;
        self.read(file)
    }

    /// The public key of `private`, which was read from `file`.
    ///
    /// # Errors
    /// `Refused` for a key that no host could use.
    fn derive_public(&self, launcher: &Launcher, file: &str, private: &Secret) -> Result<PublicKey> {
        public_key_of(launcher, private)?.map_err(|fault| {
            failure!(
                Refused, "the host key {} {fault}", self.dir.join(file).display();
                hint: "move it away: `identity make` or the next flash of {} makes another", self.host
            )
        })
    }

    /// Locks the folder, if there is one, for a change of the key.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub(super) fn lock_for_change(&self) -> Result<Option<File>> {
        if !self.dir.is_dir() {
            return Ok(None);
        }
        let _readable = ReadableFolder::open(&self.dir)?;
        self.lock(KeyChoice::New).map(Some)
    }

    /// The identity as it is stored; `known` is the key in `known_hosts`.
    ///
    /// # Errors
    /// `Refused` for a key that no host could use, and while another run changes the key.
    pub(super) fn read_identity(&self, launcher: &Launcher, known: Option<String>) -> Result<StoredIdentity> {
        let mut identity = StoredIdentity { host: self.host.clone(), key: None, pending: None, known };
        if !self.dir.is_dir() {
            return Ok(identity);
        }
        state::check_folder(&self.dir)?;
        let readable = ReadableFolder::open(&self.dir)?;
        let _lock = self.lock(KeyChoice::Keep)?;
        let read = |file| self.has_file(file).then(|| self.read_private(file)).transpose();
        let [key, pending] = [read(KEY_FILE)?, read(PENDING)?];
        drop(readable);
        let pair = |file, private: Option<Secret>| match private {
            Some(private) => {
                let public = self.derive_public(launcher, file, &private)?;
                Ok::<_, anyhow::Error>(Some(KeyPair { private, public }))
            }
            None => Ok(None),
        };
        identity.key = pair(KEY_FILE, key)?;
        identity.pending = pair(PENDING, pending)?;
        Ok(identity)
    }

    /// Renames the private key in the file `from` to `to`, after its public key.
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let [from, to] = [from, to].map(|name| self.dir.join(name));
        let [public_from, public_to] = [&from, &to].map(|private| public_file(private));
        match fs::rename(&public_from, public_to) {
            // An interrupted run has renamed the public key already, or it was lost. The private key contains it.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            renamed => renamed.context("renaming the public key")?,
        }
        fs::rename(&from, &to).with_context(|| format!("renaming {} to {}", from.display(), to.display()))
    }
}

/// The path of the public key that belongs to the file `private`.
fn public_file(private: &Path) -> PathBuf {
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// Removes `file`, if it exists.
fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            let folder = file.parent().unwrap_or(Path::new("/"));
            Err(state::write_error(error, &format!("removing {}", file.display()), folder))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
