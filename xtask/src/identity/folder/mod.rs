//! The folder on the workstation with the keys of a host: making, choosing, reading and replacing them.

mod host_key;

pub use host_key::HostKey;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::KEY_FILE;
use super::access::{Readable, require_private};
use super::key::PublicKey;
use super::known_hosts::KnownHosts;
use super::secret::Secret;
use crate::base::process::Launcher;
use crate::base::state;
use crate::base::{HostName, memfd};
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

/// The file of a new key that replaces another one once a card has it. Whether a card has a key that an earlier run
/// left here is unknown, so it is never removed.
const PENDING: &str = "ssh_host_ed25519_key.new";
/// The most bytes of a private key that are read.
const MAX_KEY: u64 = 64 << 10;
/// The file in which ssh-keygen makes a key.
const PART: &str = "ssh_host_ed25519_key.part";

/// The folder with the keys of one host.
#[derive(Clone, Debug)]
pub struct KeyFolder {
    host: HostName,
    dir: PathBuf,
    /// The file of the project that gets the key of a written card.
    known_hosts: KnownHosts,
}

impl KeyFolder {
    /// The folder of `host` in `dir`, or in the state folder `state` of the project.
    ///
    /// # Errors
    /// `Usage` for a name that no host with a key can have.
    pub fn new(state: &Path, host: &HostName, dir: Option<&Path>) -> Result<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if host.is_empty()
            || host.starts_with(['.', '-'])
            || !host.chars().all(plain)
            || *host == *"known_hosts"
        {
            bail!(
                Usage, "{:?} cannot be the name of a host with a key", host.as_str();
                hint: "use ASCII letters, digits, `.`, `_` and `-`, with neither `.` nor `-` at the beginning (`known_hosts` is \
                       reserved), or pass --identity none to `flash`"
            );
        }
        let project = super::folder(state);
        let parent = dir.unwrap_or(&project);
        let dir = std::path::absolute(parent).with_context(|| format!("finding {}", parent.display()))?;
        Ok(Self {
            host: host.to_owned(),
            dir: dir.join(host.as_str()),
            known_hosts: KnownHosts::of(&project),
        })
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// The `known_hosts` of the project, which may not exist yet.
    pub fn known_hosts(&self) -> &Path {
        &self.known_hosts.path
    }

    /// Removes the key of the host from `known_hosts`, as the host makes its own key. Returns whether there was a key.
    pub fn remove_known_host(&self) -> Result<bool> {
        self.known_hosts.set(&self.host, None)
    }

    /// The public key of the host, if it has one.
    pub fn public_key(&self, launcher: &Launcher) -> Result<Option<PublicKey>> {
        self.public_key_in(launcher, KEY_FILE)
    }

    /// The public key that an earlier run left pending: a card may have it.
    pub fn pending_key(&self, launcher: &Launcher) -> Result<Option<PublicKey>> {
        self.public_key_in(launcher, PENDING)
    }

    /// The public half of the key in `file`, if there is one. The folder is readable only while the key is read.
    fn public_key_in(&self, launcher: &Launcher, file: &str) -> Result<Option<PublicKey>> {
        state::check_folder(&self.dir)?;
        let readable = Readable::open(&self.dir)?;
        let private = self.has(file).then(|| self.read_private(file)).transpose()?;
        drop(readable);
        private.map(|private| self.derive(launcher, file, &private)).transpose()
    }

    /// Locks the folder: shared for a key that stays, as several cards may get it at once; exclusive for a change.
    fn lock(&self, choice: KeyChoice) -> Result<File> {
        let context = || format!("locking {}", self.dir.display());
        let folder = File::open(&self.dir).with_context(context)?;
        let operation = match choice {
            KeyChoice::Keep if self.has(KEY_FILE) => FlockOperation::NonBlockingLockShared,
            _ => FlockOperation::NonBlockingLockExclusive,
        };
        match flock(&folder, operation) {
            Err(Errno::WOULDBLOCK) => bail!(
                Refused, "another run is using the key of {} ({})", self.host, self.dir.display();
                hint: "wait until it ends"
            ),
            locked => locked.map(|()| folder).with_context(context),
        }
    }

    /// The private key in `file`, which may be a link to a file that others cannot change either.
    fn read(&self, file: &str) -> Result<Secret> {
        let path = self.dir.join(file);
        let target = path.canonicalize().with_context(|| format!("reading {}", path.display()))?;
        let content = state::read(&target, MAX_KEY)?;
        content.map(Secret::new).with_context(|| format!("{} is gone", path.display()))
    }

    /// The path of a pending key, which may not exist.
    pub fn pending_path(&self) -> PathBuf {
        self.dir.join(PENDING)
    }

    fn has(&self, file: &str) -> bool {
        self.dir.join(file).exists()
    }

    /// Makes a pair of keys, and renames it to `file` once it is complete.
    fn make(&self, launcher: &Launcher, file: &str) -> Result<()> {
        let path = self.dir.join(PART);
        for stale in [path.clone(), public_of(&path)] {
            remove(&stale)?;
        }
        let args = ["-q", "-t", "ed25519", "-N", "", "-C", &self.host, "-f"].map(Into::into);
        let args = args.into_iter().chain([path.into_os_string()]).collect::<Vec<_>>();
        require_keygen(launcher)?;
        launcher.read("ssh-keygen", &args).context("making the host key")?;
        self.rename(PART, file)
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

    /// The public half of `private`, which was read from `file`.
    ///
    /// # Errors
    /// `Refused` for a key that no host could use.
    fn derive(&self, launcher: &Launcher, file: &str, private: &Secret) -> Result<PublicKey> {
        require_keygen(launcher)?;
        let copy = memfd::file_with("key", private.reveal())?;
        let output = launcher.capture("ssh-keygen", &["-y", "-P", "", "-f", &memfd::path(&copy)])?;
        let why = match PublicKey::parse(&output.stdout) {
            Ok(key) if output.success() => return Ok(key),
            _ if output.stderr.contains("passphrase") => {
                "has a passphrase, which nobody could type on the host"
            }
            _ => "is not an ed25519 key, or is damaged",
        };
        bail!(
            Refused, "the host key {} {why}", self.dir.join(file).display();
            hint: "move it away, then run `cargo xtask identity make {}` to make another", self.host
        )
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let [from, to] = [from, to].map(|name| self.dir.join(name));
        let public = (public_of(&from), public_of(&to));
        for (from, to) in [&public, &(from, to)] {
            match fs::rename(from, to) {
                // An interrupted run has moved the public key already. It follows from the private one.
                Err(error) if error.kind() == ErrorKind::NotFound && *from == public.0 => {}
                renamed => {
                    renamed.with_context(|| format!("renaming {} to {}", from.display(), to.display()))?;
                }
            }
        }
        Ok(())
    }
}

fn public_of(private: &Path) -> PathBuf {
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

fn require_keygen(launcher: &Launcher) -> Result<()> {
    launcher.which("ssh-keygen").map(drop).ok_or_else(|| {
        failure!(
            Refused, "no ssh-keygen on PATH";
            hint: "run `cargo xtask setup`, or pass --identity none"
        )
    })
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", file.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
