//! The journal of a change: its steps, each of which may be run again.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};

use super::Identities;
use super::folders::rename_once;
use crate::base::state;
use crate::identity::known_hosts::NewKeys;
use crate::{bail, failure};

/// The file of the journal, beside the folders of hosts.
const FILE: &str = ".change.json";
/// The maximum size of the journal, in bytes.
const MAX_SIZE: u64 = 16 << 20;
/// The version of the format.
const VERSION: u32 = 1;

/// The steps of a change, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    version: u32,
    /// Names of folders beside the journal: from, to.
    renames: Vec<(String, String)>,
    keys: Vec<KeysOfFile>,
}

/// New keys of hosts in a `known_hosts`. The journal names no path: one that came with a checkout could name any file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysOfFile {
    pub file: KnownHostsFile,
    pub keys: NewKeys,
}

/// A `known_hosts` that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KnownHostsFile {
    OfProject,
    Published,
}

impl KeysOfFile {
    /// Writes the keys to the file.
    fn write(&self, identities: &Identities) -> Result<()> {
        match (self.file, &identities.published) {
            (KnownHostsFile::OfProject, _) => identities.known_hosts.set_all(&self.keys).map(drop),
            (KnownHostsFile::Published, Some(file)) => {
                file.set_all(&self.keys, identities.folder()).map(drop)
            }
            // The flake has moved since.
            (KnownHostsFile::Published, None) => Ok(()),
        }
    }

    /// The keys that the hosts have in the file now.
    fn now(&self, identities: &Identities) -> Result<Self> {
        let mut keys = NewKeys::new();
        for host in self.keys.keys() {
            let found = match (self.file, &identities.published) {
                (KnownHostsFile::OfProject, _) => identities.known_hosts.keys_of(host)?,
                (KnownHostsFile::Published, Some(file)) => file.keys_of(host)?,
                (KnownHostsFile::Published, None) => Vec::new(),
            };
            keys.insert(host.clone(), found);
        }
        Ok(Self { keys, file: self.file })
    }
}

/// What a change replaces in the files with keys.
pub struct Undo(Vec<KeysOfFile>);

impl Journal {
    /// Adds a step that renames a folder.
    pub fn rename(&mut self, from: &str, to: &str) {
        self.renames.push((from.to_owned(), to.to_owned()));
    }

    /// Adds a step that writes keys, which follows all renames.
    pub fn set_keys(&mut self, keys: KeysOfFile) {
        if !keys.keys.is_empty() {
            self.keys.push(keys);
        }
    }

    /// Whether `folder` has a journal.
    pub fn exists(folder: &Path) -> bool {
        folder.join(FILE).symlink_metadata().is_ok()
    }

    /// The journal in `folder`; `None` where there is none.
    ///
    /// # Errors
    /// `Refused` for a file that is no journal of this version.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let Some(bytes) = state::read(&path, MAX_SIZE)? else { return Ok(None) };
        let journal = serde_json::from_slice::<Self>(&bytes);
        let is_name = |name: &String| !name.is_empty() && !name.contains('/') && name != "." && name != "..";
        match journal {
            Ok(journal) if journal.version != VERSION => {
                bail!(Refused, "{} was written by another version of this tool", path.display(); hint: "run that version once")
            }
            Ok(journal) if journal.renames.iter().all(|(from, to)| is_name(from) && is_name(to)) => {
                Ok(Some(journal))
            }
            _ => Err(state::unusable_error(&path, "is no record of a change")),
        }
    }

    /// Writes the journal to `folder`: from now on the change counts.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let journal = Self { version: VERSION, ..self.clone() };
        let path = folder.join(FILE);
        state::remove_temporary_files(&path);
        state::write(&path, &serde_json::to_vec(&journal).context("writing a journal")?)
    }

    /// Removes the journal: the change is complete, or undone.
    pub fn remove(folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let doing = || format!("removing {}", path.display());
        sync(folder).with_context(doing)?;
        fs::remove_file(&path).with_context(doing)?;
        sync(folder).with_context(doing)
    }

    /// Checks that the files with keys can be read and written. Returns what they have now.
    ///
    /// # Errors
    /// `Refused` where they cannot.
    pub fn check(&self, identities: &Identities) -> Result<Undo> {
        identities.known_hosts.check()?;
        let is_published = self.keys.iter().any(|keys| keys.file == KnownHostsFile::Published);
        if let Some(file) = identities.published.as_ref().filter(|_| is_published) {
            let folder = file.path().parent().unwrap_or(Path::new("/"));
            access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
                failure!(
                    Refused, "nothing was changed: {} cannot be written: {error}", file.path().display();
                    hint: "run the command in a checkout of your own"
                )
            })?;
        }
        Ok(Undo(self.keys.iter().map(|keys| keys.now(identities)).collect::<Result<_>>()?))
    }

    /// Runs all steps that are not done yet. An error comes with the number of steps before it.
    pub fn run(&self, identities: &Identities) -> Result<(), (usize, anyhow::Error)> {
        let run = |step| self.run_step(identities, step).map_err(|error| (step, error));
        (0..self.steps()).try_for_each(run)
    }

    /// The number of steps.
    pub fn steps(&self) -> usize {
        self.renames.len() + self.keys.len()
    }

    /// Runs the step with this number.
    pub fn run_step(&self, identities: &Identities, step: usize) -> Result<()> {
        match self.renames.get(step) {
            Some((from, to)) => rename_once(identities.folder(), from, to),
            None => self.keys[step - self.renames.len()].write(identities),
        }
    }

    /// Undoes the first `count` steps.
    ///
    /// # Errors
    /// The first of the steps that cannot be undone. The others are undone all the same.
    pub fn undo(&self, identities: &Identities, undo: &Undo, count: usize) -> Result<()> {
        let keys = undo.0.iter().take(count.saturating_sub(self.renames.len())).rev();
        let keys = keys.map(|keys| keys.write(identities)).collect::<Vec<_>>();
        let renames = self.renames.iter().take(count).rev();
        let renames = renames.map(|(from, to)| rename_once(identities.folder(), to, from));
        keys.into_iter().chain(renames.collect::<Vec<_>>()).collect()
    }
}

/// Makes the names in `folder` survive a crash of the machine.
fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}
