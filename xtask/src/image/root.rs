//! The partition `NIXOS_SD` of an image, found out without unpacking the image: where it is, and what room it has.

use std::io::Read;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Image;
use super::contents::label;
use super::layout::{HEAD, Partition, le32};
use crate::failure::Kind;

/// What the partition is called that becomes /nix on the host.
const LABEL: &str = "NIXOS_SD";

/// How much of a partition is read to know its file system, in bytes: the superblock is the second KiB.
const BEGIN: usize = 2048;

/// An ext4 file system that files can be put into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Where it begins, in bytes from the start of the disk, and its size in bytes.
    pub start: u64,
    pub size: u64,
    /// The size of its blocks in bytes.
    pub block: u64,
    pub free_blocks: u64,
    pub free_inodes: u64,
}

/// The `NIXOS_SD` of `image`.
///
/// # Errors
/// Of [`Kind::Refused`] where there is none that files can be put into, and an image that cannot be read.
pub fn root(image: &Image) -> Result<Root> {
    let mut partitions = image.layout.partitions.iter().collect::<Vec<_>>();
    partitions.sort_by_key(|partition| partition.start);
    let (mut stream, mut at) = (image.source.stream()?, 0);
    for partition in partitions {
        let Some(ahead) = partition.start.checked_sub(at) else { continue };
        let doing = || image.source.damaged();
        std::io::copy(&mut stream.by_ref().take(ahead), &mut std::io::sink()).with_context(doing)?;
        let mut begin = Vec::with_capacity(BEGIN);
        stream.by_ref().take(BEGIN as u64).read_to_end(&mut begin).with_context(doing)?;
        at = partition.start + begin.len() as u64;
        if label(&begin) == Some(("ext4", LABEL.to_owned())) {
            return parse(partition, &begin[1024..]);
        }
    }
    let path = image.source.path.display();
    Err(Kind::Refused.error(format!("{path} has no partition {LABEL} with ext4")))
}

/// Reads the superblock of `partition`.
fn parse(partition: &Partition, superblock: &[u8]) -> Result<Root> {
    if partition.start < HEAD {
        let text = format!("{LABEL} begins in the first MiB, which is written last");
        return Err(Kind::Refused.error(text));
    }
    let word = |at: usize| superblock.get(at..).map_or(0, le32);
    let wide = |low: usize, high: usize| {
        // The upper halves have a meaning only with the feature 64bit.
        let high = if word(0x60) & 0x80 == 0 { 0 } else { word(high) };
        u64::from(high) << 32 | u64::from(word(low))
    };
    // An image whose journal is not empty was not made to be written to a card.
    if word(0x60) & 0x4 != 0 {
        return Err(Kind::Refused.error(format!("{LABEL} was not unmounted: its journal is not empty")));
    }
    let block = 1024_u64.checked_shl(word(0x18)).filter(|block| *block <= 65536);
    let block = block.ok_or_else(|| Kind::Refused.error(format!("the superblock of {LABEL} is damaged")))?;
    Ok(Root {
        start: partition.start,
        size: partition.size,
        block,
        free_blocks: wide(0x0c, 0x158),
        free_inodes: u64::from(word(0x10)),
    })
}
