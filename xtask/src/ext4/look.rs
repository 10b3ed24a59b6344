//! What a file system holds, read by `ext4-view` and not by the programs that write to it.

use std::fs::File;

use anyhow::{Context, Result};
use ext4_view::{Ext4, Ext4Error};

use super::wrong;
use crate::identity::{Entry, PLACE, What};
use crate::image;

/// A file system that is looked at.
pub struct View(Ext4);

/// What is at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    Nothing,
    Folder,
    Other,
}

impl View {
    /// The file system that begins at byte `start` of the disk or the file at `path`.
    pub fn open(path: &str, start: u64) -> Result<Self> {
        let disk = File::open(path).context("opening the card a second time")?;
        image::ext4(disk, start).map(Self).context("reading its file system")
    }

    /// What is at `path` itself: a link is not followed.
    pub fn look(&self, path: &str) -> Result<There> {
        match self.0.symlink_metadata(path) {
            Ok(found) if found.is_dir() => Ok(There::Folder),
            Ok(_) => Ok(There::Other),
            Err(Ext4Error::NotFound) => Ok(There::Nothing),
            Err(error) => Err(anyhow::Error::new(error)).with_context(|| format!("looking at {path}")),
        }
    }

    /// Fails where one of `entries` is not as it should be.
    pub fn has(&self, entries: &[Entry]) -> Result<()> {
        entries.iter().try_for_each(|entry| self.has_one(entry))
    }

    fn has_one(&self, entry: &Entry) -> Result<()> {
        let path = format!("{PLACE}/{}", entry.path);
        let doing = || format!("reading {path}");
        let found = self.0.symlink_metadata(path.as_str()).map_err(anyhow::Error::new).with_context(doing)?;
        let owner = (found.uid(), found.gid()) == (entry.owner.user, entry.owner.group);
        let mode = found.mode() & 0o7777 == entry.mode;
        let right = match &entry.what {
            // Its mode may be that of the image.
            What::Folder => found.is_dir(),
            What::Link(target) => {
                let link = found.is_symlink().then(|| self.0.read_link(path.as_str())).transpose();
                let link = link.map_err(anyhow::Error::new).with_context(doing)?;
                owner && link.is_some_and(|link| link.as_ref() == target.as_bytes())
            }
            What::File(content) => {
                let regular =
                    found.file_type().is_regular_file() && found.len() == content.reveal().len() as u64;
                let read = regular.then(|| self.0.read(path.as_str())).transpose();
                let read = read.map_err(anyhow::Error::new).with_context(doing)?;
                owner && mode && read.is_some_and(|read| read == content.reveal())
            }
        };
        if right { Ok(()) } else { Err(wrong(format!("{path} is not as it was put there"))) }
    }
}
