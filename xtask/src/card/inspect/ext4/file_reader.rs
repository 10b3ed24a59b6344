//! Reading a file from its start, no further than its reader goes.

use std::io::{self, Read};

use super::{Ext4, Inode};

impl Ext4<'_> {
    /// Reads the file `inode` from its start, a block at a time.
    pub fn reader<'a>(&'a self, inode: &'a Inode) -> FileReader<'a> {
        FileReader { fs: self, inode, at: 0, block: Vec::new() }
    }
}

/// A file that is read from its start.
pub struct FileReader<'a> {
    fs: &'a Ext4<'a>,
    inode: &'a Inode,
    /// The position of `block` in the file, in bytes.
    at: u64,
    /// The bytes of a block that are not read yet.
    block: Vec<u8>,
}

impl Read for FileReader<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let block_size = self.fs.superblock.block_size;
        let missing = self.inode.size.saturating_sub(self.at);
        if self.block.is_empty() && missing > 0 {
            let read = self.fs.find_run(self.inode, self.at / block_size);
            let read =
                read.and_then(|run| self.fs.append(&mut self.block, run.start, missing.min(block_size)));
            read.map_err(io::Error::other)?;
            self.at += self.block.len() as u64;
        }
        let count = bytes.len().min(self.block.len());
        bytes[..count].copy_from_slice(&self.block[..count]);
        self.block.drain(..count);
        Ok(count)
    }
}
