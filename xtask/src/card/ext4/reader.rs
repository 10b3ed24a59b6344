//! What a file system holds, read by the reader of images and not by the programs that write to it.

use std::fs::File;

use anyhow::{Context, Result};

use super::wrong;
use crate::card::image::Ext4Region;
use crate::card::inspect::{Budget, Ext4};
use crate::identity::{EntryKind, PAYLOAD_ROOT, PayloadEntry};

/// What the way to one file may cost, in bytes.
const WAY: u64 = 256 << 10;

/// A file system that is looked at.
pub struct View<'a>(Ext4<'a>);

/// What is at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CurrentFiles {
    Nothing,
    Folder,
    Other,
}

impl<'a> View<'a> {
    /// The file system `root` of a disk.
    pub fn open(disk: &'a File, root: &Ext4Region, budget: Budget<'a>) -> Result<Self> {
        Ext4::open(disk, root.start, root.size, budget).map(Self).context("reading its file system")
    }

    /// What is at `path` itself: a link is not followed.
    pub fn look(&self, path: &str) -> Result<CurrentFiles> {
        Ok(match self.0.find_itself(path).with_context(|| format!("looking at {path}"))? {
            None => CurrentFiles::Nothing,
            Some(found) if found.is_folder() => CurrentFiles::Folder,
            Some(_) => CurrentFiles::Other,
        })
    }

    /// Fails where one of `entries` is not as it should be.
    pub fn has(&self, entries: &[PayloadEntry]) -> Result<()> {
        entries.iter().try_for_each(|entry| self.has_one(entry))
    }

    fn has_one(&self, entry: &PayloadEntry) -> Result<()> {
        let path = format!("{PAYLOAD_ROOT}/{}", entry.path);
        let doing = || format!("reading {path}");
        let absent = || wrong(format!("{path} is not there"));
        let found = self.0.find_itself(&path).with_context(doing)?.ok_or_else(absent)?;
        let owner = (found.user, found.group) == (entry.owner.user, entry.owner.group);
        let mode = found.mode & 0o7777 == entry.mode;
        let right = match &entry.kind {
            // Its mode may be that of the image.
            EntryKind::Folder => found.is_folder(),
            EntryKind::Link(target) => {
                owner && found.is_link() && self.0.target(&found).with_context(doing)? == target.as_bytes()
            }
            EntryKind::File(content) => {
                let size = content.reveal().len() as u64;
                let same = owner && mode && found.is_file() && found.size == size;
                same && self.0.content(&found, size).with_context(doing)? == content.reveal()
            }
        };
        if right { Ok(()) } else { Err(wrong(format!("{path} is not as it was put there"))) }
    }
}

/// What it may cost to read `entries` back: what they hold, and the way to each of them.
pub fn cost(entries: &[PayloadEntry]) -> u64 {
    let each = |entry: &PayloadEntry| match &entry.kind {
        EntryKind::File(content) => WAY + 2 * content.reveal().len() as u64,
        EntryKind::Folder | EntryKind::Link(_) => WAY,
    };
    entries.iter().map(each).sum()
}
