//! The payload: the host key and the files that one card gets beside the image.

mod display;
mod entries;

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::key::PublicKey;
use super::secret::Secret;
use crate::bail;
use crate::base::HostName;
use entries::{join_entries, refuse_nesting_in_files, with_folders};

/// The path of the host key in the folder of the payload, unless the configuration of the host has another.
pub const KEY: &str = "etc/ssh/ssh_host_ed25519_key";

/// The folder of a partition that the payload is written to, and the place of the host key there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadRoot {
    /// The path of the folder in the partition, without a `/` at the end; empty for the root of the partition.
    folder: String,
    /// The path of the host key, relative to the folder.
    key: String,
}

impl PayloadRoot {
    /// The payload goes to `folder`, and the host key to `key` in it.
    ///
    /// # Errors
    /// `Refused` for paths with `..` or empty parts.
    pub fn new(folder: &str, key: &str) -> Result<Self> {
        let is_plain = |path: &str| path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !is_plain(key) || !folder.strip_prefix('/').map_or(folder.is_empty(), is_plain) {
            bail!(Refused, "the host key cannot be written to {key:?} in the folder {folder:?}");
        }
        Ok(Self { folder: folder.to_owned(), key: key.to_owned() })
    }

    /// The root for a partition that the host mounts at /nix, while its / is in memory.
    pub fn persist() -> Self {
        Self { folder: "/persist".to_owned(), key: KEY.to_owned() }
    }

    /// The root for a partition that the host mounts at /, as in the images of nixpkgs.
    pub fn partition() -> Self {
        Self { folder: String::new(), key: KEY.to_owned() }
    }

    /// The paths of the folder and of those that contain it, the outermost first. The root of the partition is not
    /// among them.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        // Each `/` but the first, and the end of the text, end the path of a folder.
        let inner_ends = self.folder.match_indices('/').map(|(at, _)| at).skip(1);
        let last_end = Some(self.folder.len()).filter(|end| *end > 0);
        inner_ends.chain(last_end).map(|end| &self.folder[..end])
    }

    /// The path of `entry` in the partition.
    pub fn join(&self, entry: impl fmt::Display) -> String {
        format!("{}/{entry}", self.folder)
    }

    /// Whether `entry`, a path relative to the folder, is that of the host key or of its public key.
    pub fn is_of_key(&self, entry: &str) -> bool {
        key_paths(&self.key).iter().any(|path| path == entry)
    }

    /// The path of the folder in the partition; `/` for the root of the partition.
    pub fn folder(&self) -> &str {
        if self.folder.is_empty() { "/" } else { &self.folder }
    }

    /// The path of the host key in the partition.
    #[cfg(test)]
    pub fn key_path(&self) -> String {
        self.join(&self.key)
    }

    /// Whether a root that was deserialized is one that [`Self::new`] makes.
    pub fn is_valid(&self) -> bool {
        Self::new(&self.folder, &self.key).is_ok()
    }
}

/// The payload of one card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    pub root: PayloadRoot,
    /// `None` for a payload of files only.
    pub identity: Option<Identity>,
    /// The folder that the files come from.
    pub files: Option<PathBuf>,
    /// The entries, folders before their content.
    pub entries: Vec<PayloadEntry>,
}

/// What files need of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub blocks: u64,
    pub inodes: u64,
}

/// A host and the fingerprint of its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    pub host: HostName,
    /// `SHA256:…`.
    pub fingerprint: String,
    // Receipts of earlier versions have the alias.
    #[serde(alias = "novelty")]
    pub origin: KeyOrigin,
}

/// Where the key of a card comes from: the host had it before this run, this run made it, or an earlier run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyOrigin {
    Kept,
    New,
    /// An earlier run made the key and left it pending; whether a card has it is unknown.
    // Receipts of earlier versions have the alias.
    #[serde(alias = "waiting")]
    Pending,
}

/// A file, folder or link of the payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadEntry {
    /// Relative to [`PayloadRoot::folder`].
    pub path: String,
    /// The permissions, without the file type.
    pub mode: u16,
    pub owner: Owner,
    pub kind: EntryKind,
}

/// The numbers of a user and a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub user: u32,
    pub group: u32,
}

impl Owner {
    pub const ROOT: Self = Self { user: 0, group: 0 };
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A folder that the image contains already stays as it is.
    Folder,
    File(Secret),
    Link(String),
}

impl Payload {
    /// A payload of nothing for the folder `root`.
    pub fn empty(root: PayloadRoot) -> Self {
        Self { root, identity: None, files: None, entries: Vec::new() }
    }

    /// The payload with this `identity`, whose key is not among its entries.
    #[must_use]
    pub fn with_identity(self, identity: Identity) -> Self {
        Self { identity: Some(identity), ..self }
    }

    /// The payload of a host key, of the files of a folder and of `own_entries`, which other options make; `None` where
    /// there is none of these. `key` is the identity with its public and its private key, `files` the folder with the
    /// entries that were read there.
    ///
    /// # Errors
    /// `Refused` for files that contain another host key, or a file where the payload needs a folder.
    pub fn gather(
        root: PayloadRoot,
        key: Option<(Identity, &PublicKey, Secret)>,
        files: Option<(PathBuf, Vec<PayloadEntry>)>,
        own_entries: Vec<PayloadEntry>,
    ) -> Result<Option<Self>> {
        let (files, extra) = match files {
            Some((folder, entries)) => (Some(folder), entries),
            None => (None, Vec::new()),
        };
        let (identity, keys) = match key {
            Some((identity, public, private)) => {
                let keys = key_files(&root.key, &identity, public, private);
                (Some(identity), keys)
            }
            None => (None, Vec::new()),
        };
        let is_key = |entry: &&PayloadEntry| keys.iter().any(|key| key.path == entry.path);
        if let Some(duplicate) = extra.iter().find(is_key) {
            bail!(
                Refused, "--files contains {}, which is also the host key", duplicate.path;
                hint: "remove it from --files, or pass --identity none"
            );
        }
        let extra = join_entries(extra, own_entries)?;
        if identity.is_none() && extra.is_empty() {
            return Ok(None);
        }
        let entries = with_folders(extra.into_iter().chain(keys).collect());
        refuse_nesting_in_files(&entries)?;
        Ok(Some(Self { root, identity, files, entries }))
    }

    /// The files and links of the payload, without those of the host key.
    fn extra_files(&self) -> impl Iterator<Item = &PayloadEntry> {
        let keys = self.identity.as_ref().map(|_| key_paths(&self.root.key));
        let is_key =
            move |entry: &&PayloadEntry| keys.as_ref().is_some_and(|keys| keys.contains(&entry.path));
        self.entries.iter().filter(move |entry| entry.kind != EntryKind::Folder && !is_key(entry))
    }

    /// Whether the payload has files or links beside the host key.
    pub fn has_files(&self) -> bool {
        self.extra_files().next().is_some()
    }

    /// The most that the payload needs of a file system with blocks of `block_size` bytes, which may lack the folders
    /// of the root. An entry without content may need a block too, for a long link or the list of a folder, and so may
    /// the folder that contains the entry.
    pub fn max_usage(&self, block_size: u64) -> Usage {
        let blocks = self.entries.iter().map(|entry| match &entry.kind {
            EntryKind::File(content) => (content.reveal().len() as u64).div_ceil(block_size) + 1,
            EntryKind::Folder | EntryKind::Link(_) => 2,
        });
        let root_folders = self.root.folders().count() as u64;
        let inodes = self.entries.len() as u64 + root_folders;
        Usage { blocks: blocks.sum::<u64>() + 2 * root_folders, inodes }
    }

    /// The name of the payload: `identity` for one with a host key, else `files`.
    pub fn name(&self) -> &'static str {
        if self.identity.is_some() { "identity" } else { "files" }
    }

    /// The payload in a few words, such as `the identity of stinky and 3 files`.
    pub fn summary(&self) -> String {
        let identity = self.identity.as_ref().map(|identity| format!("the identity of {}", identity.host));
        let files = match self.extra_files().count() {
            0 => None,
            1 => Some("1 file".to_owned()),
            count => Some(format!("{count} files")),
        };
        [identity, files].into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }
}

/// The entries of the private key at `path` and of the public key beside it.
fn key_files(path: &str, identity: &Identity, public: &PublicKey, private: Secret) -> Vec<PayloadEntry> {
    let file = |path: String, mode, content| {
        let kind = EntryKind::File(content);
        PayloadEntry { path, mode, owner: Owner::ROOT, kind }
    };
    let line = format!("{} {}\n", public.line(), identity.host);
    let [private_path, public_path] = key_paths(path);
    vec![file(private_path, 0o600, private), file(public_path, 0o644, Secret::new(line.into_bytes()))]
}

/// The paths of the private key at `path` and of the public key beside it.
fn key_paths(path: &str) -> [String; 2] {
    [path.to_owned(), format!("{path}.pub")]
}

#[cfg(test)]
mod tests;
