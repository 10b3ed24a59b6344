//! A reader of files on FAT32 and FAT16, from which the firmware of a Pi is read.
//!
//! The boot ROM of a Pi 3 and the EEPROM bootloader of a Pi 4 and 5 read both (github.com/raspberrypi: firmware#1738,
//! rpi-eeprom#359). FAT12 is read by newer bootloaders alone, so this reader does not accept it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use anyhow::{Context, Result};

use super::budget::LimitedRegion;
use super::partition::le32;
use crate::bail;

mod boot_sector;

use boot_sector::{BootSector, Layout, Root};

/// The size of the largest file that is read, in bytes.
const MAX_FILE: u32 = 64 << 20;

/// The size of the largest folder, in bytes: 65,536 entries.
const MAX_FOLDER: u32 = 65_536 * 32;

/// How many folders are kept in memory.
const MAX_FOLDERS: usize = 16;

/// The length of the longest name in UTF-16 units, with the padding of its last part.
const MAX_NAME: usize = 20 * 13;

/// One FAT32 or FAT16 file system on a disk.
#[derive(Debug)]
pub struct Fat<'a> {
    partition: LimitedRegion<'a>,
    layout: Layout,
    /// The folders that were read, by the first cluster of each.
    folders: RefCell<HashMap<u32, Rc<Folder>>>,
}

/// The entries of a folder, by name in lower case and whether the entry is a folder: a hostile folder is large, and
/// searched often.
type Folder = HashMap<(String, bool), DirEntry>;

/// The key of the root folder: no file begins there.
const ROOT: u32 = 0;

/// A file or a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct DirEntry {
    name: String,
    is_folder: bool,
    first_cluster: u32,
    /// The size in bytes.
    size: u32,
}

impl<'a> Fat<'a> {
    /// Opens the file system on `partition`.
    ///
    /// # Errors
    /// A first sector that is not of FAT32 or FAT16, or is damaged.
    pub fn open(partition: LimitedRegion<'a>) -> Result<Self> {
        let mut head = [0; 512];
        partition.read(0, &mut head).context("reading the first sector")?;
        let Some(sector) = BootSector::parse(&head) else {
            bail!(Verification, "the file system is neither FAT32 nor FAT16");
        };
        let Some(layout) = sector.layout(partition.size()) else {
            bail!(Verification, "the first sector is damaged");
        };
        Ok(Self { partition, layout, folders: RefCell::default() })
    }

    /// The content of the file `path`, whose folders `/` divides and whose case does not matter; `None` where there is
    /// no such file.
    ///
    /// # Errors
    /// A chain of clusters that ends too soon, and a file that is too large to be one of the firmware.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        self.read_within(path, MAX_FILE)
    }

    /// The size of the file `path` in bytes; `None` where there is no such file.
    pub fn size(&self, path: &str) -> Result<Option<u64>> {
        Ok(self.find(path)?.map(|entry| entry.size.into()))
    }

    /// Like [`Self::read`], for a file of at most `max` bytes.
    pub fn read_within(&self, path: &str, max: u32) -> Result<Option<Vec<u8>>> {
        let Some(entry) = self.find(path)? else { return Ok(None) };
        if entry.size > max {
            bail!(Verification, "{path} has {} bytes, more than the limit of {max} bytes", entry.size);
        }
        Ok(Some(self.content(path, &entry)?))
    }

    /// The content of `entry`, the file `path`.
    fn content(&self, path: &str, entry: &DirEntry) -> Result<Vec<u8>> {
        let doing = || format!("reading {path}");
        let mut bytes = self.read_chain(entry.first_cluster, entry.size).with_context(doing)?;
        let size = entry.size as usize;
        if bytes.len() < size {
            bail!(Verification, "the clusters of {path} end before its {size} bytes");
        }
        bytes.truncate(size);
        Ok(bytes)
    }

    /// The size of the file `path`, and its first bytes, at most `max`; `None` where there is no such file.
    ///
    /// # Errors
    /// A chain of clusters that ends too soon.
    pub fn beginning(&self, path: &str, max: u32) -> Result<Option<(u64, Vec<u8>)>> {
        let Some(entry) = self.find(path)? else { return Ok(None) };
        let content = DirEntry { size: entry.size.min(max), ..entry };
        Ok(Some((entry.size.into(), self.content(path, &content)?)))
    }

    /// The file `path`; `None` where there is no such file.
    fn find(&self, path: &str) -> Result<Option<DirEntry>> {
        // A search takes time, though it reads nothing.
        self.partition.budget.spend(0)?;
        let mut folder = ROOT;
        let mut names = path.split('/').filter(|name| !name.is_empty()).peekable();
        while let Some(name) = names.next() {
            let is_folder = names.peek().is_some();
            let entries = self.entries(folder)?;
            match entries.get(&(name.to_ascii_lowercase(), is_folder)) {
                Some(entry) if is_folder => folder = entry.first_cluster,
                found => return Ok(found.cloned()),
            }
        }
        Ok(None)
    }

    /// The entries of the folder whose first cluster is `folder`, which is read at the first call.
    fn entries(&self, folder: u32) -> Result<Rc<Folder>> {
        if let Some(known) = self.folders.borrow().get(&folder) {
            return Ok(Rc::clone(known));
        }
        let bytes = match folder {
            ROOT => self.root_folder().context("reading the root folder")?,
            cluster => self.read_chain(cluster, MAX_FOLDER).context("reading a folder")?,
        };
        let mut entries = Folder::new();
        for entry in parse_entries(&bytes, self.layout.root) {
            // Of two with the same name, the first counts.
            entries.entry((entry.name.to_ascii_lowercase(), entry.is_folder)).or_insert(entry);
        }
        let entries = Rc::new(entries);
        let mut folders = self.folders.borrow_mut();
        if folders.len() == MAX_FOLDERS {
            folders.clear();
        }
        folders.insert(folder, Rc::clone(&entries));
        Ok(entries)
    }

    /// The bytes of the root folder.
    fn root_folder(&self) -> Result<Vec<u8>> {
        match self.layout.root {
            Root::Chain { cluster } => self.read_chain(cluster, MAX_FOLDER),
            Root::Region { start, size } => {
                let mut bytes = vec![0; size as usize];
                self.partition.read(start, &mut bytes)?;
                Ok(bytes)
            }
        }
    }

    /// The content of the clusters from `first` on, until the chain ends or `enough` bytes are read.
    fn read_chain(&self, first: u32, enough: u32) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut next = first;
        let mut visited = HashSet::new();
        while self.layout.is_cluster(next) && bytes.len() < enough as usize {
            if !visited.insert(next) {
                bail!(Verification, "the chain of clusters is a circle");
            }
            let at = bytes.len();
            bytes.resize(at + usize::try_from(self.layout.cluster)?, 0);
            let start = self.layout.data + u64::from(next - 2) * self.layout.cluster;
            self.partition.read(start, &mut bytes[at..])?;
            next = self.next_cluster(next)?;
        }
        Ok(bytes)
    }

    /// The cluster that follows `cluster` in its chain, or a number that ends the chain.
    fn next_cluster(&self, cluster: u32) -> Result<u32> {
        let mut link = [0; 4];
        match self.layout.root {
            Root::Chain { .. } => {
                self.partition.read(self.layout.table + u64::from(cluster) * 4, &mut link)?;
            }
            Root::Region { .. } => {
                self.partition.read(self.layout.table + u64::from(cluster) * 2, &mut link[..2])?;
            }
        }
        // The highest four bits of FAT32 are reserved.
        Ok(u32::from_le_bytes(link) & 0x0fff_ffff)
    }
}

/// Parses the entries of a folder. The parts of a long name precede the entry of the file, the last part first.
fn parse_entries(folder: &[u8], root: Root) -> Vec<DirEntry> {
    let mut found = Vec::new();
    let mut long_name = Vec::<u16>::new();
    for entry in folder.chunks_exact(32).take_while(|entry| entry[0] != 0) {
        match (entry[0], entry[11]) {
            // A deleted entry.
            (0xe5, _) => long_name.clear(),
            // A part of a long name.
            (_, 0x0f) => {
                let part = [&entry[1..11], &entry[14..26], &entry[28..32]].concat();
                long_name.splice(0..0, part.chunks_exact(2).map(le16));
                // A damaged folder may have any number of parts.
                long_name.truncate(MAX_NAME);
            }
            // The label, which a damaged entry may say of a folder too.
            (_, kind) if kind & 0x08 != 0 => long_name.clear(),
            (_, kind) => {
                let units = std::mem::take(&mut long_name);
                let name = if units.is_empty() { parse_short_name(entry) } else { parse_long_name(&units) };
                let first_cluster = root.first_cluster(entry);
                let is_folder = kind & 0x10 != 0;
                found.push(DirEntry { name, is_folder, first_cluster, size: le32(&entry[28..]) });
            }
        }
    }
    found
}

/// The short name in `entry`, such as `CONFIG.TXT`.
fn parse_short_name(entry: &[u8]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let name = text(&entry[..8]);
    let extension = text(&entry[8..11]);
    if extension.is_empty() { name } else { format!("{name}.{extension}") }
}

/// The name in the UTF-16 `units`, up to the first 0.
fn parse_long_name(units: &[u16]) -> String {
    let end = units.iter().position(|&unit| unit == 0).unwrap_or(units.len());
    String::from_utf16_lossy(&units[..end])
}

/// The little-endian number at the start of `bytes`; 0 where there are fewer than two.
fn le16(bytes: &[u8]) -> u16 {
    bytes.first_chunk().map_or(0, |word| u16::from_le_bytes(*word))
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
pub(super) mod tests;
