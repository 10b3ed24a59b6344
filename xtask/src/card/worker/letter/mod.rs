//! What the worker is handed: a job, and which open files come with it. All of it is foreign, whoever says to have
//! checked it: its bounds are looked at here, once, before anything is done.

use std::fs::File;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::job::{Against, Job};
use super::needs::Access;
use crate::base::failure::ExitKind;
use crate::card::flash::{PayloadPlan, Plan};
use crate::card::image::{Ext4Region, Image};
use crate::identity::{EntryKind, PayloadEntry};

/// The longest job, in bytes. `--files` takes 16 MiB, which are a third more as base64.
pub const LONGEST: usize = 32 << 20;
/// How many values a job has at most, and how deep they are nested.
const VALUES: usize = 1 << 20;
const DEPTH: usize = 32;
/// How many entries are put on a card at most, in bytes all their contents, and how long their paths are.
const ENTRIES: usize = 20_000;
const CONTENT: usize = (16 << 20) + (64 << 10);
const PATH: usize = 4096;
/// How many places a card is unmounted from.
const MOUNTS: usize = 256;
/// Disks and images that are larger than this are none.
const LARGEST: u64 = 1 << 50;
/// How much of an image is written last, and is no place for what is added to it, in bytes.
const HEAD: u64 = 1 << 20;

/// A job, and the open files that come with it, in their order.
#[derive(Debug, Serialize, Deserialize)]
pub struct JobRequest {
    pub handed: Vec<Handed>,
    pub job: Job,
    /// Where the user has e2fsprogs. What runs with their rights takes them from there where the system has none.
    #[serde(default)]
    pub programs: Option<PathBuf>,
}

/// What an open file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handed {
    /// The image, open for reading.
    Image,
    /// The card, opened and locked.
    Card,
    /// The card once more, for reading, in a way that a child can open again.
    View,
}

/// The open files of a letter, each for its purpose.
#[derive(Debug, Default)]
pub struct Files {
    pub image: Option<File>,
    /// The card, and what it is read through.
    pub card: Option<(File, File)>,
}

impl JobRequest {
    /// Reads a line. What it asks for is within bounds.
    ///
    /// # Errors
    /// Of [`ExitKind::Usage`] for what is no job, and of [`ExitKind::Refused`] for one that is not sound.
    pub fn parse(line: &[u8]) -> Result<Self> {
        scan(line)?;
        let letter = serde_json::from_slice::<Self>(line);
        let letter = letter.map_err(|error| ExitKind::Usage.error(format!("reading the job: {error}")))?;
        let is_absolute = letter.programs.as_ref().is_none_or(|path| path.is_absolute());
        let checked =
            letter.job.check().and_then(|()| ensure(is_absolute, "its programs are at no absolute path"));
        checked.map_err(|error| refused(format!("{error:#}")))?;
        Ok(letter)
    }

    /// Whether a worker with this access does such a job.
    pub fn is_for(&self, access: Access) -> Result<()> {
        if self.job.needs().access == Access::Write && access == Access::Read {
            return Err(ExitKind::Usage.error("this worker only reads"));
        }
        Ok(())
    }

    /// Assigns the `files` that came.
    pub fn sort(&self, files: Vec<File>) -> Result<Files> {
        if files.len() != self.handed.len() {
            let (came, meant) = (files.len(), self.handed.len());
            return Err(ExitKind::Usage.error(format!("{came} files came with the job, and not {meant}")));
        }
        let (mut image, mut card, mut view) = (None, None, None);
        for (handed, file) in self.handed.iter().zip(files) {
            let place = match handed {
                Handed::Image => &mut image,
                Handed::Card => &mut card,
                Handed::View => &mut view,
            };
            *place = Some(file);
        }
        match (card, view) {
            (Some(card), Some(view)) => Ok(Files { image, card: Some((card, view)) }),
            (None, None) => Ok(Files { image, card: None }),
            _ => Err(ExitKind::Usage.error("a card comes in two files")),
        }
    }
}

/// Fails where `image` is no regular file that is open for reading.
pub fn readable(image: &File) -> Result<()> {
    let facts = image.metadata().context("looking at the image that was handed over")?;
    let flags = rustix::fs::fcntl_getfl(image).context("looking at the image that was handed over")?;
    let is_read = matches!(flags & OFlags::RWMODE, OFlags::RDONLY | OFlags::RDWR);
    if facts.is_file() && is_read && !flags.contains(OFlags::PATH) {
        return Ok(());
    }
    Err(ExitKind::Refused.error("the image that was handed over is no regular file that is open for reading"))
}

/// Fails where `line` has more values, or deeper ones, than a job: reading them would take memory.
fn scan(line: &[u8]) -> Result<()> {
    let (mut values, mut depth, mut in_text, mut escaped) = (0, 0_usize, false, false);
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => (values, depth) = (values + 1, depth + 1),
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if values > VALUES || depth > DEPTH {
            return Err(ExitKind::Usage.error("reading the job: it has too many values, or too deep ones"));
        }
    }
    Ok(())
}

fn refused(why: impl std::fmt::Display) -> anyhow::Error {
    ExitKind::Refused.error(format!("the job is refused: {why}"))
}

/// Fails with `words` where it is not so.
fn ensure(is_so: bool, words: &str) -> Result<()> {
    if is_so { Ok(()) } else { Err(ExitKind::Refused.error(words)) }
}

impl Job {
    fn check(&self) -> Result<()> {
        let (needs, size) = (self.needs(), self.needs().disk.size);
        ensure((1..=LARGEST).contains(&size), "its card has an impossible size")?;
        ensure(needs.unmount.len() <= MOUNTS, "it has too many places to unmount")?;
        let is_absolute = |path: &PathBuf| path.is_absolute() && path.as_os_str().len() <= PATH;
        ensure(needs.unmount.iter().all(is_absolute), "a place to unmount is no absolute path")?;
        match self {
            Self::Flash(plan) => plan_fits(plan),
            Self::Compare(comparing) => match &comparing.against {
                Against::Image(image) => image_fits(image, size),
                Against::Hash { size: image, .. } => {
                    ensure((1..=size).contains(image), "what is compared does not fit on the card")
                }
            },
            Self::Capacity(_) | Self::Inspect(_) => Ok(()),
        }
    }
}

fn plan_fits(plan: &Plan) -> Result<()> {
    image_fits(&plan.image, plan.disk.size)?;
    let Some(PayloadPlan { root, payload, replaced }) = &plan.carried else { return Ok(()) };
    root_fits(root, plan.image.size)?;
    let entries = &payload.entries;
    ensure(entries.len() <= ENTRIES && replaced.len() <= ENTRIES, "it has too many files")?;
    let content = entries.iter().map(|entry| match &entry.kind {
        EntryKind::File(content) => content.reveal().len(),
        EntryKind::Folder | EntryKind::Link(_) => 0,
    });
    ensure(content.sum::<usize>() <= CONTENT, "its files are too large")?;
    entries.iter().try_for_each(entry_fits)?;
    crate::card::ext4::check_entries(entries)
}

fn image_fits(image: &Image, card: u64) -> Result<()> {
    ensure((1..=card).contains(&image.size), "its image does not fit on the card")?;
    ensure((1..=LARGEST).contains(&image.source.stored.size), "its image file has an impossible size")
}

fn root_fits(root: &Ext4Region, image: u64) -> Result<()> {
    let Ext4Region { start, size, block, .. } = *root;
    ensure(block.is_power_of_two() && (1024..=65536).contains(&block), "its file system has no such blocks")?;
    let end = start.checked_add(size).filter(|end| *end <= image && size >= block);
    ensure(start >= HEAD && start.is_multiple_of(512) && end.is_some(), "its file system is not in the image")
}

fn entry_fits(entry: &PayloadEntry) -> Result<()> {
    let path = Path::new(&entry.path);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    // `Components` leaves out what does not matter to a file system here, and does to another one.
    let same = path.components().collect::<PathBuf>().as_os_str() == path.as_os_str();
    let fits = plain && same && (1..=PATH).contains(&entry.path.len());
    ensure(fits, "the path of a file is not one below the folder that it is put into")?;
    ensure(entry.mode <= 0o7777, "the mode of a file is none")
}

#[cfg(test)]
mod tests;
