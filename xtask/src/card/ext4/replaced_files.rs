//! What an image has already of what is to be put on its card, found out without unpacking it: of the stream only the
//! metadata and the folders are kept.

use std::fs::File;
use std::io::{Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};

use super::debugfs_script::clash;
use super::reader::{CurrentFiles, View};
use super::{metadata_copy, wrong};
use crate::base::Bytes;
use crate::base::failure::ExitKind;
use crate::base::memfd;
use crate::card::image::chunk_hash::read_piece;
use crate::card::image::{Ext4Region, Image};
use crate::card::inspect::{Budget, MEMORY, Superblock};
use crate::identity::{EntryKind, PAYLOAD_ROOT, PayloadEntry};

/// The superblock and the list of groups are in here, in bytes.
const HEAD: usize = 1 << 20;

/// What a block takes in memory at least, in bytes, however small it is.
const PAGE: u64 = 4096;

/// The files and links of `entries` that `image` has, relative to [`PAYLOAD_ROOT`]. This reads all of its file system.
///
/// # Errors
/// Of [`ExitKind::Refused`] for what has no place in the image. An image that cannot be read, and a file system that is too
/// unusual: what is replaced is then found on the card.
pub fn replaced(image: &Image, root: &Ext4Region, entries: &[PayloadEntry]) -> Result<Vec<String>> {
    let file = metadata(image, root).context("looking at the files of the image")?;
    let view = View::open(&file, &metadata_copy::place(root), Budget::unattended())?;
    refuse(&EntryKind::Folder, PAYLOAD_ROOT, view.look(PAYLOAD_ROOT)?)?;
    let mut found = Vec::new();
    for entry in entries {
        let path = format!("{PAYLOAD_ROOT}/{}", entry.path);
        let there = view.look(&path)?;
        refuse(&entry.kind, &path, there)?;
        if there == CurrentFiles::Other {
            found.push(entry.path.clone());
        }
    }
    Ok(found)
}

fn refuse(what: &EntryKind, path: &str, there: CurrentFiles) -> Result<()> {
    clash(what, path, there).map_or(Ok(()), |text| Err(ExitKind::Refused.error(text)))
}

/// A file in memory with the metadata of `root`, and with the folders that have one block.
fn metadata(image: &Image, root: &Ext4Region) -> Result<File> {
    let mut stream = image.source.stream()?;
    std::io::copy(&mut stream.by_ref().take(root.start), &mut std::io::sink())?;
    let mut stream = stream.take(root.size);
    let mut head = vec![0; HEAD.min(usize::try_from(root.size)?)];
    stream.read_exact(&mut head)?;
    let (tables, mut block) = (inode_tables(&head, root.size)?, vec![0; usize::try_from(root.block)?]);
    let mut file = memfd::file("preview")?;
    file.set_len(root.size)?;
    file.write_all(&head)?;
    let (mut at, mut kept) = (head.len() as u64, head.len() as u64);
    while read_piece(&mut stream, &mut block).map_err(|(_, error)| error)? == block.len() {
        let has_something = block.iter().any(|byte| *byte != 0);
        if has_something && (is_folder(&block) || contains(&tables, at)) {
            kept += root.block.max(PAGE);
            if kept > MEMORY {
                return Err(wrong(format!("its metadata takes more than {}", Bytes(MEMORY))));
            }
            file.write_all_at(&block, at)?;
        }
        at += root.block;
    }
    Ok(file)
}

/// Where the tables of inodes are, in bytes and in their order, by the superblock and the list of groups in `head`, of a
/// file system of `size` bytes.
fn inode_tables(head: &[u8], size: u64) -> Result<Vec<Range<u64>>> {
    let superblock = Superblock::parse(head.get(1024..).unwrap_or_default(), size)?;
    let (list, step) = (superblock.list() * superblock.block, superblock.descriptor);
    let unusual = || wrong("its list of groups is too long to be looked at".to_owned());
    let list = head.get(usize::try_from(list)?..).ok_or_else(unusual)?;
    let groups = list.chunks_exact(usize::try_from(step)?).take(usize::try_from(superblock.groups())?);
    if (groups.len() as u64) < superblock.groups() {
        return Err(unusual());
    }
    let len = superblock.inode_table_blocks() * superblock.block;
    let starts = groups.map(|group| Ok(superblock.inode_table(group)? * superblock.block));
    let mut tables = starts.map(|start| start.map(|start| start..start + len)).collect::<Result<Vec<_>>>()?;
    tables.sort_unstable_by_key(|table| table.start);
    Ok(tables)
}

/// Whether one of `tables`, which are as long as each other and in their order, has the byte `at`.
fn contains(tables: &[Range<u64>], at: u64) -> bool {
    let behind = tables.partition_point(|table| table.start <= at);
    behind.checked_sub(1).is_some_and(|last| tables[last].contains(&at))
}

/// Whether a folder begins with this block: by its entry for itself.
fn is_folder(block: &[u8]) -> bool {
    block.get(4..9) == Some(&[12, 0, 1, 2, b'.']) && block[..4] != [0; 4]
}

#[cfg(test)]
mod tests {
    use crate::card::image::{self, Source};
    use crate::card::inspect::ext4::tests::{debugfs, made};
    use crate::card::inspect::{PartitionTable, mbr};

    use super::*;

    #[test]
    fn tables_of_inodes() {
        // What mke2fs says of its own work.
        for features in ["64bit", "^64bit", "metadata_csum", "^metadata_csum,^flex_bg"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("fs");
            std::fs::write(&path, made(&["-b", "1024", "-g", "1024", "-O", features], 8)).unwrap();
            let said = debugfs(&["-R", "stats", path.to_str().unwrap()]);
            let starts =
                said.lines().filter_map(|line| line.split_once("inode table at ")?.1.split(' ').next());
            let mut starts = starts.map(|start| start.parse::<u64>().unwrap() << 10).collect::<Vec<_>>();
            starts.sort_unstable();
            let head = std::fs::read(&path).unwrap();
            let tables = inode_tables(&head[..HEAD], 8 << 20).unwrap();
            assert_eq!(tables.iter().map(|table| table.start).collect::<Vec<_>>(), starts, "{features}");
            assert_eq!(starts.len(), 8, "{features}");
            let table = &tables[3];
            assert!(contains(&tables, table.start) && contains(&tables, table.end - 1));
            assert!(!contains(&tables, tables[0].start - 1) && !contains(&[], 0));
        }
        assert!(inode_tables(&[], 1 << 20).is_err());
    }

    #[test]
    fn blocks_of_folders() {
        let block = [2, 0, 0, 0, 12, 0, 1, 2, b'.', 0, 0, 0];
        assert!(is_folder(&block));
        for (at, byte) in [(0, 0), (4, 16), (6, 2), (8, b'x')] {
            let mut other = block;
            other[at] = byte;
            assert!(!is_folder(&other), "{at}");
        }
        assert!(!is_folder(b"short"));
    }

    /// Every block of 16 GiB begins as a folder does: some thousand times what is on the disk.
    #[test]
    fn an_image_of_nothing_but_folders() {
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
        let image = Image { source, size: GIB << 30, hash: None, layout };
        let root = image::root(&image).unwrap();
        let error = replaced(&image, &root, &[]).unwrap_err();
        assert!(format!("{error:#}").ends_with("its metadata takes more than 256.0 MiB"), "{error:#}");
    }
}
