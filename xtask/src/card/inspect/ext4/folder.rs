//! The entries of folders. A folder with a hash tree is also a list of entries, and is read as a list.

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context, Result};

use super::checksum::crc32c;
use super::path::ROOT;
use super::{Ext4, Inode, le16};
use crate::bail;
use crate::card::inspect::partition::le32;

/// The size of the largest folder, in bytes. Its names take about five times as much memory.
const MAX_FOLDER: u64 = 16 << 20;
/// The largest size of all folders together whose names are cached, in bytes.
const MAX_CACHE: u64 = 24 << 20;

/// The inodes of the entries of a folder, by name.
type Names = HashMap<Box<[u8]>, u32>;

/// The cache of the names of folders, so that a folder is read once for thousands of lookups.
#[derive(Debug, Default)]
pub struct FolderCache {
    by_inode: HashMap<u32, Rc<Names>>,
    /// The size of the cached folders, in bytes.
    bytes: u64,
}

impl Ext4<'_> {
    /// The inodes of the entries of the folder `inode`, by name.
    pub(super) fn names(&self, inode: &Inode) -> Result<Rc<Names>> {
        self.spend_step()?;
        if let Some(known) = self.folders.borrow().by_inode.get(&inode.number) {
            return Ok(Rc::clone(known));
        }
        let mut names = Names::new();
        self.for_each_name(inode, |name, number| {
            names.insert(name.into(), number);
        })?;
        let shared = Rc::new(names);
        let mut folders = self.folders.borrow_mut();
        if folders.bytes + inode.size > MAX_CACHE {
            *folders = FolderCache::default();
        }
        folders.bytes += inode.size;
        folders.by_inode.insert(inode.number, Rc::clone(&shared));
        Ok(shared)
    }

    /// The names in the root folder.
    pub fn root_names(&self) -> Result<Vec<Vec<u8>>> {
        self.folder_names(&self.inode(ROOT)?)
    }

    /// The names in the folder `inode`.
    pub fn folder_names(&self, inode: &Inode) -> Result<Vec<Vec<u8>>> {
        let names = self.names(inode)?;
        Ok(names.keys().map(|name| name.to_vec()).collect())
    }

    /// The number of entries of the folder `inode`, without `.` and `..`.
    pub fn count_entries(&self, inode: &Inode) -> Result<usize> {
        let mut count = 0;
        self.for_each_name(inode, |name, _| count += usize::from(!matches!(name, b"." | b"..")))?;
        Ok(count)
    }

    /// Calls `each` with the name and the inode of each entry of the folder `inode`.
    fn for_each_name(&self, inode: &Inode, mut each: impl FnMut(&[u8], u32)) -> Result<()> {
        if !inode.is_folder() {
            bail!(Verification, "inode {} is not a folder", inode.number);
        }
        if inode.is_encrypted() {
            bail!(Verification, "the folder in inode {} is encrypted", inode.number);
        }
        if inode.size > MAX_FOLDER {
            bail!(
                Verification,
                "the folder in inode {} has {} bytes, more than the limit of {MAX_FOLDER} bytes",
                inode.number,
                inode.size
            );
        }
        for index in 0..inode.size.div_ceil(self.superblock.block_size) {
            let block = self.folder_block(inode, index)?;
            check_block(&block, inode)?;
            let doing = || format!("reading the folder in inode {}", inode.number);
            for_each_entry(&block, &mut each).with_context(doing)?;
        }
        Ok(())
    }
}

/// Fails where the checksum at the end of a `block` of the folder `inode` is wrong. The inner blocks of a hash tree
/// have their checksums elsewhere, and are not checked.
fn check_block(block: &[u8], inode: &Inode) -> Result<()> {
    let Some(seed) = inode.seed else { return Ok(()) };
    let Some((entries, tail)) = block.split_last_chunk::<12>() else { return Ok(()) };
    // An entry of 12 bytes without a name has the checksum.
    let has_checksum = tail[..8] == [0, 0, 0, 0, 12, 0, 0, 0xde];
    if has_checksum && crc32c(seed, entries) != le32(&tail[8..]) {
        bail!(Verification, "a checksum of the folder in inode {} is wrong", inode.number);
    }
    Ok(())
}

/// Calls `each` with the name and the inode of each entry of a `block`.
pub(super) fn for_each_entry(block: &[u8], each: &mut impl FnMut(&[u8], u32)) -> Result<()> {
    let mut rest = block;
    while rest.len() >= 8 {
        // The length of an entry that fills a block of 64 KiB does not fit into 16 bits.
        let len = match usize::from(le16(&rest[4..])) {
            0 | 0xffff if block.len() == 65_536 => 65_536,
            len => len,
        };
        let number = le32(rest);
        let name_end = 8 + usize::from(rest[6]);
        let is_valid = name_end <= len && len <= rest.len() && len.is_multiple_of(4);
        if !is_valid {
            bail!(Verification, "an entry is damaged");
        }
        let name = &rest[8..name_end];
        if number != 0 {
            if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
                bail!(Verification, "an entry has an invalid name");
            }
            each(name, number);
        }
        rest = &rest[len..];
    }
    Ok(())
}
