//! Folders. A hash tree is read as the list that it is as well.

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::Result;

use super::checksum::crc32c;
use super::superblock::wrong;
use super::{Ext4, Inode, le16};
use crate::card::inspect::partition::le32;

/// No folder is larger, in bytes. With its names in memory it takes some five times as much.
const LARGEST: u64 = 16 << 20;
/// The bytes of all folders whose names are kept in memory.
const KEPT: u64 = 24 << 20;

type Names = HashMap<Box<[u8]>, u32>;

/// The names of folders that were read, so that thousands of look-ups in one are not thousands of readings.
#[derive(Debug, Default)]
pub struct Folders {
    by_inode: HashMap<u32, Rc<Names>>,
    bytes: u64,
}

impl Ext4<'_> {
    /// The inodes in the folder `inode`, by their names.
    pub(super) fn names(&self, inode: &Inode) -> Result<Rc<Names>> {
        self.step()?;
        if let Some(known) = self.folders.borrow().by_inode.get(&inode.number) {
            return Ok(Rc::clone(known));
        }
        let mut names = Names::new();
        self.each_name(inode, |name, number| {
            names.insert(name.into(), number);
        })?;
        let (names, mut folders) = (Rc::new(names), self.folders.borrow_mut());
        if folders.bytes + inode.size > KEPT {
            *folders = Folders::default();
        }
        folders.bytes += inode.size;
        folders.by_inode.insert(inode.number, Rc::clone(&names));
        Ok(names)
    }

    /// How many files and folders are in the folder `inode`.
    pub fn count(&self, inode: &Inode) -> Result<usize> {
        let mut count = 0;
        self.each_name(inode, |name, _| count += usize::from(!matches!(name, b"." | b"..")))?;
        Ok(count)
    }

    fn each_name(&self, inode: &Inode, mut each: impl FnMut(&[u8], u32)) -> Result<()> {
        if !inode.is_folder() {
            return Err(wrong("it is no folder"));
        }
        if inode.is_encrypted() {
            return Err(wrong("it is encrypted"));
        }
        if inode.size > LARGEST {
            return Err(wrong(&format!("a folder has {} bytes, more than any folder", inode.size)));
        }
        for index in 0..inode.size.div_ceil(self.facts.block) {
            let block = self.folder_block(inode, index)?;
            check_block(&block, inode)?;
            each_entry(&block, &mut each)?;
        }
        Ok(())
    }
}

/// Compares the checksum at the end of a block. The inner blocks of a hash tree have it elsewhere.
fn check_block(block: &[u8], inode: &Inode) -> Result<()> {
    let (Some(seed), Some((sealed, tail))) = (inode.seed, block.split_last_chunk::<12>()) else {
        return Ok(());
    };
    let sealed = tail[..8] != [0, 0, 0, 0, 12, 0, 0, 0xde] || crc32c(seed, sealed) == le32(&tail[8..]);
    if sealed { Ok(()) } else { Err(wrong(&format!("a checksum of folder {} is wrong", inode.number))) }
}

/// Calls `each` with the name and the inode of each entry of a `block`.
fn each_entry(block: &[u8], each: &mut impl FnMut(&[u8], u32)) -> Result<()> {
    let mut rest = block;
    while rest.len() >= 8 {
        // The largest blocks are longer than a length can say.
        let len = match usize::from(le16(&rest[4..])) {
            0 | 0xffff if block.len() == 65_536 => 65_536,
            len => len,
        };
        let (number, name) = (le32(rest), rest.get(8..8 + usize::from(rest[6])));
        let entry = name.filter(|name| len >= 8 + name.len() && len <= rest.len() && len % 4 == 0);
        let name = entry.ok_or_else(|| wrong("a folder is damaged"))?;
        if number != 0 {
            if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
                return Err(wrong("a name in a folder is none"));
            }
            each(name, number);
        }
        rest = &rest[len..];
    }
    Ok(())
}
