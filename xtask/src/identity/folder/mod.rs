//! Where the keys of a host are on the workstation, and how they get there.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::access::Readable;
use super::key::PublicKey;
use super::known_hosts::KnownHosts;
use super::payload::{Identity, KeyOrigin};
use super::secret::Secret;
use crate::base::failure::ExitKind;
use crate::base::memfd;
use crate::base::process::Launcher;
use crate::base::state;

/// Which key a card gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    /// The one that the host has had; its first one is made
    #[default]
    Keep,
    /// Another one: whoever knows the old one is warned by ssh
    New,
    /// None: the host makes its own when it boots first
    None,
}

/// The file of the private key; that of the public one ends in `.pub`.
pub(super) const FILE: &str = "ssh_host_ed25519_key";
/// Where a key waits that is to replace another, until a card has it. Of one that an earlier run left here nobody
/// knows whether a card has it, so that it is never removed.
const WAITING: &str = "ssh_host_ed25519_key.new";
/// The most bytes that are read of a private key.
const LARGEST: u64 = 64 << 10;
/// Where a key is made.
const PART: &str = "ssh_host_ed25519_key.part";

/// The folder with the keys of one host.
#[derive(Clone, Debug)]
pub struct Folder {
    host: String,
    dir: PathBuf,
}

/// A key that a card is to have.
#[derive(Debug)]
pub struct HostKey {
    folder: Folder,
    /// The name of its file in the folder.
    file: &'static str,
    pub identity: Identity,
    pub public: PublicKey,
    pub private: Secret,
    /// Keeps other runs from the folder until the key is settled.
    _lock: File,
}

impl Folder {
    /// That of `host` in `dir`, or in the project's state folder.
    ///
    /// # Errors
    /// A name that is none for a host.
    pub fn new(host: &str, dir: Option<&Path>) -> Result<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if host.is_empty()
            || host.starts_with(['.', '-'])
            || !host.chars().all(plain)
            || host == "known_hosts"
        {
            return Err(ExitKind::Usage.error(format!("{host:?} is no name for a host with an identity")));
        }
        let dir = dir.map_or_else(super::folder, Path::to_owned);
        // Children run in another folder than this process.
        let dir = std::path::absolute(&dir).with_context(|| format!("finding {}", dir.display()))?;
        Ok(Self { host: host.to_owned(), dir: dir.join(host) })
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// The key that the host has, if it has one.
    pub fn public(&self, launcher: &Launcher) -> Result<Option<PublicKey>> {
        self.public_in(launcher, FILE)
    }

    /// The key that an earlier run left waiting: a card may have it.
    pub fn waiting(&self, launcher: &Launcher) -> Result<Option<PublicKey>> {
        self.public_in(launcher, WAITING)
    }

    /// The public half of the key in `file`, if there is one. The folder is open for no longer than it takes to read it.
    fn public_in(&self, launcher: &Launcher, file: &str) -> Result<Option<PublicKey>> {
        state::check_folder(&self.dir)?;
        let readable = Readable::open(&self.dir)?;
        let private = self.has(file).then(|| self.read_private(file)).transpose()?;
        drop(readable);
        private.map(|private| self.derive(launcher, file, &private)).transpose()
    }

    /// The key for a card. One that is to replace another only waits, until [`HostKey::settle`].
    ///
    /// # Errors
    /// Of [`ExitKind::Refused`] while another run is about to change the key.
    pub fn choose(&self, launcher: &Launcher, choice: Choice) -> Result<Option<HostKey>> {
        if choice == Choice::None {
            return Ok(None);
        }
        state::private_folder(&self.dir).with_context(|| format!("creating {}", self.dir.display()))?;
        let readable = Readable::open(&self.dir)?;
        let lock = self.lock(choice)?;
        let (file, novelty) = match choice {
            Choice::Keep if self.has(FILE) => (FILE, KeyOrigin::Kept),
            _ if self.has(WAITING) => (WAITING, KeyOrigin::Waiting),
            _ if self.has(FILE) => (WAITING, KeyOrigin::New),
            _ => (FILE, KeyOrigin::New),
        };
        if novelty == KeyOrigin::New {
            self.make(launcher, file)?;
        }
        let private = self.read_private(file)?;
        drop(readable);
        let public = self.derive(launcher, file, &private)?;
        let identity = Identity { host: self.host.clone(), fingerprint: public.fingerprint(), novelty };
        Ok(Some(HostKey { folder: self.clone(), file, identity, public, private, _lock: lock }))
    }

    /// Several cards may get the same key at once; who may change the key is alone.
    fn lock(&self, choice: Choice) -> Result<File> {
        let doing = || format!("locking {}", self.dir.display());
        let folder = File::open(&self.dir).with_context(doing)?;
        let how = match choice {
            Choice::Keep if self.has(FILE) => FlockOperation::NonBlockingLockShared,
            _ => FlockOperation::NonBlockingLockExclusive,
        };
        match flock(&folder, how) {
            Err(Errno::WOULDBLOCK) => Err(ExitKind::Refused.error(format!(
                "another run has the key of {} in hand ({}); wait for its end",
                self.host,
                self.dir.display()
            ))),
            locked => locked.map(|()| folder).with_context(doing),
        }
    }

    /// The private key in `file`, which may be a link to what others cannot change either.
    fn read(&self, file: &str) -> Result<Secret> {
        let path = self.dir.join(file);
        let real = path.canonicalize().with_context(|| format!("reading {}", path.display()))?;
        let read = state::read(&real, LARGEST)?;
        read.map(Secret::new).with_context(|| format!("{} is gone", path.display()))
    }

    /// Where a key waits, or would.
    pub fn waiting_place(&self) -> PathBuf {
        self.dir.join(WAITING)
    }

    fn has(&self, file: &str) -> bool {
        self.dir.join(file).exists()
    }

    /// Makes a pair of keys. It is moved to its place when it is whole.
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
    /// Of [`ExitKind::Refused`] for what ssh would refuse.
    fn read_private(&self, file: &str) -> Result<Secret> {
        let path = self.dir.join(file);
        // A pipe would be waited for.
        if !path.is_file() {
            let text = format!("the host key {} is no file; move it away", path.display());
            return Err(ExitKind::Refused.error(text));
        }
        is_private(&self.dir, "700")?;
        is_private(&path, "600")?;
        self.read(file)
    }

    /// The public half of the private key that was in `file`.
    ///
    /// # Errors
    /// Of [`ExitKind::Refused`] for what no host could use.
    fn derive(&self, launcher: &Launcher, file: &str, private: &Secret) -> Result<PublicKey> {
        require_keygen(launcher)?;
        let copy = memfd::holding("key", private.reveal())?;
        let output = launcher.capture("ssh-keygen", &["-y", "-P", "", "-f", &memfd::path(&copy)])?;
        let shown = self.dir.join(file);
        let shown = shown.display();
        let why = match PublicKey::parse(&output.stdout) {
            Ok(key) if output.success() => return Ok(key),
            _ if output.stderr.contains("passphrase") => {
                "has a passphrase, which nobody could type on the host"
            }
            _ => "is no ed25519 key, or a damaged one",
        };
        Err(ExitKind::Refused.error(format!(
            "the host key {shown} {why}; move it away, and `cargo xtask identity make {}` makes another",
            self.host
        )))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let [from, to] = [from, to].map(|name| self.dir.join(name));
        let public = (public_of(&from), public_of(&to));
        for (from, to) in [&public, &(from, to)] {
            match fs::rename(from, to) {
                // A run that was cut off has moved it already. It only tells what the private half tells too.
                Err(error) if error.kind() == ErrorKind::NotFound && *from == public.0 => {}
                moved => moved.with_context(|| format!("moving {} to its place", from.display()))?,
            }
        }
        Ok(())
    }
}

impl HostKey {
    /// Whether it is one that an earlier run left waiting.
    pub fn has_waited(&self) -> bool {
        self.identity.novelty == KeyOrigin::Waiting
    }

    /// A card has the key: it is the one of the host from here on, and ssh is to know it. Returns whether
    /// `known_hosts` was changed for that.
    pub fn settle(&self) -> Result<bool> {
        if self.file == WAITING {
            let _readable = Readable::open(&self.folder.dir)?;
            if self.folder.read(WAITING)? != self.private {
                let place = self.folder.waiting_place();
                let text = format!("{} is not the key any more that the card has", place.display());
                return Err(ExitKind::Other.error(text));
            }
            self.folder.rename(WAITING, FILE)?;
        }
        KnownHosts::of(&super::folder()).set(&self.folder.host, Some(&self.public.line()))
    }
}

/// The host makes its own key: whatever was known of it is wrong. Returns whether there was something.
pub fn forget(host: &str) -> Result<bool> {
    KnownHosts::of(&super::folder()).set(host, None)
}

fn public_of(private: &Path) -> PathBuf {
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// Refuses what others may look into, as ssh does.
fn is_private(path: &Path, fit: &str) -> Result<()> {
    let doing = || format!("looking at {}", path.display());
    let mode = path.metadata().with_context(doing)?.permissions().mode() & 0o777;
    if mode | 0o700 == 0o700 {
        return Ok(());
    }
    let text = format!("{0} has mode {mode:04o}; run `chmod {fit} {0}`", path.display());
    Err(ExitKind::Refused.error(text))
}

fn require_keygen(launcher: &Launcher) -> Result<()> {
    if launcher.which("ssh-keygen").is_some() {
        return Ok(());
    }
    let text = "there is no ssh-keygen on PATH; run `cargo xtask setup`, or say --identity none";
    Err(ExitKind::Refused.error(text))
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
