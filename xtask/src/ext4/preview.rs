//! What an image has already of what is to be put on its card, found out without unpacking it: of the stream only the
//! metadata and the folders are kept.

use std::fs::File;
use std::io::{Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};

use super::look::{There, View};
use super::memory;
use super::script::clash;
use crate::failure::Kind;
use crate::identity::{Entry, PLACE, What};
use crate::image::content::read_piece;
use crate::image::{Image, Root, le32};

/// The superblock and the list of groups are in here, in bytes.
const HEAD: usize = 1 << 20;

/// The files and links of `entries` that `image` has, relative to [`PLACE`]. This reads all of its file system.
///
/// # Errors
/// Of [`Kind::Refused`] for what has no place in the image. An image that cannot be read, and a file system that is too
/// unusual: what is replaced is then found on the card.
pub fn replaced(image: &Image, root: &Root, entries: &[Entry]) -> Result<Vec<String>> {
    let file = metadata(image, root).context("looking at the files of the image")?;
    let view = View::open(&memory::path(&file), 0)?;
    refuse(&What::Folder, PLACE, view.look(PLACE)?)?;
    let mut found = Vec::new();
    for entry in entries {
        let path = format!("{PLACE}/{}", entry.path);
        let there = view.look(&path)?;
        refuse(&entry.what, &path, there)?;
        if there == There::Other {
            found.push(entry.path.clone());
        }
    }
    Ok(found)
}

fn refuse(what: &What, path: &str, there: There) -> Result<()> {
    clash(what, path, there).map_or(Ok(()), |text| Err(Kind::Refused.error(text)))
}

/// A file in memory with the metadata of `root`, and with the folders that have one block.
fn metadata(image: &Image, root: &Root) -> Result<File> {
    let mut stream = image.source.stream()?;
    std::io::copy(&mut stream.by_ref().take(root.start), &mut std::io::sink())?;
    let mut stream = stream.take(root.size);
    let mut head = vec![0; HEAD.min(usize::try_from(root.size)?)];
    stream.read_exact(&mut head)?;
    let mut file = memory::file("preview")?;
    file.set_len(root.size)?;
    file.write_all(&head)?;
    let (tables, mut block) = (inode_tables(&head, root.block), vec![0; usize::try_from(root.block)?]);
    let mut at = head.len() as u64;
    while read_piece(&mut stream, &mut block).map_err(|(_, error)| error)? == block.len() {
        if is_folder(&block) || tables.iter().any(|table| table.contains(&at)) {
            file.write_all_at(&block, at)?;
        }
        at += root.block;
    }
    Ok(file)
}

/// Where the tables of inodes are, in bytes, by the superblock and the list of groups in `head`.
fn inode_tables(head: &[u8], block: u64) -> Vec<Range<u64>> {
    let word = |at: usize| u64::from(head.get(at..).map_or(0, le32));
    let half = |at: usize| word(at) & 0xffff;
    let of = |field: usize| 1024 + field;
    let wide = word(of(0x60)) & 0x80 != 0;
    let (blocks, first, in_group) = (word(of(0x04)), word(of(0x14)), word(of(0x20)).max(1));
    let size = (word(of(0x28)) * half(of(0x58))).div_ceil(block) * block;
    let (step, list) = (if wide { half(of(0xfe)).max(32) } else { 32 }, (first + 1) * block);
    let places = (0..blocks.saturating_sub(first).div_ceil(in_group)).filter_map(|group| {
        let at = usize::try_from(list + group * step).ok()?;
        let high = if wide && step >= 64 { word(at + 0x28) } else { 0 };
        let start = (high << 32 | word(at + 0x08)) * block;
        Some(start..start + size)
    });
    places.collect()
}

/// Whether a folder begins with this block: by its entry for itself.
fn is_folder(block: &[u8]) -> bool {
    block.get(4..9) == Some(&[12, 0, 1, 2, b'.']) && block[..4] != [0; 4]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head with these words at their places.
    fn head(words: &[(usize, u32)]) -> Vec<u8> {
        let mut bytes = vec![0; 8192];
        for (at, word) in words {
            bytes[*at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn tables_of_inodes() {
        let common = [(0x404, 40_000), (0x420, 32_768), (0x428, 8_000), (0x458, 256)];
        let narrow = [&common[..], &[(4096 + 8, 50), (4096 + 32 + 8, 700)]].concat();
        let size = 500 * 4096;
        let starts = |starts: [u64; 2]| starts.map(|start| start * 4096..start * 4096 + size).to_vec();
        assert_eq!(inode_tables(&head(&narrow), 4096), starts([50, 700]));
        let wide =
            [(0x460, 0x80), (0x4fc, 64 << 16), (4096 + 8, 50), (4096 + 64 + 8, 7), (4096 + 64 + 0x28, 1)];
        let wide = [&common[..], &wide].concat();
        assert_eq!(inode_tables(&head(&wide), 4096), starts([50, (1 << 32) + 7]));
        assert_eq!(inode_tables(&[], 4096), []);
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
}
