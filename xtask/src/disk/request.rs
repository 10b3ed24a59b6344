//! What is asked of a disk before it is written.

use std::path::{Path, PathBuf};

use super::{Consent, Disk, Kind, Roots, usage};

/// What is asked of a disk.
#[derive(Clone, Debug)]
pub struct Request {
    /// The size of the image when decompressed, in bytes; none where its header does not tell.
    pub image_size: Option<u64>,
    pub virtual_cards: VirtualCards,
    pub mounted: Mounted,
    /// What must survive: the image, the flake, the working directory.
    pub kept: Vec<Kept>,
    pub consent: Consent,
}

/// Whether loop devices and plain files may stand for a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VirtualCards {
    Refused,
    Allowed,
}

/// What becomes of a card that is mounted, and nothing else but mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounted {
    Refused,
    /// It is unmounted: after a question, or because that was said beforehand.
    Unmounted,
}

/// A file or folder that must not be overwritten.
#[derive(Clone, Debug)]
pub struct Kept {
    /// In the words of the message: `the image`.
    pub what: String,
    pub path: PathBuf,
    /// The whole disks that carry it, by name.
    disks: Vec<String>,
}

impl Kept {
    /// Looks up on which disks `path` is stored. An absent path is stored nowhere.
    pub fn find(roots: &Roots, what: &str, path: &Path) -> Self {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Self { what: what.to_owned(), disks: usage::carriers(roots, &path), path }
    }

    /// Whether it is stored on `disk`, or is the virtual card `disk` itself.
    pub(super) fn is_on(&self, disk: &Disk) -> bool {
        let is_file = match &disk.kind {
            Kind::Loop { backing } => backing.as_deref() == Some(&self.path),
            Kind::File { .. } => disk.path == self.path,
            _ => false,
        };
        is_file || self.disks.contains(&disk.name)
    }
}
