//! The ext4 partition that a host mounts: its position and its free space, read without decompressing the image to a
//! file.

use std::fs::File;
use std::io::Read;
use std::ops::Range;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Image;
use crate::bail;
use crate::base::failure::ExitKind;
use crate::base::hex;
use crate::card::inspect::ext4::{SUPERBLOCK_SIZE, SUPERBLOCK_START, Superblock};
use crate::card::inspect::{Budget, Filesystem, HEAD, LimitedRegion, identify_filesystem};
use crate::nix::flake::MountedDevice;

/// The label of the partition with the store, in the images of nixpkgs and of this project.
pub const NIXOS_SD: &str = "NIXOS_SD";

/// The number of bytes at the start of a partition that are read to detect its file system. The superblock of an ext4
/// is the second KiB.
const PARTITION_HEAD: usize = 2048;

/// The position of the UUID of an ext4, in bytes from the start of the partition.
const UUID: Range<usize> = 1024 + 0x68..1024 + 0x78;

/// An ext4 file system that files can be written to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ext4Region {
    /// The start, in bytes from the start of the disk.
    pub start: u64,
    /// The size in bytes.
    pub size: u64,
    /// The size of a block in bytes.
    pub block_size: u64,
    pub free_blocks: u64,
    pub free_inodes: u64,
    /// The label, or the number of a partition without one, for messages.
    #[serde(default)]
    pub name: String,
}

/// Whether `image` has the partition [`NIXOS_SD`], by whose label its host finds it.
pub fn has_nixos_sd(image: &Image) -> bool {
    ext4_partition(image, &MountedDevice::Label(NIXOS_SD.to_owned())).is_ok()
}

/// The ext4 partition of `image` that a host mounts as `device`.
///
/// # Errors
/// [`ExitKind::Refused`] where there is no such partition, or none that files can be written to; and an image that
/// cannot be read.
pub fn ext4_partition(image: &Image, device: &MountedDevice) -> Result<Ext4Region> {
    let mut partitions = image.layout.partitions.iter().collect::<Vec<_>>();
    partitions.sort_by_key(|partition| partition.start);
    let decoding = || image.source.decoding_context();
    let mut stream = image.source.stream()?;
    let mut position = 0;
    for partition in partitions {
        // A partition that begins inside the head of the one before is skipped.
        let Some(gap) = partition.start.checked_sub(position) else { continue };
        std::io::copy(&mut stream.by_ref().take(gap), &mut std::io::sink()).with_context(decoding)?;
        let mut head = Vec::with_capacity(PARTITION_HEAD);
        stream.by_ref().take(PARTITION_HEAD as u64).read_to_end(&mut head).with_context(decoding)?;
        position = partition.start + head.len() as u64;
        let filesystem = identify_filesystem(&head).filter(|found| found.kind == "ext4");
        let Some(Filesystem { label, .. }) = filesystem else { continue };
        let is_wanted = match device {
            MountedDevice::Label(wanted) => label == *wanted,
            MountedDevice::Uuid(wanted) => head.get(UUID).is_some_and(|bytes| uuid_text(bytes) == *wanted),
            MountedDevice::Number(wanted) => partition.number == *wanted,
        };
        if is_wanted {
            let name = if label.is_empty() { format!("partition {}", partition.number) } else { label };
            return parse(partition.start, partition.size, name, &head[1024..]);
        }
    }
    bail!(Refused, "{} has no partition {device} with ext4", image.source.path.display())
}

/// The UUID `bytes` in the form of `/dev/disk/by-uuid`: five groups of hexadecimal digits.
fn uuid_text(bytes: &[u8]) -> String {
    [0..4, 4..6, 6..8, 8..10, 10..16].map(|group| hex(bytes.get(group).unwrap_or_default())).join("-")
}

/// Reads the superblock of `region` on `disk` again, and returns the region with the free space that it has now.
///
/// # Errors
/// A file system that is no ext4, or an ext4 that no files can be written to.
pub fn reread_region(disk: &File, region: &Ext4Region, budget: &Budget) -> Result<Ext4Region> {
    let mut superblock = [0; SUPERBLOCK_SIZE];
    LimitedRegion::new(disk, region.start, region.size, budget.clone())
        .read(SUPERBLOCK_START, &mut superblock)?;
    parse(region.start, region.size, region.name.clone(), &superblock)
}

/// Parses the superblock of the partition `name` of `size` bytes at byte `start`. Fails where no files can be written
/// to the partition.
fn parse(start: u64, size: u64, name: String, superblock: &[u8]) -> Result<Ext4Region> {
    if start < HEAD {
        bail!(Refused, "no file can be written to {name}: it begins in the first MiB, which is written last");
    }
    let found = Superblock::parse(superblock, size).map_err(|error| {
        ExitKind::Refused.error_with_hint_of(
            format_args!("{name} is no ext4 that files can be written to: {error}"),
            &error,
        )
    })?;
    // An image whose journal is not empty was not made to be written to a card.
    if found.dirty {
        bail!(Refused, "{name} was not unmounted: its journal is not empty");
    }
    let Superblock { block_size, free_blocks, free_inodes, .. } = found;
    Ok(Ext4Region { start, size, block_size, free_blocks, free_inodes, name })
}

#[cfg(test)]
mod tests {
    use super::super::{Depth, Source, examine};
    use super::*;
    use crate::base::Silent;
    use crate::card::inspect::mbr;

    /// The partition `NIXOS_SD` of `image`.
    fn root(image: &Image) -> Result<Ext4Region> {
        ext4_partition(image, &MountedDevice::Label(NIXOS_SD.to_owned()))
    }

    /// The beginning of an ext4 of 4 MiB, as mke2fs makes it.
    fn ext4_head() -> Vec<u8> {
        crate::card::inspect::ext4::tests::make_ext4(
            &["-L", NIXOS_SD, "-b", "1024", "-O", "^metadata_csum,64bit"],
            4,
        )
    }

    /// Parses the superblock of [`ext4_head`] at byte `start`, with each of the `words` at its offset.
    fn parse_with_words(start: u64, words: &[(usize, u32)]) -> Result<Ext4Region, String> {
        let mut bytes = ext4_head()[1024..2048].to_vec();
        for (offset, word) in words {
            bytes[*offset..offset + 4].copy_from_slice(&word.to_le_bytes());
        }
        parse(start, 4 << 20, NIXOS_SD.to_owned(), &bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn a_region_is_parsed_or_refused_with_the_wrong_field() {
        let words = [(0x0c, 70), (0x10, 80)];
        let root = Ext4Region {
            start: HEAD,
            size: 4 << 20,
            block_size: 1024,
            free_blocks: 70,
            free_inodes: 80,
            name: NIXOS_SD.into(),
        };
        assert_eq!(parse_with_words(HEAD, &words), Ok(root));
        let damaged = |what| {
            format!("NIXOS_SD is no ext4 that files can be written to: the superblock is damaged: {what}")
        };
        for (start, words, expected) in [
            (
                HEAD - 512,
                &words[..],
                "no file can be written to NIXOS_SD: it begins in the first MiB, which is written last"
                    .to_owned(),
            ),
            (HEAD, &[(0x60, 0x2c6)], "NIXOS_SD was not unmounted: its journal is not empty".to_owned()),
            (HEAD, &[(0x18, 7)], damaged("wrong block size")),
            (HEAD, &[(0x18, 60)], damaged("wrong block size")),
            (HEAD, &[(0x18, 0xffff_ffff)], damaged("wrong block size")),
            (HEAD, &[(0x0c, u32::MAX), (0x158, u32::MAX)], damaged("wrong number of free blocks")),
            (HEAD, &[(0x10, 2000)], damaged("wrong number of free inodes")),
            (HEAD, &[(0x00, 0)], damaged("wrong number of free inodes")),
            (HEAD, &[(0x04, u32::MAX), (0x20, 0)], damaged("larger than the partition")),
            (HEAD, &[(0x20, 0)], damaged("wrong number of blocks in a group")),
            (HEAD, &[(0x150, u32::MAX)], damaged("larger than the partition")),
        ] {
            assert_eq!(parse_with_words(start, words), Err(expected));
        }
    }

    #[test]
    fn the_partition_is_found_in_a_compressed_image() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = mbr(&[(0x83, true, 8192, 8192), (0x0b, false, 2048, 2048)]).to_vec();
        bytes.resize(8 << 20, 0);
        let found = |bytes: &[u8]| {
            let file = dir.path().join("x.img.zst");
            std::fs::write(&file, zstd::encode_all(bytes, 1).unwrap()).unwrap();
            let image = examine(Source::open(&file).unwrap(), Depth::Whole, &Silent).unwrap();
            assert_eq!(has_nixos_sd(&image), root(&image).is_ok());
            root(&image).map_err(|error| error.to_string().replace(file.to_str().unwrap(), "FILE"))
        };
        assert_eq!(found(&bytes), Err("FILE has no partition NIXOS_SD with ext4".to_owned()));
        bytes[4 << 20..].copy_from_slice(&ext4_head());
        let label_offset = (4 << 20) + 1024 + 120;
        bytes[label_offset] = b'X';
        assert_eq!(found(&bytes), Err("FILE has no partition NIXOS_SD with ext4".to_owned()));
        bytes[label_offset] = b'N';
        assert_eq!(found(&bytes).map(|root| (root.start, root.block_size)), Ok((4 << 20, 1024)));
    }
}
