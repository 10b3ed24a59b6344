//! Where the keys of a host are on the workstation, and how they get there.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::belongings::{Identity, Novelty};
use super::key::PublicKey;
use super::known_hosts::KnownHosts;
use super::secret::Secret;
use crate::failure::Kind;
use crate::process::Launcher;

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
const FILE: &str = "ssh_host_ed25519_key";
/// Where a key waits that is to replace another, until a card has it.
const WAITING: &str = "ssh_host_ed25519_key.new";

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
}

impl Folder {
    /// That of `host` in `dir`, or in the project's state folder.
    ///
    /// # Errors
    /// A name that is none for a host.
    pub fn new(host: &str, dir: Option<&Path>) -> Result<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if host.is_empty() || host.starts_with(['.', '-']) || !host.chars().all(plain) {
            return Err(Kind::Usage.error(format!("{host:?} is no name for a host with an identity")));
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
        self.has(FILE).then(|| self.derive(launcher, FILE)).transpose()
    }

    /// The key for a card. One that is to replace another only waits, until [`HostKey::settle`].
    pub fn choose(&self, launcher: &Launcher, choice: Choice) -> Result<Option<HostKey>> {
        let had = self.has(FILE);
        let (file, novelty) = match choice {
            Choice::None => return Ok(None),
            Choice::Keep if had => (FILE, Novelty::Kept),
            Choice::New if had => (WAITING, Novelty::New),
            Choice::Keep | Choice::New => (FILE, Novelty::New),
        };
        if novelty == Novelty::New {
            self.make(launcher, file)?;
        }
        let public = self.derive(launcher, file)?;
        let path = self.dir.join(file);
        let private = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let identity = Identity { host: self.host.clone(), fingerprint: public.fingerprint(), novelty };
        Ok(Some(HostKey { folder: self.clone(), file, identity, public, private: Secret::new(private) }))
    }

    fn has(&self, file: &str) -> bool {
        self.dir.join(file).exists()
    }

    /// Makes a pair of keys. It is moved to its place when it is whole.
    fn make(&self, launcher: &Launcher, file: &str) -> Result<()> {
        super::private_folder(&self.dir)?;
        let path = self.dir.join(WAITING);
        for stale in [path.clone(), public_of(&path)] {
            remove(&stale)?;
        }
        let args = ["-q", "-t", "ed25519", "-N", "", "-C", &self.host, "-f"].map(Into::into);
        let args = args.into_iter().chain([path.into_os_string()]).collect::<Vec<_>>();
        keygen(launcher, &args).context("making the host key")?;
        self.rename(WAITING, file)
    }

    /// The public half of the private key in `file`. ssh-keygen refuses one that others may read, and one with a
    /// passphrase, which no host could use.
    fn derive(&self, launcher: &Launcher, file: &str) -> Result<PublicKey> {
        let path = self.dir.join(file);
        let doing = || format!("reading the host key {}", path.display());
        let mode = path.metadata().with_context(doing)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let text = format!("{0} has mode {mode:04o}; run `chmod 600 {0}`", path.display());
            return Err(Kind::Refused.error(text));
        }
        let args = ["-y", "-P", "", "-f"].map(Into::into);
        let args = args.into_iter().chain([path.clone().into_os_string()]).collect::<Vec<_>>();
        keygen(launcher, &args).and_then(|line| PublicKey::parse(&line)).with_context(doing)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let [from, to] = [from, to].map(|name| self.dir.join(name));
        let private_last = [(public_of(&from), public_of(&to)), (from, to)];
        for (from, to) in private_last {
            fs::rename(&from, &to).with_context(|| format!("moving {} to its place", from.display()))?;
        }
        Ok(())
    }
}

impl HostKey {
    /// A card has the key: it is the one of the host from here on, and ssh is to know it. Returns whether
    /// `known_hosts` was changed for that.
    pub fn settle(&self) -> Result<bool> {
        if self.file == WAITING {
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

fn keygen(launcher: &Launcher, args: &[std::ffi::OsString]) -> Result<String> {
    if launcher.which("ssh-keygen").is_none() {
        let text = "there is no ssh-keygen on PATH; run `cargo xtask setup`, or say --identity none";
        return Err(Kind::Refused.error(text));
    }
    launcher.read("ssh-keygen", args)
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", file.display()))
        }
        _ => Ok(()),
    }
}
