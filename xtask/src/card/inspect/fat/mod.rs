//! A reader of files in the root folder of FAT32, which is what the firmware of a Pi reads.

use std::cell::OnceCell;
use std::collections::HashSet;

use anyhow::{Context, Result};

use super::budget::Limited;
use super::partition::le32;
use crate::base::failure::ExitKind;

/// The size of the largest file that is read, in bytes.
const MAX_FILE: u32 = 64 << 20;

/// The size of the largest folder, in bytes: 65,536 entries.
const MAX_FOLDER: u32 = 65_536 * 32;

/// The length of the longest name in UTF-16 units, with the padding of its last part.
const MAX_NAME: usize = 20 * 13;

/// The size of the largest cluster, in bytes.
const MAX_CLUSTER: u64 = 256 << 10;

/// One FAT32 file system on a disk.
#[derive(Debug)]
pub struct Fat<'a> {
    part: Limited<'a>,
    /// The offset of the file allocation table, in bytes from the start of the partition.
    table: u64,
    /// The offset of the first cluster, in bytes from the start of the partition.
    data: u64,
    /// The size of a cluster in bytes.
    cluster: u64,
    /// The first cluster of the root folder.
    root: u32,
    /// The files of the root folder, read at the first use.
    files: OnceCell<Vec<DirEntry>>,
}

/// A file in the root folder.
#[derive(Debug, PartialEq, Eq)]
struct DirEntry {
    name: String,
    first: u32,
    size: u32,
}

impl<'a> Fat<'a> {
    /// Opens the file system on the partition `part`.
    ///
    /// # Errors
    /// A first sector that is not of FAT32, or is damaged.
    pub fn open(part: Limited<'a>) -> Result<Self> {
        let mut head = [0; 512];
        part.read(0, &mut head).context("reading its first sector")?;
        let sector = u64::from(le16(&head[11..]));
        let cluster = u64::from(head[13]);
        let reserved = u64::from(le16(&head[14..]));
        let copies = u64::from(head[16]);
        let known = matches!(sector, 512 | 1024 | 2048 | 4096) && &head[82..87] == b"FAT32";
        if !known || !cluster.is_power_of_two() || cluster * sector > MAX_CLUSTER {
            return Err(ExitKind::Verification.error("it is no FAT32"));
        }
        let table = reserved * sector;
        let data = table + copies * u64::from(le32(&head[36..])) * sector;
        if reserved == 0 || copies == 0 || data > part.size() {
            return Err(ExitKind::Verification.error("its first sector is damaged"));
        }
        Ok(Self {
            part,
            table,
            data,
            cluster: cluster * sector,
            root: le32(&head[44..]),
            files: OnceCell::new(),
        })
    }

    /// The content of the file `name` in the root folder, whose case does not matter; `None` where there is no such file.
    ///
    /// # Errors
    /// A chain of clusters that ends too soon, and a file that is too large to be one of the firmware.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.read_within(name, MAX_FILE)
    }

    /// Whether there is a file `name` in the root folder.
    pub fn has(&self, name: &str) -> Result<bool> {
        Ok(self.entries()?.iter().any(|it| it.name.eq_ignore_ascii_case(name)))
    }

    /// Like [`Self::read`], for a file of at most `most` bytes.
    pub fn read_within(&self, name: &str, most: u32) -> Result<Option<Vec<u8>>> {
        let Some(entry) = self.entries()?.iter().find(|it| it.name.eq_ignore_ascii_case(name)) else {
            return Ok(None);
        };
        let doing = || format!("reading {name}");
        if entry.size > most {
            return Err(ExitKind::Verification.error("it is larger than any firmware")).with_context(doing);
        }
        let mut bytes = self.chain(entry.first, entry.size).with_context(doing)?;
        let size = entry.size as usize;
        if bytes.len() < size {
            return Err(ExitKind::Verification.error("its clusters end before it does")).with_context(doing);
        }
        bytes.truncate(size);
        Ok(Some(bytes))
    }

    /// The files of the root folder, which is read at the first call.
    fn entries(&self) -> Result<&[DirEntry]> {
        if self.files.get().is_none() {
            let folder = self.chain(self.root, MAX_FOLDER).context("reading its root folder")?;
            let _ = self.files.set(entries(&folder));
        }
        Ok(self.files.get().map_or(&[], Vec::as_slice))
    }

    /// The content of the clusters from `first` on, until the chain ends or `enough` bytes are read.
    fn chain(&self, first: u32, enough: u32) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut next = first;
        let mut visited = HashSet::new();
        // The numbers 0 and 1 are no clusters; the highest numbers end a chain.
        while (2..0x0fff_fff7).contains(&next) && bytes.len() < enough as usize {
            if !visited.insert(next) {
                return Err(ExitKind::Verification.error("its clusters go in a circle"));
            }
            let at = bytes.len();
            bytes.resize(at + usize::try_from(self.cluster)?, 0);
            self.part.read(self.data + u64::from(next - 2) * self.cluster, &mut bytes[at..])?;
            let mut link = [0; 4];
            self.part.read(self.table + u64::from(next) * 4, &mut link)?;
            next = u32::from_le_bytes(link) & 0x0fff_ffff;
        }
        Ok(bytes)
    }
}

/// Parses the entries of a folder. The parts of a long name precede the entry of the file, the last part first.
fn entries(folder: &[u8]) -> Vec<DirEntry> {
    let mut found = Vec::new();
    let mut long = Vec::<u16>::new();
    for entry in folder.chunks_exact(32).take_while(|entry| entry[0] != 0) {
        match (entry[0], entry[11]) {
            (0xe5, _) => long.clear(),
            (_, 0x0f) => {
                let part = [&entry[1..11], &entry[14..26], &entry[28..32]].concat();
                long.splice(0..0, part.chunks_exact(2).map(le16));
                // A damaged folder may have any number of parts.
                long.truncate(MAX_NAME);
            }
            // A folder or the label.
            (_, kind) if kind & 0x18 != 0 => long.clear(),
            _ => {
                let first = u32::from(le16(&entry[20..])) << 16 | u32::from(le16(&entry[26..]));
                let long = std::mem::take(&mut long);
                let name = if long.is_empty() { short_name(entry) } else { long_name(&long) };
                found.push(DirEntry { name, first, size: le32(&entry[28..]) });
            }
        }
    }
    found
}

fn short_name(entry: &[u8]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let (name, end) = (text(&entry[..8]), text(&entry[8..11]));
    if end.is_empty() { name } else { format!("{name}.{end}") }
}

fn long_name(units: &[u16]) -> String {
    let end = units.iter().position(|&unit| unit == 0).unwrap_or(units.len());
    String::from_utf16_lossy(&units[..end])
}

fn le16(bytes: &[u8]) -> u16 {
    bytes.first_chunk().map_or(0, |word| u16::from_le_bytes(*word))
}

#[cfg(test)]
pub(super) mod tests;
