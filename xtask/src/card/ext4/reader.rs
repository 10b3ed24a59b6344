//! Reading a file system with the project's own reader, independent of the programs that write to it.

use std::fs::File;

use anyhow::{Context, Result};

use super::verification_error;
use crate::card::image::Ext4Region;
use crate::card::inspect::{Budget, Ext4, Inode};
use crate::identity::{EntryKind, Payload, PayloadEntry, PayloadRoot};

/// How much may be read to find one file, in bytes.
const LOOKUP_BUDGET: u64 = 256 << 10;

/// A file system that is read.
pub struct Ext4Reader<'a>(Ext4<'a>);

/// What a file system has at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathState {
    Missing,
    Folder,
    Other,
}

impl<'a> Ext4Reader<'a> {
    /// Opens the file system `region` of a disk.
    pub fn open(disk: &'a File, region: &Ext4Region, budget: Budget<'a>) -> Result<Self> {
        Ext4::open(disk, region.start, region.size, budget).map(Self).context("reading the file system")
    }

    /// What the file system has at `path`; links are not followed.
    pub fn state(&self, path: &str) -> Result<PathState> {
        Ok(match self.0.find_itself(path).with_context(|| format!("finding {path}"))? {
            None => PathState::Missing,
            Some(found) if found.is_folder() => PathState::Folder,
            Some(_) => PathState::Other,
        })
    }

    /// Passes the content of the file `path` to `each`, in pieces.
    pub fn read_file(&self, path: &str, each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let found = self.0.find_itself(path).with_context(|| format!("finding {path}"))?;
        let found = found.filter(Inode::is_file);
        self.0.read_pieces(&found.ok_or_else(|| verification_error(format!("{path} is missing")))?, each)
    }

    /// Fails where an entry of `payload` is missing, or differs from what the file system has.
    pub fn verify(&self, payload: &Payload) -> Result<()> {
        payload.entries.iter().try_for_each(|entry| self.verify_entry(&payload.root, entry))
    }

    fn verify_entry(&self, root: &PayloadRoot, entry: &PayloadEntry) -> Result<()> {
        let path = root.join(&entry.path);
        let doing = || format!("reading {path}");
        let missing = || verification_error(format!("{path} is missing"));
        let found = self.0.find_itself(&path).with_context(doing)?.ok_or_else(missing)?;
        let same_owner = (found.user, found.group) == (entry.owner.user, entry.owner.group);
        let same_mode = found.mode & 0o7777 == entry.mode;
        let same = match &entry.kind {
            // A folder of the image keeps its mode.
            EntryKind::Folder => found.is_folder(),
            EntryKind::Link(target) => {
                let is_own_link = same_owner && found.is_link();
                is_own_link && self.0.link_target(&found).with_context(doing)? == target.as_bytes()
            }
            EntryKind::File(content) => {
                let size = content.reveal().len() as u64;
                let same_inode = same_owner && same_mode && found.is_file() && found.size == size;
                same_inode && self.0.content(&found, size).with_context(doing)? == content.reveal()
            }
        };
        if same { Ok(()) } else { Err(verification_error(format!("{path} differs from what was written"))) }
    }
}

/// How much may be read to verify `entries`, in bytes: twice their content, and the lookup of each.
pub fn read_budget(entries: &[PayloadEntry]) -> u64 {
    let of_entry = |entry: &PayloadEntry| match &entry.kind {
        EntryKind::File(content) => LOOKUP_BUDGET + 2 * content.reveal().len() as u64,
        EntryKind::Folder | EntryKind::Link(_) => LOOKUP_BUDGET,
    };
    entries.iter().map(of_entry).sum()
}
