//! The files of a payload that the image already has, found without unpacking the image: of its stream, only the
//! metadata and the first blocks of folders are kept.

use std::fs::File;
use std::io::{Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};

use super::debugfs_script::check_type;
use super::metadata_copy;
use super::reader::{Ext4Reader, PathState};
use crate::base::failure::ExitKind;
use crate::base::{Bytes, is_all_zero, memfd};
use crate::card::image::chunk_hash::read_chunk;
use crate::card::image::{Ext4Region, Image};
use crate::card::inspect::{Budget, MAX_MEMORY, Superblock};
use crate::identity::{EntryKind, Payload};
use crate::{bail, failure};

/// How much of a file system is read for its superblock and its group descriptors, in bytes.
const HEAD: usize = 1 << 20;

/// The least memory that a block takes, in bytes, however small it is.
const PAGE: u64 = 4096;

/// The paths of the files and links of `payload` that `image` has too, relative to the folder of the payload's root.
/// Reads the whole file system `region`.
///
/// # Errors
/// Of [`ExitKind::Refused`] for an entry that conflicts with the image. Otherwise where the image cannot be read, or
/// its file system is too unusual: then the worker finds the replaced files on the card.
pub fn replaced_files(image: &Image, region: &Ext4Region, payload: &Payload) -> Result<Vec<String>> {
    let file = copy_metadata(image, region).context("listing the files of the image")?;
    let reader = Ext4Reader::open(&file, &metadata_copy::region_at_start(region), Budget::without_stop())?;
    for folder in payload.root.folders() {
        check_type(ExitKind::Refused, &EntryKind::Folder, folder, reader.state(folder)?)?;
    }
    let mut replaced = Vec::new();
    for entry in &payload.entries {
        let path = payload.root.join(&entry.path);
        let state = reader.state(&path)?;
        check_type(ExitKind::Refused, &entry.kind, &path, state)?;
        if state == PathState::Other {
            replaced.push(entry.path.clone());
        }
    }
    Ok(replaced)
}

/// Copies the metadata of `region`, and the first block of each folder, to a file in memory.
fn copy_metadata(image: &Image, region: &Ext4Region) -> Result<File> {
    let mut image_stream = image.source.stream()?;
    std::io::copy(&mut image_stream.by_ref().take(region.start), &mut std::io::sink())?;
    let mut stream = image_stream.take(region.size);
    let mut head = vec![0; HEAD.min(usize::try_from(region.size)?)];
    stream.read_exact(&mut head)?;
    let tables = inode_tables(&head, region.size)?;
    let mut block = vec![0; usize::try_from(region.block_size)?];
    let mut file = memfd::file("metadata of the image")?;
    file.set_len(region.size)?;
    file.write_all(&head)?;
    let mut at = head.len() as u64;
    let mut kept = head.len() as u64;
    while read_chunk(&mut stream, &mut block).map_err(|(_, error)| error)? == block.len() {
        let is_blank = is_all_zero(&block);
        if !is_blank && (begins_folder(&block) || is_in_table(&tables, at)) {
            kept += region.block_size.max(PAGE);
            if kept > MAX_MEMORY {
                bail!(
                    Verification,
                    "the metadata of the file system takes more than {} of memory",
                    Bytes(MAX_MEMORY)
                );
            }
            file.write_all_at(&block, at)?;
        }
        at += region.block_size;
    }
    Ok(file)
}

/// The ranges of the inode tables in bytes, in ascending order, of a file system of `size` bytes: from the superblock
/// and the group descriptors in `head`.
fn inode_tables(head: &[u8], size: u64) -> Result<Vec<Range<u64>>> {
    let superblock = Superblock::parse(head.get(1024..).unwrap_or_default(), size)?;
    let descriptors_start = superblock.descriptor_table() * superblock.block_size;
    let too_long = || {
        failure!(
            Verification,
            "the file system has group descriptors beyond its first {}",
            Bytes(HEAD as u64)
        )
    };
    let bytes = head.get(usize::try_from(descriptors_start)?..).ok_or_else(too_long)?;
    let descriptors = bytes.chunks_exact(usize::try_from(superblock.descriptor_size)?);
    let groups = descriptors.take(usize::try_from(superblock.groups())?);
    if (groups.len() as u64) < superblock.groups() {
        return Err(too_long());
    }
    let len = superblock.inode_table_blocks() * superblock.block_size;
    let table = |group: &[u8]| -> Result<Range<u64>> {
        let start = superblock.inode_table(group)? * superblock.block_size;
        Ok(start..start + len)
    };
    let mut tables = groups.map(table).collect::<Result<Vec<_>>>()?;
    tables.sort_unstable_by_key(|table| table.start);
    Ok(tables)
}

/// Whether the byte `at` is in one of `tables`, which have the same length and are in ascending order.
fn is_in_table(tables: &[Range<u64>], at: u64) -> bool {
    let next = tables.partition_point(|table| table.start <= at);
    next.checked_sub(1).is_some_and(|last| tables[last].contains(&at))
}

/// Whether `block` is the first block of a folder: whether it begins with the entry `.`.
fn begins_folder(block: &[u8]) -> bool {
    block.get(4..9) == Some(&[12, 0, 1, 2, b'.']) && block[..4] != [0; 4]
}

#[cfg(test)]
mod tests {
    use crate::card::image::{self, Source};
    use crate::card::inspect::ext4::tests::{debugfs, make_ext4};
    use crate::card::inspect::{PartitionTable, mbr};

    use super::*;
    use crate::identity::PayloadRoot;
    use crate::nix::flake::MountedDevice;

    #[test]
    fn inode_tables_are_those_that_debugfs_lists() {
        for features in ["64bit", "^64bit", "metadata_csum", "^metadata_csum,^flex_bg"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("fs");
            std::fs::write(&path, make_ext4(&["-b", "1024", "-g", "1024", "-O", features], 8)).unwrap();
            let stats = debugfs(&["-R", "stats", path.to_str().unwrap()]);
            let blocks =
                stats.lines().filter_map(|line| line.split_once("inode table at ")?.1.split(' ').next());
            let mut starts = blocks.map(|block| block.parse::<u64>().unwrap() << 10).collect::<Vec<_>>();
            starts.sort_unstable();
            let head = std::fs::read(&path).unwrap();
            let tables = inode_tables(&head[..HEAD], 8 << 20).unwrap();
            assert_eq!(tables.iter().map(|table| table.start).collect::<Vec<_>>(), starts, "{features}");
            assert_eq!(starts.len(), 8, "{features}");
            let table = &tables[3];
            assert!(is_in_table(&tables, table.start) && is_in_table(&tables, table.end - 1));
            assert!(!is_in_table(&tables, tables[0].start - 1) && !is_in_table(&[], 0));
        }
        assert!(inode_tables(&[], 1 << 20).is_err());
    }

    #[test]
    fn blocks_of_folders_begin_with_an_entry_for_the_folder() {
        let block = [2, 0, 0, 0, 12, 0, 1, 2, b'.', 0, 0, 0];
        assert!(begins_folder(&block));
        for (at, byte) in [(0, 0), (4, 16), (6, 2), (8, b'x')] {
            let mut other = block;
            other[at] = byte;
            assert!(!begins_folder(&other), "{at}");
        }
        assert!(!begins_folder(b"short"));
    }

    /// The image claims 16 GiB and contains 1 GiB, some thousand times the size of the compressed image. Every block of
    /// this 1 GiB begins as a folder does.
    #[test]
    fn the_memory_for_an_image_of_folders_is_limited() {
        const GIB: u64 = 16;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.img.zst");
        let mut head = mbr(&[(0x83, true, 2048, u32::try_from(GIB << 21).unwrap() - 2048)]).to_vec();
        head.resize(1 << 20, 0);
        let args = ["-L", "NIXOS_SD", "-b", "4096", "-O", "^has_journal,^metadata_csum", "-N", "4096"];
        let path = dir.path().join("fs");
        File::create(&path).unwrap().set_len((GIB << 30) - (1 << 20)).unwrap();
        crate::base::process::Launcher::new("/")
            .with_path_front("/usr/sbin".as_ref())
            .read("mke2fs", &[&["-q", "-F", "-t", "ext4"], &args[..], &[path.to_str().unwrap()]].concat())
            .unwrap();
        let mut begin = vec![0; 1 << 20];
        File::open(&path).unwrap().read_exact(&mut begin).unwrap();
        let mut folder = vec![0; 128 << 10];
        folder
            .chunks_exact_mut(4096)
            .for_each(|block| block[..9].copy_from_slice(&[2, 0, 0, 0, 12, 0, 1, 2, b'.']));
        let mut encoder = zstd::Encoder::new(File::create(&file).unwrap(), 1).unwrap();
        encoder.write_all(&head).unwrap();
        encoder.write_all(&begin).unwrap();
        for _ in 0..(1 << 30) / folder.len() {
            encoder.write_all(&folder).unwrap();
        }
        encoder.finish().unwrap();
        let source = Source::open(&file).unwrap();
        let layout = PartitionTable::parse(&head, GIB << 30).unwrap();
        let image = Image {
            source,
            size: GIB << 30,
            hash: None,
            layout,
            file_sha256: None,
            host_keys: Vec::new(),
            kept_facts: None,
        };
        let label = MountedDevice::Label(image::NIXOS_SD.to_owned());
        let region = image::ext4_partition(&image, &label).unwrap();
        let payload =
            Payload { root: PayloadRoot::persist(), identity: None, files: None, entries: Vec::new() };
        let error = replaced_files(&image, &region, &payload).unwrap_err();
        assert!(format!("{error:#}").ends_with("takes more than 256.0 MiB of memory"), "{error:#}");
    }
}
