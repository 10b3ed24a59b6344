//! What belongs to one host alone and is put on its card beside the image.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::key::PublicKey;
use super::secret::Secret;
use crate::failure::Kind;
use crate::ui::Bytes;

/// Where the host expects its key, relative to [`PLACE`].
pub const KEY: &str = "etc/ssh/ssh_host_ed25519_key";

/// The folder of `NIXOS_SD` that everything is put into. On the host that partition is /nix.
pub const PLACE: &str = "/persist";

/// All that is put on one card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belongings {
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
    pub novelty: Novelty,
}

/// Whether a host has had its key before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Novelty {
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

impl Belongings {
    /// The key of a host with the files of a folder, each if there is one; nothing where there is neither.
    ///
    /// # Errors
    /// Files that have a host key of their own.
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
            return Err(Kind::Refused.error(text));
        }
        if identity.is_none() && own.is_empty() {
            return Ok(None);
        }
        let entries = with_folders(own.into_iter().chain(keys).collect());
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

impl fmt::Display for Belongings {
    /// The lines of a plan, each with its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Identity { host, fingerprint, novelty }) = &self.identity {
            let novelty = match novelty {
                Novelty::Kept => "kept",
                Novelty::New => "new",
                Novelty::Waiting => "new, made for a flash that did not end",
            };
            writeln!(f, "identity {fingerprint} of {host} ({novelty})")?;
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
            What::Link(target) => write!(f, "{path} (link to {target})"),
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

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw";

    fn key() -> (Identity, PublicKey, Secret) {
        let public = PublicKey::parse(LINE).unwrap();
        let identity =
            Identity { host: "pi".into(), fingerprint: public.fingerprint(), novelty: Novelty::New };
        (identity, public, Secret::new(b"private".to_vec()))
    }

    fn entry(path: &str, what: What) -> Entry {
        Entry { path: path.into(), mode: 0o640, owner: Owner { user: 3, group: 4 }, what }
    }

    fn file(path: &str) -> Entry {
        entry(path, What::File(Secret::new(b"12345".to_vec())))
    }

    #[test]
    fn what_is_put_where() {
        let (identity, public, private) = key();
        let files =
            vec![file("wifi/home.conf"), entry("wifi", What::Folder), entry("z", What::Link("../a".into()))];
        let all = Belongings::gather(Some((identity, &public, private)), Some(("/files".into(), files)));
        let all = all.unwrap().unwrap();
        let lines = all.entries.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            lines,
            [
                "etc/ (mode 0755)",
                "etc/ssh/ (mode 0755)",
                "etc/ssh/ssh_host_ed25519_key (7 B, mode 0600)",
                "etc/ssh/ssh_host_ed25519_key.pub (84 B, mode 0644)",
                "wifi/ (mode 0640, owner 3:4)",
                "wifi/home.conf (5 B, mode 0640, owner 3:4)",
                "z (link to ../a)",
            ]
        );
        assert_eq!(all.words(), "the identity of pi and 2 files");
        assert_eq!(
            all.to_string(),
            "identity SHA256:hDnkBipv08ZX2EQJwP4gN2mLnwYd4ZMyo6oUsECY7mY of pi (new)\n\
             files   wifi/home.conf (5 B, mode 0640, owner 3:4)\n        z (link to ../a)\n"
        );
        assert!(!format!("{all:?}").contains("private"));
    }

    #[test]
    fn one_of_both_or_none() {
        let (identity, public, private) = key();
        let one = Belongings::gather(Some((identity, &public, private)), None).unwrap().unwrap();
        assert_eq!(one.words(), "the identity of pi");
        let files = (0..14).map(|number| file(&format!("{number:02}"))).collect();
        let files = Belongings::gather(None, Some(("/files".into(), files))).unwrap().unwrap();
        assert_eq!(
            (files.words().as_str(), files.to_string().lines().last()),
            ("14 files", Some("        and 2 more"))
        );
        assert_eq!(Belongings::gather(None, None).unwrap(), None);
        assert_eq!(Belongings::gather(None, Some(("/files".into(), Vec::new()))).unwrap(), None);
    }

    #[test]
    fn one_key_is_enough() {
        let (identity, public, private) = key();
        let files = Some(("/files".into(), vec![file(KEY)]));
        let error = Belongings::gather(Some((identity, &public, private)), files).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--files has etc/ssh/ssh_host_ed25519_key, which is the identity; leave it out, or say --identity none"
        );
    }
}
