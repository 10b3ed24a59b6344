//! The partition `NIXOS_SD` of an image, found out without unpacking the image: where it is, and what room it has.

use std::io::Read;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Image;
use super::contents::label;
use super::layout::HEAD;
use super::partition::{Partition, le32};
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

#[cfg(test)]
mod tests {
    use super::super::layout::tests::mbr;
    use super::super::partition::Type;
    use super::super::{Depth, Source, examine};
    use super::*;
    use crate::ui::Silent;

    /// A superblock with these words at their places.
    fn superblock(words: &[(usize, u32)]) -> Vec<u8> {
        let mut bytes = vec![0; 1024];
        for (at, word) in words {
            bytes[*at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn parsed(start: u64, words: &[(usize, u32)]) -> Result<Root, String> {
        let kind = Type::Mbr(0x83);
        let partition = Partition { number: 2, kind, bootable: true, start, size: 1 << 30 };
        parse(&partition, &superblock(words)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_superblock() {
        let words = [(0x0c, 70), (0x10, 80), (0x18, 2), (0x158, 1)];
        let root = Root { start: HEAD, size: 1 << 30, block: 4096, free_blocks: 70, free_inodes: 80 };
        assert_eq!(parsed(HEAD, &words), Ok(root.clone()));
        let wide = [&words[..], &[(0x60, 0x80)]].concat();
        assert_eq!(parsed(HEAD, &wide), Ok(Root { free_blocks: (1 << 32) + 70, ..root }));
        for (start, words, expected) in [
            (HEAD - 512, &words[..], "NIXOS_SD begins in the first MiB, which is written last"),
            (HEAD, &[(0x60, 4)], "NIXOS_SD was not unmounted: its journal is not empty"),
            (HEAD, &[(0x18, 7)], "the superblock of NIXOS_SD is damaged"),
            (HEAD, &[(0x18, 99)], "the superblock of NIXOS_SD is damaged"),
        ] {
            assert_eq!(parsed(start, words), Err(expected.to_owned()));
        }
    }

    #[test]
    fn the_partition_in_an_image_that_is_packed() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = mbr(&[(0x83, true, 8192, 2048), (0x0b, false, 2048, 2048)]).to_vec();
        bytes.resize(6 << 20, 0);
        let found = |bytes: &[u8]| {
            let file = dir.path().join("x.img.zst");
            std::fs::write(&file, zstd::encode_all(bytes, 1).unwrap()).unwrap();
            let image = examine(Source::open(&file).unwrap(), Depth::Whole, &Silent).unwrap();
            root(&image).map_err(|error| error.to_string().replace(file.to_str().unwrap(), "FILE"))
        };
        assert_eq!(found(&bytes), Err("FILE has no partition NIXOS_SD with ext4".to_owned()));
        let at = (4 << 20) + 1024;
        bytes[at + 56..at + 58].copy_from_slice(&[0x53, 0xef]);
        assert_eq!(found(&bytes), Err("FILE has no partition NIXOS_SD with ext4".to_owned()));
        bytes[at + 120..at + 128].copy_from_slice(b"NIXOS_SD");
        assert_eq!(found(&bytes).map(|root| (root.start, root.block)), Ok((4 << 20, 1024)));
    }
}
