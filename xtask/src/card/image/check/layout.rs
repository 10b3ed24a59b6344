//! The partition table of an image, and the refusal of an image without one.

use std::io::Read;
use std::path::Path;

use anyhow::Result;

use super::super::decode::DOWNLOAD_AGAIN;
use super::super::source::Source;
use crate::base::{Event, shell};
use crate::card::inspect::{Format, HEAD, OtherFile, PartitionTable, SECTOR, content_path};
use crate::failure;

/// The size of content whose size is unknown, in bytes: no partition exceeds it.
const UNKNOWN_SIZE: u64 = u64::MAX / SECTOR * SECTOR;

/// Parses the partition table of `source`, whose content has `size` bytes and begins with `head`.
///
/// # Errors
/// `Refused` for a size that is not a multiple of a sector, for no valid table, and for a file of another known kind.
pub fn parse_layout(source: &Source, head: &[u8], size: u64) -> Result<PartitionTable> {
    let table = PartitionTable::parse(head, size.next_multiple_of(SECTOR));
    let checked = if size.is_multiple_of(SECTOR) {
        table
    } else if table.is_ok() {
        Err(partial_sector_error(size, &padding_hint(&source.path, source.format)))
    } else {
        Err(partial_sector_error(size, DOWNLOAD_AGAIN))
    };
    checked.map_err(|error| match OtherFile::sniff_without_table(head) {
        Some(other) => source.other_file_refusal(other),
        None => error.context(format!("{} is no disk image", source.path.display())),
    })
}

/// Does the same as [`parse_layout`] while the size of the content may be unknown. `head` is the first chunk.
pub fn parse_layout_early(source: &Source, head: &[u8]) -> Result<PartitionTable> {
    parse_layout(source, head, source.size.unwrap_or(UNKNOWN_SIZE))
}

/// Checks that `source` begins as a disk image, without decompressing more than its first MiB.
///
/// # Errors
/// As for [`parse_layout`], and for a file that cannot be decompressed.
pub fn require_disk_image(source: &Source) -> Result<()> {
    let mut head = Vec::new();
    let read = source.stream()?.take(HEAD).read_to_end(&mut head);
    read.map_err(|error| source.decode_refusal(&error))?;
    let is_whole_content = (head.len() as u64) < HEAD;
    let size = if is_whole_content { head.len() as u64 } else { source.size.unwrap_or(UNKNOWN_SIZE) };
    parse_layout(source, &head, size).map(drop)
}

/// The warning for an image that is an ISO image too, and is written all the same; `None` for any other image, and for
/// one that cannot be read. The partition table is not checked here: an ISO image without one was refused before.
pub fn optical_disc_warning(source: &Source) -> Option<Event> {
    let mut head = Vec::new();
    source.stream().ok()?.take(HEAD).read_to_end(&mut head).ok()?;
    let found = OtherFile::sniff_optical_disc(&head)?;
    let text = format!("the image {} is {}", source.path.display(), found.name);
    Some(Event::warning_with_hint(text, found.hint(&source.path)))
}

/// The error for content of `size` bytes whose last sector is not whole.
fn partial_sector_error(size: u64, hint: &str) -> anyhow::Error {
    failure!(Refused, "its size, {size} bytes, is not a multiple of {SECTOR}-byte sectors"; hint: "{hint}")
}

/// The hint for an image in which only the end of the last sector is missing.
fn padding_hint(path: &Path, format: Format) -> String {
    let quoted = |path: &Path| shell::quote(&path.to_string_lossy());
    let file = quoted(path);
    match format.decompress_command() {
        None => format!("pad it to whole sectors: `truncate -s %{SECTOR} {file}`"),
        Some(decompress) => {
            let content = quoted(&content_path(path));
            format!(
                "pad its content to whole sectors: `{decompress} {file} >{content} && truncate -s %{SECTOR} {content}`"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::image;
    use super::super::{Depth, examine};
    use super::*;
    use crate::base::Silent;
    use crate::base::failure::{hint, with_hint};

    #[test]
    fn an_iso_with_a_partition_table_is_warned_of() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pi.img");
        let mut content = image();
        let warning = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            let source = Source::open(&path).unwrap();
            assert!(parse_layout(&source, content, content.len() as u64).is_ok());
            match optical_disc_warning(&source) {
                Some(Event::Warning { text, hint: Some(_) }) => Some(text),
                _ => None,
            }
        };
        assert_eq!(warning(&content), None);
        for magic in [b"CD001", b"BEA01"] {
            content[32769..32774].copy_from_slice(magic);
            assert!(
                warning(&content).is_some_and(|text| text.contains("is an ISO image of an optical disc"))
            );
        }
    }

    /// A compressed file is refused by the kind of its content, any other file by its own kind.
    #[test]
    fn the_refusal_names_the_kind_of_other_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("pi.tgz");
        let file = path.display();
        let mut tar = vec![0; 2 << 20];
        tar[257..262].copy_from_slice(b"ustar");
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gz, &tar).unwrap();
        std::fs::write(&path, gz.finish().unwrap()).unwrap();
        let error =
            Source::open(&path).and_then(|source| examine(source, Depth::Whole, &Silent)).unwrap_err();
        let content = path.with_extension("");
        let content = content.display();
        let expected = format!(
            "{file} cannot be written to a card: it holds a tar archive, compressed with gzip; \
             decompress it: `gzip -dc {file} >{content}`; then unpack it: `tar -xf {content}`"
        );
        assert_eq!(with_hint(&error), expected);
        tar.fill(0);
        tar[1080..1082].copy_from_slice(&[0x53, 0xef]);
        std::fs::write(&path, &tar).unwrap();
        let error =
            Source::open(&path).and_then(|source| examine(source, Depth::Whole, &Silent)).unwrap_err();
        assert!(
            error.to_string().ends_with("it is an ext4 file system without a partition table"),
            "{error}"
        );
    }

    /// No command turns such a file into an image for a card, so the hint does not say to decompress it.
    #[test]
    fn the_hint_for_a_compressed_iso_or_file_system_is_to_name_another_image() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pi.img.gz");
        for (offset, magic, expected) in [
            (32769, &b"CD001"[..], "name an image for SD cards"),
            (1080, b"\x53\xef", "name the image of the whole card, which has a partition table"),
        ] {
            let mut content = vec![0; 2 << 20];
            content[offset..offset + magic.len()].copy_from_slice(magic);
            let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut gz, &content).unwrap();
            std::fs::write(&path, gz.finish().unwrap()).unwrap();
            let error =
                Source::open(&path).and_then(|source| examine(source, Depth::Whole, &Silent)).unwrap_err();
            assert!(error.to_string().ends_with(", compressed with gzip"), "{error}");
            assert_eq!(hint(&error), Some(expected));
        }
    }

    #[test]
    fn a_partial_last_sector_has_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("my pi.img.zst");
        let odd = [&image()[..], &[7; 100]].concat();
        let cut = &image()[..(2 << 20) - 100];
        let missing = &image()[..(2 << 20) - 700];
        let [file, content] = [&path, &path.with_extension("")].map(|path| format!("'{}'", path.display()));
        let truncate = format!("pad it to whole sectors: `truncate -s %512 {file}`");
        let unpack = format!(
            "pad its content to whole sectors: `zstd -dc {file} >{content} && truncate -s %512 {content}`"
        );
        for (bytes, expected) in [
            (odd.clone(), truncate.as_str()),
            (zstd::encode_all(&odd[..], 1).unwrap(), &unpack),
            (zstd::bulk::compress(&odd, 1).unwrap(), &unpack),
            (cut.to_vec(), &truncate),
            (missing.to_vec(), DOWNLOAD_AGAIN),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error =
                Source::open(&path).and_then(|source| examine(source, Depth::Whole, &Silent)).unwrap_err();
            let words = "is not a multiple of 512-byte sectors";
            assert!(format!("{error:#}").ends_with(words), "{error:#}");
            assert_eq!(hint(&error), Some(expected));
        }
    }

    /// No more than the first MiB is read.
    #[test]
    fn the_beginning_of_an_image_is_required() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pi.img.zst");
        let require = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Source::open(&path)
                .and_then(|source| require_disk_image(&source))
                .map_err(|error| format!("{error:#}"))
        };
        let packed = zstd::encode_all(&image()[..], 1).unwrap();
        for good in [image(), packed.clone(), zstd::bulk::compress(&image(), 1).unwrap()] {
            require(&good).unwrap();
        }
        let text = zstd::encode_all(&b"hello\n"[..], 1).unwrap();
        for (bad, words) in [
            (&b"hello\n"[..], "pi.img.zst is no disk image: its size, 6 bytes, is not a multiple of"),
            (&text, "pi.img.zst is no disk image: its size, 6 bytes, is not a multiple of"),
            (&vec![0; 2 << 20], "pi.img.zst is no disk image: no partition table"),
            (
                &image()[..1 << 20],
                "pi.img.zst is no disk image: partition 1 ends at byte 2097152, beyond the end",
            ),
            (b"<html>", "it is an HTML page"),
            (&packed[..packed.len() - 20], "truncated or damaged"),
        ] {
            let error = require(bad).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
