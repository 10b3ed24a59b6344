//! What is going to happen to which card: shown before, and handed to the elevated writer.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::looks::Mode;
use crate::disk::Disk;
use crate::image::Image;
use crate::ui::Bytes;

/// A flash that has passed every check. The writer looks at the card again and compares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub image: Image,
    pub disk: Disk,
    pub mode: Mode,
    /// The places from which the writer unmounts the card first; nothing else is unmounted.
    #[serde(default)]
    pub unmount: Vec<PathBuf>,
}

impl Plan {
    /// Unmounting what is mounted of `disk` is part of it.
    pub fn new(image: Image, disk: Disk, mode: Mode) -> Self {
        let unmount = disk.plain_mounts().map(|(_, at)| at.to_owned()).collect();
        Self { image, disk, mode, unmount }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { image, disk, .. } = self;
        writeln!(f, "image   {}", image.source.path.display())?;
        write!(f, "        {} ({})", Bytes(image.size), image.source.format)?;
        image.hash.map_or(Ok(()), |hash| write!(f, ", hash {hash}"))?;
        writeln!(f)?;
        for partition in &image.layout.partitions {
            writeln!(f, "        {partition}")?;
        }
        writeln!(f, "card    {}", disk.summary())?;
        for (device, at) in disk.plain_mounts() {
            writeln!(f, "unmount {} (/dev/{device})", at.display())?;
        }
        if disk.partitions.is_empty() {
            return write!(f, "lost    everything on it");
        }
        write!(f, "lost    everything on it: {}", disk.content())
    }
}
