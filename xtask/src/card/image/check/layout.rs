//! The partition table of an image, and the reason for one that has none.

use std::io::Read;
use std::path::Path;

use anyhow::Result;

use super::super::decode::DOWNLOAD_AGAIN;
use super::super::source::Source;
use crate::bail;
use crate::base::shell;
use crate::card::inspect::{Format, HEAD, OtherFile, PartitionTable, SECTOR};

/// The partition table of `source`, which has `size` bytes and begins with `head`.
///
/// # Errors
/// `Refused` for a size of partial sectors, for no valid table, and for a file of another known kind.
pub fn parse(source: &Source, head: &[u8], size: u64) -> Result<PartitionTable> {
    let table = PartitionTable::parse(head, size.next_multiple_of(SECTOR));
    let table = if size.is_multiple_of(SECTOR) { table } else { partial_sector(source, size, table.is_ok()) };
    table.map_err(|error| match OtherFile::sniff_without_table(head) {
        Some(other) => source.is_other(other),
        None => error.context(format!("{} is no disk image", source.path.display())),
    })
}

/// The same for `head`, the first chunk, while the size of the content may be unknown.
pub fn parse_early(source: &Source, head: &[u8]) -> Result<PartitionTable> {
    parse(source, head, source.size.unwrap_or(u64::MAX / SECTOR * SECTOR))
}

/// Checks that `source` begins as a disk image, without decompressing more than its first MiB.
///
/// # Errors
/// As for [`parse`], and for a file that cannot be decompressed.
pub fn require(source: &Source) -> Result<()> {
    let mut head = Vec::new();
    let read = source.stream()?.take(HEAD).read_to_end(&mut head);
    read.map_err(|error| source.refusal(&error))?;
    let is_whole = (head.len() as u64) < HEAD;
    let size = if is_whole { head.len() as u64 } else { source.size.unwrap_or(u64::MAX / SECTOR * SECTOR) };
    parse(source, &head, size).map(drop)
}

fn partial_sector(source: &Source, size: u64, has_table: bool) -> Result<PartitionTable> {
    let remedy = if has_table { padding(&source.path, source.format) } else { DOWNLOAD_AGAIN.to_owned() };
    bail!(Refused, "its size, {size} bytes, is not a multiple of {SECTOR}-byte sectors"; hint: "{remedy}")
}

/// The remedy for an image that is whole but for the end of its last sector.
fn padding(path: &Path, format: Format) -> String {
    let quoted = |path: &Path| shell::quote(&path.to_string_lossy());
    let file = quoted(path);
    match format.decompress() {
        None => format!("pad it to whole sectors: `truncate -s %{SECTOR} {file}`"),
        Some(decompress) => {
            let content = quoted(&path.with_extension(""));
            format!(
                "pad its content to whole sectors: `{decompress} {file} >{content} && truncate -s %{SECTOR} {content}`"
            )
        }
    }
}
