//! The plan of a flash: shown to the user, confirmed, and handed to the worker.

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::delta::Mode;
use crate::bail;
use crate::base::{Bytes, Plain};
use crate::card::disk::Disk;
use crate::card::image::{Ext4Region, HostKeyFile, Image};
use crate::identity::{Payload, Usage};

/// A flash that has passed every check. The worker examines the card again and compares it with the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub image: Image,
    pub disk: Disk,
    pub mode: Mode,
    /// The host key and the files that the card gets beside the image.
    #[serde(default)]
    pub payload: Option<PayloadPlan>,
    /// The mount points from which the worker unmounts the card first; it unmounts nothing else.
    #[serde(default)]
    pub unmount: Vec<PathBuf>,
}

/// The payload of a card, and the file system that it goes into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadPlan {
    /// Where the partition of the payload is in the image.
    pub region: Ext4Region,
    pub content: Payload,
    /// The paths of the payload that the image also has, as far as they are known.
    pub replaced: Vec<String>,
}

impl PayloadPlan {
    /// Plans `content` for the file system `region`.
    ///
    /// # Errors
    /// Of [`ExitKind::Refused`](crate::base::failure::ExitKind::Refused) where the file system has too few free blocks
    /// or inodes.
    pub fn new(region: Ext4Region, content: Payload) -> Result<Self> {
        let Usage { blocks, inodes } = content.max_usage(region.block_size);
        if blocks > region.free_blocks || inodes > region.free_inodes {
            let name = Plain(&region.name);
            let needed = Bytes(blocks * region.block_size);
            let free = Bytes(region.free_blocks * region.block_size);
            bail!(
                Refused,
                "the image has no room for {}: it needs up to {needed} and {inodes} inodes of {name}, which has \
                 {free} and {} free",
                content.summary(),
                region.free_inodes;
                hint: "give fewer or smaller files with --files, or build an image with a larger {name}"
            );
        }
        Ok(Self { region, content, replaced: Vec::new() })
    }
}

impl Plan {
    /// Plans to write `image` to `disk`, and to unmount whatever is mounted of `disk` first.
    pub fn new(image: Image, disk: Disk, mode: Mode, payload: Option<PayloadPlan>) -> Self {
        let unmount = disk.plain_mounts().map(|(_, at)| at.to_owned()).collect();
        Self { image, disk, mode, payload, unmount }
    }

    /// The host keys inside the image that the payload does not replace.
    pub fn shared_host_keys(&self) -> Vec<HostKeyFile> {
        let is_replaced = |key: &&HostKeyFile| {
            let partition = self.image.layout.partitions.iter().find(|it| it.number == key.partition);
            self.payload.as_ref().is_some_and(|payload| {
                let content = &payload.content;
                partition.is_some_and(|partition| partition.start == payload.region.start)
                    && content
                        .entries
                        .iter()
                        .any(|entry| content.root.join(&entry.path) == format!("/{}", key.path))
            })
        };
        self.image.host_keys.iter().filter(|key| !is_replaced(key)).cloned().collect()
    }
}

/// What the printed hash of an image is, so that everybody can recompute it.
pub const FILE_SHA256: &str = "SHA-256 of the image file";

impl fmt::Display for PayloadPlan {
    /// Lines of a plan, each with its line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.content.fmt(f)?;
        self.replaced.iter().try_for_each(|path| {
            writeln!(f, "        replaces {} of the image", self.content.root.join(Plain(path)))
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { image, disk, .. } = self;
        writeln!(f, "image   {}", Plain(image.source.path.display()))?;
        write!(f, "        {} ({})", Bytes(image.size), image.source.format)?;
        image.file_sha256.as_ref().map_or(Ok(()), |sum| write!(f, ", {FILE_SHA256} {sum}"))?;
        writeln!(f)?;
        for partition in &image.layout.partitions {
            writeln!(f, "        {}", Plain(partition))?;
        }
        self.payload.as_ref().map_or(Ok(()), |payload| payload.fmt(f))?;
        writeln!(f, "card    {}", disk.summary())?;
        for (device, at) in disk.plain_mounts() {
            writeln!(f, "unmount {} (/dev/{device})", Plain(at.display()))?;
        }
        if disk.partitions.is_empty() {
            return write!(f, "lost    everything on it");
        }
        write!(f, "lost    everything on it: {}", disk.content())
    }
}
