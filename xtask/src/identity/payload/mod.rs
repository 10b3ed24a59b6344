//! What belongs to one host alone and is put on its card beside the image.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::key::PublicKey;
use super::secret::Secret;
use crate::base::failure::ExitKind;
use crate::base::{Bytes, Plain};

/// Where the host expects its key, relative to [`PLACE`].
pub const KEY: &str = "etc/ssh/ssh_host_ed25519_key";

/// The folder of `NIXOS_SD` that everything is put into. On the host that partition is /nix.
pub const PLACE: &str = "/persist";

/// All that is put on one card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// None where only files were asked for.
    pub identity: Option<Identity>,
    /// The folder that the other files are from.
    pub files: Option<PathBuf>,
    /// Folders before what is in them.
    pub entries: Vec<Entry>,
}

/// Who the host on the card is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub host: String,
    /// `SHA256:…`.
    pub fingerprint: String,
    pub novelty: KeyOrigin,
}

/// Whether a host has had its key before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOrigin {
    Kept,
    New,
    /// Made by an earlier run, of which nobody knows whether a card got it.
    Waiting,
}

/// One file, folder or link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Relative to [`PLACE`].
    pub path: String,
    /// The permissions, without the kind of file.
    pub mode: u16,
    pub owner: Owner,
    pub what: What,
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
pub enum What {
    /// One that the image has stays as it is.
    Folder,
    File(Secret),
    Link(String),
}

impl Payload {
    /// The key of a host with the files of a folder, each if there is one; nothing where there is neither.
    ///
    /// # Errors
    /// Files that have a host key of their own, or something else where a folder has to be.
    pub fn gather(
        key: Option<(Identity, &PublicKey, Secret)>,
        files: Option<(PathBuf, Vec<Entry>)>,
    ) -> Result<Option<Self>> {
        let (files, own) = files.map_or((None, Vec::new()), |(from, own)| (Some(from), own));
        let (identity, keys) = match key {
            Some((identity, public, private)) => {
                let keys = key_files(&identity, public, private);
                (Some(identity), keys)
            }
            None => (None, Vec::new()),
        };
        if let Some(twice) = own.iter().find(|entry| keys.iter().any(|key| key.path == entry.path)) {
            let text = format!(
                "--files has {}, which is the identity; leave it out, or say --identity none",
                twice.path
            );
            return Err(ExitKind::Refused.error(text));
        }
        if identity.is_none() && own.is_empty() {
            return Ok(None);
        }
        let entries = with_folders(own.into_iter().chain(keys).collect());
        only_folders_hold(&entries)?;
        Ok(Some(Self { identity, files, entries }))
    }

    /// How many files and links there are beside the identity.
    fn others(&self) -> impl Iterator<Item = &Entry> {
        let own = |entry: &&Entry| self.identity.is_some() && entry.path.starts_with(KEY);
        self.entries.iter().filter(move |entry| entry.what != What::Folder && !own(entry))
    }

    /// The most blocks of `block` bytes, and inodes, that it takes. What has no content may take a block all the same, for
    /// a long link or the list of what is in a folder, and so may the folder it is in.
    pub fn room(&self, block: u64) -> (u64, u64) {
        let blocks = self.entries.iter().map(|entry| match &entry.what {
            What::File(content) => (content.reveal().len() as u64).div_ceil(block) + 1,
            What::Folder | What::Link(_) => 2,
        });
        (blocks.sum(), self.entries.len() as u64 + 1)
    }

    /// What it is called in one word.
    pub fn name(&self) -> &'static str {
        if self.identity.is_some() { "identity" } else { "files" }
    }

    /// `the identity of stinky and 3 files`.
    pub fn words(&self) -> String {
        let identity = self.identity.as_ref().map(|identity| format!("the identity of {}", identity.host));
        let files = match self.others().count() {
            0 => None,
            1 => Some("1 file".to_owned()),
            count => Some(format!("{count} files")),
        };
        [identity, files].into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }
}

/// So many files are named in a plan.
const NAMED: usize = 12;

impl fmt::Display for Payload {
    /// The lines of a plan, each with its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Identity { host, fingerprint, novelty }) = &self.identity {
            let novelty = match novelty {
                KeyOrigin::Kept => "kept",
                KeyOrigin::New => "new",
                KeyOrigin::Waiting => "new, made for a flash that did not end",
            };
            writeln!(f, "identity {fingerprint} of {} ({novelty})", Plain(host))?;
        }
        let mut name = "files";
        for entry in self.others().take(NAMED) {
            writeln!(f, "{name:8}{entry}")?;
            name = "";
        }
        match self.others().count().saturating_sub(NAMED) {
            0 => Ok(()),
            more => writeln!(f, "        and {more} more"),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, mode, owner, what } = self;
        let path = Plain(path);
        let owned = match *owner {
            Owner::ROOT => String::new(),
            Owner { user, group } => format!(", owner {user}:{group}"),
        };
        match what {
            What::Folder => write!(f, "{path}/ (mode {mode:04o}{owned})"),
            What::File(content) => {
                let size = Bytes(content.reveal().len() as u64);
                write!(f, "{path} ({size}, mode {mode:04o}{owned})")
            }
            What::Link(target) => write!(f, "{path} (link to {})", Plain(target)),
        }
    }
}

fn key_files(identity: &Identity, public: &PublicKey, private: Secret) -> Vec<Entry> {
    let file =
        |path: String, mode, content| Entry { path, mode, owner: Owner::ROOT, what: What::File(content) };
    let line = format!("{} {}\n", public.line(), identity.host);
    vec![
        file(KEY.to_owned(), 0o600, private),
        file(format!("{KEY}.pub"), 0o644, Secret::new(line.into_bytes())),
    ]
}

/// `entries` sorted, with the folders that hold them; those that nobody described are root's, for all to read.
fn with_folders(mut entries: Vec<Entry>) -> Vec<Entry> {
    let known = entries.iter().map(|entry| entry.path.clone()).collect::<BTreeSet<_>>();
    let parents = known.iter().flat_map(|path| path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
    let missing = parents.filter(|path| !known.contains(path)).collect::<BTreeSet<_>>();
    let folder = |path| Entry { path, mode: 0o755, owner: Owner::ROOT, what: What::Folder };
    entries.extend(missing.into_iter().map(folder));
    // Byte by byte a folder comes before what is in it.
    entries.sort_by(|left, right| left.path.cmp(&right.path));
    entries
}

/// Refuses `entries` of which one is in another that is no folder.
fn only_folders_hold(entries: &[Entry]) -> Result<()> {
    let within = |inner: &Entry, outer: &Entry| {
        inner.path.strip_prefix(&outer.path).is_some_and(|rest| rest.starts_with('/'))
    };
    // They are sorted, but not so that one comes right before what is in it.
    for outer in entries.iter().filter(|entry| entry.what != What::Folder) {
        if let Some(inner) = entries.iter().find(|inner| within(inner, outer)) {
            let (outer, inner) = (Plain(&outer.path), Plain(&inner.path));
            let text = format!("--files has {outer}, which is no folder, and {inner} is to be in it");
            return Err(ExitKind::Refused.error(text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
