//! The plan of a flash: shown to the user, confirmed, and handed to the worker.

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::delta::Mode;
use crate::bail;
use crate::base::{Bytes, HostName, Plain};
use crate::boot::Board;
use crate::card::disk::Disk;
use crate::card::image::{Ext4Region, HostKeyFile, Image};
use crate::identity::{LoginKeys, Payload, Usage};

/// A flash that has passed every check. The worker examines the card again and compares it with the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub image: Image,
    pub disk: Disk,
    pub mode: Mode,
    /// The host key and the files that the card gets beside the image.
    #[serde(default)]
    pub payload: Option<PayloadPlan>,
    /// Who can log in to the host of the card; `None` where nobody asked. The worker does not need it.
    #[serde(skip)]
    pub login_keys: Option<LoginKeys>,
    /// The boards that have to boot from the card. The worker does not need them.
    #[serde(skip)]
    pub boards: Vec<Board>,
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
                "the image has no room for {}: up to {needed} and {inodes} inodes are needed, and {name} has \
                 {free} and {} inodes free",
                content.summary(),
                region.free_inodes;
                hint: "build an image with a larger {name}, or give fewer or smaller files with --files"
            );
        }
        Ok(Self { region, content, replaced: Vec::new() })
    }
}

impl Plan {
    /// Plans to unmount all that is mounted of `disk`, and to write `image` to it in this `mode`, with the `payload` on
    /// top.
    pub fn new(image: Image, disk: Disk, mode: Mode, payload: Option<PayloadPlan>) -> Self {
        let unmount = disk.plain_mounts().map(|(_, at)| at.to_owned()).collect();
        Self { image, disk, mode, payload, login_keys: None, boards: Vec::new(), unmount }
    }

    /// The plan with the `login_keys` of the card.
    pub fn with_login_keys(self, login_keys: Option<LoginKeys>) -> Self {
        Self { login_keys, ..self }
    }

    /// The plan with the `boards` that have to boot from the card.
    pub fn with_boards(self, boards: Vec<Board>) -> Self {
        Self { boards, ..self }
    }

    /// The host whose identity the card gets; `None` for a card without one.
    pub fn card_host(&self) -> Option<HostName> {
        Some(self.payload.as_ref()?.content.identity.as_ref()?.host.clone())
    }

    /// The host keys inside the image that the payload does not replace.
    pub fn shared_host_keys(&self) -> Vec<HostKeyFile> {
        self.image.host_keys.iter().filter(|key| !self.replaces(key)).cloned().collect()
    }

    /// Whether the payload has an entry at the path of `key`.
    fn replaces(&self, key: &HostKeyFile) -> bool {
        let Some(PayloadPlan { region, content, .. }) = &self.payload else { return false };
        let mut partitions = self.image.layout.partitions.iter();
        let is_same_partition =
            partitions.any(|partition| partition.number == key.partition && partition.start == region.start);
        let key_path = format!("/{}", key.path);
        is_same_partition && content.entries.iter().any(|entry| content.root.join(&entry.path) == key_path)
    }
}

/// The name of the printed hash of an image, from which everybody knows how to recompute the hash.
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
        self.write_image(f)?;
        self.write_payload(f)?;
        self.write_card(f)?;
        self.write_loss(f)
    }
}

impl Plan {
    /// Writes the lines of the image, each with its line end.
    pub(super) fn write_image(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = &self.image;
        writeln!(f, "image   {}", Plain(image.source.path.display()))?;
        write!(f, "        {} ({})", Bytes(image.size), image.source.format)?;
        if let Some(sum) = &image.file_sha256 {
            write!(f, ", {FILE_SHA256} {sum}")?;
        }
        writeln!(f)?;
        for partition in &image.layout.partitions {
            writeln!(f, "        {}", Plain(partition))?;
        }
        Ok(())
    }

    /// Writes the lines of the payload and the login keys, each with its line end.
    pub(super) fn write_payload(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(payload) = &self.payload {
            write!(f, "{payload}")?;
        }
        if let Some(login_keys) = &self.login_keys {
            writeln!(f, "{login_keys}")?;
        }
        Ok(())
    }

    /// Writes the line of the card, with its line end.
    pub(super) fn write_card(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "card    {}", self.disk.summary())
    }

    /// Writes the lines of what is unmounted and lost; the last one has no line end.
    pub(super) fn write_loss(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let disk = &self.disk;
        for (device, at) in disk.plain_mounts() {
            writeln!(f, "unmount {} (/dev/{device})", Plain(at.display()))?;
        }
        if disk.partitions.is_empty() {
            return write!(f, "lost    everything on it");
        }
        write!(f, "lost    everything on it: {}", disk.content())
    }
}
