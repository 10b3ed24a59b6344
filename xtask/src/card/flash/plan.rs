//! What is going to happen to which card: shown before, and handed to the elevated writer.

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::delta::Mode;
use crate::base::failure::ExitKind;
use crate::base::{Bytes, Plain};
use crate::card::disk::Disk;
use crate::card::image::{Ext4Region, Image};
use crate::identity::{PAYLOAD_ROOT, Payload};

/// A flash that has passed every check. The writer looks at the card again and compares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub image: Image,
    pub disk: Disk,
    pub mode: Mode,
    /// What is put on the card beside the image.
    #[serde(default)]
    pub carried: Option<PayloadPlan>,
    /// The places from which the writer unmounts the card first; nothing else is unmounted.
    #[serde(default)]
    pub unmount: Vec<PathBuf>,
}

/// What is put on a card beside its image, and the file system that it goes into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadPlan {
    pub root: Ext4Region,
    pub payload: Payload,
    /// What the image has already of it, as far as that is known.
    pub replaced: Vec<String>,
}

impl PayloadPlan {
    /// # Errors
    /// Of [`ExitKind::Refused`] where there is no room for it.
    pub fn new(root: Ext4Region, payload: Payload) -> Result<Self> {
        let (blocks, inodes) = payload.max_usage(root.block);
        if blocks > root.free_blocks || inodes > root.free_inodes {
            let (words, free) = (payload.summary(), Bytes(root.free_blocks * root.block));
            let (takes, left) = (Bytes(blocks * root.block), root.free_inodes);
            let text = format!(
                "the image has no room for {words}: it takes up to {takes} and {inodes} inodes of NIXOS_SD, which has {free} \
                 and {left} left"
            );
            return Err(ExitKind::Refused.error(text));
        }
        Ok(Self { root, payload, replaced: Vec::new() })
    }
}

impl Plan {
    /// Unmounting what is mounted of `disk` is part of it.
    pub fn new(image: Image, disk: Disk, mode: Mode, carried: Option<PayloadPlan>) -> Self {
        let unmount = disk.plain_mounts().map(|(_, at)| at.to_owned()).collect();
        Self { image, disk, mode, carried, unmount }
    }
}

impl fmt::Display for PayloadPlan {
    /// Lines of a plan, each with its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.payload.fmt(f)?;
        self.replaced.iter().try_for_each(|path| {
            writeln!(f, "        in place of {PAYLOAD_ROOT}/{} of the image", Plain(path))
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { image, disk, .. } = self;
        writeln!(f, "image   {}", Plain(image.source.path.display()))?;
        write!(f, "        {} ({})", Bytes(image.size), image.source.format)?;
        image.hash.map_or(Ok(()), |hash| write!(f, ", hash {hash}"))?;
        writeln!(f)?;
        for partition in &image.layout.partitions {
            writeln!(f, "        {}", Plain(partition))?;
        }
        self.carried.as_ref().map_or(Ok(()), |carried| carried.fmt(f))?;
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
