//! The request to the worker: a job, and the roles of the open files that come with it. The worker trusts none of it,
//! whoever claims to have checked it: this module checks all bounds once, before anything is done.

use std::fs::File;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::claim::CardFiles;
use super::job::{Against, Job};
use super::needs::Access;
use crate::base::failure::ExitKind;
use crate::card::flash::{PayloadPlan, Plan};
use crate::card::image::{Ext4Region, Image};
use crate::identity::{EntryKind, PayloadEntry};
use crate::{bail, failure};

/// The longest request, in bytes. `--files` allows 16 MiB, and base64 makes them a third longer.
pub const MAX_REQUEST: usize = 32 << 20;
/// The largest number of JSON values in a request.
const MAX_VALUES: usize = 1 << 20;
/// The deepest nesting of JSON values in a request.
const MAX_DEPTH: usize = 32;
/// The largest number of files, folders and links in a payload.
const MAX_ENTRIES: usize = 20_000;
/// The largest content of all files of a payload together, in bytes: 16 MiB of `--files`, and the host key.
const MAX_CONTENT: usize = (16 << 20) + (64 << 10);
/// The longest path, in bytes.
const MAX_PATH: usize = 4096;
/// The largest number of mount points to unmount.
const MAX_MOUNTS: usize = 256;
/// The largest possible size of a disk or an image, in bytes.
const MAX_SIZE: u64 = 1 << 50;
/// The size of the head of an image, in bytes: it is written last, and no payload may change it.
const HEAD: u64 = 1 << 20;

/// A job, and the roles of the open files that come with it, in their order.
#[derive(Debug, Serialize, Deserialize)]
pub struct JobRequest {
    pub file_roles: Vec<FileRole>,
    pub job: Job,
    /// The folder where the user has e2fsprogs. A worker with the rights of the user runs the programs of this folder
    /// where the system has none.
    #[serde(default)]
    pub programs: Option<PathBuf>,
}

/// The role of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileRole {
    /// The image, open for reading.
    Image,
    /// The reading end of a pipe with the decompressed image.
    Feed,
    /// The card, opened and locked.
    Card,
    /// A second descriptor of the card, for reading, that a child can reopen.
    View,
}

/// The open files of a request, by their roles.
#[derive(Debug, Default)]
pub struct Files {
    pub image: Option<File>,
    pub feed: Option<File>,
    pub card: Option<CardFiles>,
}

impl JobRequest {
    /// Parses `line`, and checks that the job is within all bounds.
    ///
    /// # Errors
    /// Of [`ExitKind::Usage`] for a line that is no job, and of [`ExitKind::Refused`] for a job that is out of bounds.
    pub fn parse(line: &[u8]) -> Result<Self> {
        check_nesting(line)?;
        let parsed = serde_json::from_slice::<Self>(line);
        let request = parsed.map_err(|error| failure!(Usage, "reading the job: {error}"))?;
        let is_absolute = request.programs.as_ref().is_none_or(|path| path.is_absolute());
        let checked = request
            .job
            .check()
            .and_then(|()| ensure(is_absolute, "the path of its programs is not absolute"))
            .and_then(|()| request.check_feed());
        checked.map_err(|error| {
            ExitKind::Refused.error_with_hint_of(format_args!("the job is refused: {error:#}"), &error)
        })?;
        Ok(request)
    }

    /// Fails where a feed comes with an image whose hash is unknown, or without one: nothing would verify the feed.
    fn check_feed(&self) -> Result<()> {
        let has_hash = self.job.needs().image.is_some_and(|image| image.hash.is_some());
        let is_verified = has_hash || !self.file_roles.contains(&FileRole::Feed);
        ensure(is_verified, "the hash of the image that is fed to it is unknown")
    }

    /// Fails where a worker with this `access` may not run the job.
    pub fn check_access(&self, access: Access) -> Result<()> {
        if self.job.needs().access == Access::Write && access == Access::Read {
            bail!(Usage, "the job writes to a card, and this worker only reads");
        }
        Ok(())
    }

    /// Assigns the `files` that came with the request to their roles. Fails where there are more or fewer files than
    /// roles, or only one of the two files of a card.
    pub fn assign(&self, files: Vec<File>) -> Result<Files> {
        if files.len() != self.file_roles.len() {
            bail!(Usage, "{} files came with the job instead of {}", files.len(), self.file_roles.len());
        }
        let mut image = None;
        let mut feed = None;
        let mut card = None;
        let mut view = None;
        for (role, file) in self.file_roles.iter().zip(files) {
            let slot = match role {
                FileRole::Image => &mut image,
                FileRole::Feed => &mut feed,
                FileRole::Card => &mut card,
                FileRole::View => &mut view,
            };
            *slot = Some(file);
        }
        match (card, view) {
            (Some(card), Some(view)) => Ok(Files { image, feed, card: Some(CardFiles { card, view }) }),
            (None, None) => Ok(Files { image, feed, card: None }),
            _ => bail!(Usage, "the job came with only one of the two files of a card"),
        }
    }
}

/// Fails where `image` is not a regular file that is open for reading.
pub fn check_readable(image: &File) -> Result<()> {
    let doing = "examining the image that came with the job";
    let metadata = image.metadata().context(doing)?;
    let flags = rustix::fs::fcntl_getfl(image).context(doing)?;
    let is_read = matches!(flags & OFlags::RWMODE, OFlags::RDONLY | OFlags::RDWR);
    if metadata.is_file() && is_read && !flags.contains(OFlags::PATH) {
        return Ok(());
    }
    bail!(Refused, "the image that came with the job is not a regular file open for reading")
}

/// Fails where `feed` is not a pipe that is open for reading.
pub fn check_feed(feed: &File) -> Result<()> {
    let doing = "examining the feed that came with the job";
    let metadata = feed.metadata().context(doing)?;
    let flags = rustix::fs::fcntl_getfl(feed).context(doing)?;
    if metadata.file_type().is_fifo() && flags & OFlags::RWMODE == OFlags::RDONLY {
        return Ok(());
    }
    bail!(Refused, "the feed that came with the job is not a pipe open for reading")
}

/// Fails where `line` has more or deeper JSON values than a job may have: parsing them would take too much memory.
fn check_nesting(line: &[u8]) -> Result<()> {
    let mut values = 0;
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                values += 1;
                depth += 1;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if values > MAX_VALUES || depth > MAX_DEPTH {
            bail!(Usage, "reading the job: it has too many values, or nests them too deep");
        }
    }
    Ok(())
}

/// Fails with `problem` where `condition` is false.
fn ensure(condition: bool, problem: &str) -> Result<()> {
    if condition { Ok(()) } else { Err(ExitKind::Refused.error(problem)) }
}

impl Job {
    /// Fails where the job is out of bounds.
    fn check(&self) -> Result<()> {
        let needs = self.needs();
        let size = needs.disk.size;
        ensure((1..=MAX_SIZE).contains(&size), "its card has an impossible size")?;
        ensure(needs.unmount.len() <= MAX_MOUNTS, "it has too many mount points to unmount")?;
        let is_valid = |path: &PathBuf| path.is_absolute() && path.as_os_str().len() <= MAX_PATH;
        ensure(needs.unmount.iter().all(is_valid), "a mount point to unmount is not an absolute path")?;
        match self {
            Self::Flash(plan) => check_plan(plan),
            Self::Compare(compare) => match &compare.against {
                Against::Image(image) => check_image(image, size),
                Against::Hash { size: image, .. } => {
                    ensure((1..=size).contains(image), "the image to compare with does not fit on the card")
                }
            },
            Self::Capacity(_) | Self::Inspect(_) => Ok(()),
        }
    }
}

fn check_plan(plan: &Plan) -> Result<()> {
    check_image(&plan.image, plan.disk.size)?;
    let Some(PayloadPlan { region, content, replaced }) = &plan.payload else { return Ok(()) };
    check_region(region, plan.image.size)?;
    let entries = &content.entries;
    ensure(entries.len() <= MAX_ENTRIES && replaced.len() <= MAX_ENTRIES, "it has too many files")?;
    let sizes = entries.iter().map(|entry| match &entry.kind {
        EntryKind::File(content) => content.reveal().len(),
        EntryKind::Folder | EntryKind::Link(_) => 0,
    });
    ensure(sizes.sum::<usize>() <= MAX_CONTENT, "its files are too large")?;
    entries.iter().try_for_each(check_entry)?;
    ensure(content.root.is_valid(), "the folder of its files is not a plain path")?;
    crate::card::ext4::check_entries(&content.root, entries)
}

fn check_image(image: &Image, card_size: u64) -> Result<()> {
    ensure((1..=card_size).contains(&image.size), "its image does not fit on the card")?;
    ensure((1..=MAX_SIZE).contains(&image.source.stored.size), "its image file has an impossible size")
}

fn check_region(region: &Ext4Region, image_size: u64) -> Result<()> {
    let Ext4Region { start, size, block_size, .. } = *region;
    let is_possible = block_size.is_power_of_two() && (1024..=65536).contains(&block_size);
    ensure(is_possible, "its file system has an impossible block size")?;
    let is_behind_head = start >= HEAD && start.is_multiple_of(512);
    let is_inside = size >= block_size && start.checked_add(size).is_some_and(|end| end <= image_size);
    ensure(is_behind_head && is_inside, "its file system is not in the image")
}

fn check_entry(entry: &PayloadEntry) -> Result<()> {
    let path = Path::new(&entry.path);
    let is_relative = path.components().all(|part| matches!(part, Component::Normal(_)));
    // `Components` drops repeated slashes and single dots, which another implementation may not.
    let is_normal = path.components().collect::<PathBuf>().as_os_str() == path.as_os_str();
    let is_valid = is_relative && is_normal && (1..=MAX_PATH).contains(&entry.path.len());
    ensure(is_valid, "the path of a file is not a plain relative path")?;
    ensure(entry.mode <= 0o7777, "a file has an impossible mode")
}

#[cfg(test)]
mod tests;
