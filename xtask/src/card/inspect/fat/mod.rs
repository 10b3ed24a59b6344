//! As much of FAT32 as it takes to read a file in the root folder: what the firmware of a Pi reads.

use std::cell::OnceCell;
use std::collections::HashSet;

use anyhow::{Context, Result};

use super::budget::Limited;
use super::partition::le32;
use crate::base::failure::ExitKind;

/// No file that is read here is larger, in bytes.
const LARGEST: u32 = 64 << 20;

/// No folder has more entries, in bytes.
const FOLDER: u32 = 65_536 * 32;

/// No name is longer, in units of UTF-16 with those that fill its last part up.
const LONGEST: usize = 20 * 13;

/// No cluster is larger, in bytes.
const CLUSTER: u64 = 256 << 10;

/// One FAT32 file system on a disk.
#[derive(Debug)]
pub struct Fat<'a> {
    part: Limited<'a>,
    /// Where the table of clusters and the clusters begin, in bytes from its own beginning.
    table: u64,
    data: u64,
    /// In bytes.
    cluster: u64,
    root: u32,
    /// The files of the root folder, once they were read.
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
    /// The file system that is this part of a disk.
    ///
    /// # Errors
    /// A first sector that is not one of FAT32.
    pub fn open(part: Limited<'a>) -> Result<Self> {
        let mut head = [0; 512];
        part.read(0, &mut head).context("reading its first sector")?;
        let (sector, cluster) = (u64::from(le16(&head[11..])), u64::from(head[13]));
        let (reserved, copies) = (u64::from(le16(&head[14..])), u64::from(head[16]));
        let known = matches!(sector, 512 | 1024 | 2048 | 4096) && &head[82..87] == b"FAT32";
        if !known || !cluster.is_power_of_two() || cluster * sector > CLUSTER {
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

    /// The content of the file `name` in the root folder; nothing where there is none. Case does not matter.
    ///
    /// # Errors
    /// A chain of clusters that ends too soon, and a file that is too large to be one of the firmware.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.read_within(name, LARGEST)
    }

    /// Whether there is a file `name` in the root folder.
    pub fn has(&self, name: &str) -> Result<bool> {
        Ok(self.entries()?.iter().any(|it| it.name.eq_ignore_ascii_case(name)))
    }

    /// As [`Self::read`], of a file that has at most `most` bytes.
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

    /// The files of the root folder, which is read once.
    fn entries(&self) -> Result<&[DirEntry]> {
        if self.files.get().is_none() {
            let folder = self.chain(self.root, FOLDER).context("reading its root folder")?;
            let _ = self.files.set(entries(&folder));
        }
        Ok(self.files.get().map_or(&[], Vec::as_slice))
    }

    /// The clusters from `first` on, until the chain ends or `enough` bytes are there.
    fn chain(&self, first: u32, enough: u32) -> Result<Vec<u8>> {
        let (mut bytes, mut next, mut met) = (Vec::new(), first, HashSet::new());
        // 0 and 1 are no clusters; the highest numbers end a chain.
        while (2..0x0fff_fff7).contains(&next) && bytes.len() < enough as usize {
            if !met.insert(next) {
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

/// Reads the entries of a folder. A long name stands in parts before its entry, the last part first.
fn entries(folder: &[u8]) -> Vec<DirEntry> {
    let (mut found, mut long) = (Vec::new(), Vec::<u16>::new());
    for entry in folder.chunks_exact(32).take_while(|entry| entry[0] != 0) {
        match (entry[0], entry[11]) {
            (0xe5, _) => long.clear(),
            (_, 0x0f) => {
                let part = [&entry[1..11], &entry[14..26], &entry[28..32]].concat();
                long.splice(0..0, part.chunks_exact(2).map(le16));
                // The remains of a damaged folder may go on for ever.
                long.truncate(LONGEST);
            }
            // Folders and the label.
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
