//! The archive in a backup: the files of the identities as they are in the state folder, and a manifest.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tar::{Archive, Builder, Entry, EntryType, Header};

use crate::base::process::Launcher;
use crate::base::{Bytes, HostName};
use crate::identity::KEY_FILE;
use crate::identity::PENDING;
use crate::identity::folder::{MAX_KEY_SIZE, public_key_of};
use crate::identity::folder_name::can_name_folder;
use crate::identity::known_hosts;
use crate::identity::known_key::KnownKey;
use crate::identity::secret::Secret;
use crate::identity::stored::{KeyPair, StoredIdentity};
use crate::{bail, failure};

/// The version of the format.
const VERSION: u32 = 1;
/// The maximum number of hosts.
const MAX_HOSTS: usize = 1000;
/// The maximum size of the `known_hosts` and of the manifest, in bytes.
const MAX_TEXT: u64 = 4 << 20;
/// The folder in the archive, called as the folder of keys in the state folder.
const FOLDER: &str = "identity";
const MANIFEST: &str = "manifest.json";
const README: &str = "README";
const README_TEXT: &str = "\
The identities of hosts: their private ssh host keys. Whoever has these files can impersonate the hosts.
With the tool:    cargo xtask identity restore FILE
Without the tool: put the folder `identity` into the state folder (.xtask beside flake.nix), with its modes.
";

/// The first file of the archive, which describes it.
#[derive(Serialize, Deserialize)]
struct Manifest {
    version: u32,
    /// For people; the files decide.
    #[serde(default)]
    hosts: Vec<ManifestHost>,
}

#[derive(Serialize, Deserialize)]
struct ManifestHost {
    host: HostName,
    fingerprint: Option<String>,
    pending: Option<String>,
}

/// The archive of `identities`.
pub fn pack(identities: &[StoredIdentity]) -> Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    let hosts = identities.iter().map(|identity| ManifestHost {
        host: identity.host.clone(),
        fingerprint: identity.fingerprint(),
        pending: identity.pending.as_ref().map(|pair| pair.public.fingerprint()),
    });
    let manifest = Manifest { version: VERSION, hosts: hosts.collect() };
    let mut manifest = serde_json::to_vec_pretty(&manifest).context("writing the manifest")?;
    manifest.push(b'\n');
    append(&mut archive, MANIFEST, &manifest)?;
    append(&mut archive, README, README_TEXT.as_bytes())?;
    append_folder(&mut archive, FOLDER)?;
    let known = identities.iter().filter_map(|identity| Some((&identity.host, identity.known.as_ref()?)));
    let known = known.map(|(host, key)| format!("{host} {key}\n")).collect::<String>();
    append(&mut archive, &format!("{FOLDER}/known_hosts"), known.as_bytes())?;
    for identity in identities.iter().filter(|identity| !identity.files().is_empty()) {
        let folder = format!("{FOLDER}/{}", identity.host);
        append_folder(&mut archive, &folder)?;
        for (name, content) in identity.files() {
            append(&mut archive, &format!("{folder}/{name}"), &content)?;
        }
    }
    archive.into_inner().context("writing the archive")
}

fn append(archive: &mut Builder<Vec<u8>>, path: &str, content: &[u8]) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o600);
    archive.append_data(&mut header, path, content).context("writing the archive")
}

fn append_folder(archive: &mut Builder<Vec<u8>>, path: &str) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Directory);
    header.set_size(0);
    header.set_mode(0o700);
    archive.append_data(&mut header, format!("{path}/"), &[][..]).context("writing the archive")
}

/// The identities in the archive `bytes`, by host. Nothing is written, and every name and every key is checked.
///
/// # Errors
/// `Refused` for an archive with anything else in it.
pub fn unpack(launcher: &Launcher, bytes: &[u8]) -> Result<Vec<StoredIdentity>> {
    let contents = Contents::read(bytes)?;
    let known = |host: &HostName| known_key(&contents.known_hosts, host);
    let mut hosts = contents.keys.keys().cloned().collect::<Vec<_>>();
    hosts.extend(known_hosts::hosts(&contents.known_hosts));
    hosts.sort_unstable();
    hosts.dedup();
    if hosts.is_empty() || hosts.len() > MAX_HOSTS {
        bail!(Refused, "the backup has {} hosts; it must have 1 to {MAX_HOSTS}", hosts.len());
    }
    let identity = |host: HostName| {
        let files = contents.keys.get(&host);
        let pair = |name| files.and_then(|files| files.get(name)).map(|key| check_key(launcher, &host, key));
        let [key, pending] = [pair(KEY_FILE).transpose()?, pair(PENDING).transpose()?];
        let known = known(&host)?;
        Ok(StoredIdentity { host, key, pending, known })
    };
    hosts.into_iter().map(identity).collect()
}

/// The key of `host` in `known_hosts`.
fn known_key(known_hosts: &[u8], host: &HostName) -> Result<Option<String>> {
    let Some(line) = known_hosts::keys_of(known_hosts, host).into_iter().next() else { return Ok(None) };
    let key = KnownKey::parse(&line)
        .ok_or_else(|| failure!(Refused, "the backup has an unreadable public key of {host}"))?;
    Ok(Some(key.line()))
}

/// The private key of `host` with its public key.
fn check_key(launcher: &Launcher, host: &HostName, private: &Secret) -> Result<KeyPair> {
    let public = public_key_of(launcher, private)?
        .map_err(|fault| failure!(Refused, "the key of {host} in the backup {fault}"))?;
    Ok(KeyPair { private: private.clone(), public })
}

/// The files of an archive.
#[derive(Default)]
struct Contents {
    /// The private keys of each host, by the names of their files.
    keys: BTreeMap<HostName, BTreeMap<String, Secret>>,
    known_hosts: Vec<u8>,
}

impl Contents {
    fn read(bytes: &[u8]) -> Result<Self> {
        let mut contents = Self::default();
        let mut has_manifest = false;
        for entry in Archive::new(bytes).entries().map_err(unreadable_error)? {
            let mut entry = entry.map_err(unreadable_error)?;
            let path = std::str::from_utf8(&entry.path_bytes()).map_err(unreadable_error)?.to_owned();
            let is_folder = entry.header().entry_type() == EntryType::Directory;
            if !is_folder && entry.header().entry_type() != EntryType::Regular {
                return Err(unexpected_error(&path));
            }
            match (is_folder, &path.split('/').collect::<Vec<_>>()[..]) {
                (true, [FOLDER, ""]) | (false, [README]) => {}
                (true, [FOLDER, host, ""]) if can_name_folder(&(*host).into()) => {}
                (false, [MANIFEST]) if !has_manifest => {
                    check_version(&read(&mut entry, MAX_TEXT)?)?;
                    has_manifest = true;
                }
                (false, [FOLDER, "known_hosts"]) => contents.known_hosts = read(&mut entry, MAX_TEXT)?,
                (false, [FOLDER, host, file]) if can_name_folder(&(*host).into()) => {
                    contents.add(&path, (*host).into(), file, &mut entry)?;
                }
                _ => return Err(unexpected_error(&path)),
            }
        }
        if !has_manifest {
            bail!(
                Refused, "the file is encrypted, but is no backup of identities: it has no {MANIFEST}";
                hint: "name a file of `cargo xtask identity backup`"
            );
        }
        Ok(contents)
    }

    /// Adds the file at `path`. Public keys are derived from the private ones.
    fn add(&mut self, path: &str, host: HostName, file: &str, entry: &mut Entry<'_, &[u8]>) -> Result<()> {
        if let Some(KEY_FILE | PENDING) = file.strip_suffix(".pub") {
            return Ok(());
        }
        if ![KEY_FILE, PENDING].contains(&file) {
            return Err(unexpected_error(path));
        }
        let key = Secret::new(read(entry, MAX_KEY_SIZE)?);
        match self.keys.entry(host).or_default().insert(file.to_owned(), key) {
            Some(_) => Err(unexpected_error(path)),
            None => Ok(()),
        }
    }
}

/// The content of `entry`, of at most `limit` bytes.
fn read(entry: &mut Entry<'_, &[u8]>, limit: u64) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    entry.take(limit + 1).read_to_end(&mut content).map_err(unreadable_error)?;
    if content.len() as u64 > limit {
        bail!(Refused, "the backup has a file that is larger than the limit of {}", Bytes(limit));
    }
    Ok(content)
}

/// Checks that this tool reads the version of the manifest.
fn check_version(manifest: &[u8]) -> Result<()> {
    let manifest = serde_json::from_slice::<Manifest>(manifest).map_err(unreadable_error)?;
    if manifest.version != VERSION {
        bail!(
            Refused, "the backup has the version {}, and this tool reads version {VERSION}", manifest.version;
            hint: "use the version of the tool that wrote the backup, or a newer one"
        );
    }
    Ok(())
}

fn unreadable_error(error: impl std::fmt::Display) -> anyhow::Error {
    failure!(
        Refused, "the file is encrypted, but is no backup of identities: {error}";
        hint: "name a file of `cargo xtask identity backup`"
    )
}

fn unexpected_error(path: &str) -> anyhow::Error {
    failure!(Refused, "the backup has an unexpected file: {path}")
}
