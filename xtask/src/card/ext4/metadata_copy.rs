//! The metadata of a file system in memory, for debugfs to change; and what has changed.

use std::collections::HashMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::programs::{Callable, Guard};
use crate::base::memfd;
use crate::card::flash::Change;
use crate::card::image::Ext4Region;
use crate::card::image::chunk_hash::ChunkHash;
use crate::card::inspect::MEMORY;

/// A file system without the content of its files, as a file in memory with holes.
pub struct MetadataCopy {
    file: File,
    /// What its blocks were, by their number, where it was no hole.
    before: HashMap<u64, ChunkHash>,
}

impl MetadataCopy {
    /// Copies the metadata of `root` on the `disk`. `stop` ends it.
    pub fn copy(programs: &Callable, disk: &str, root: &Ext4Region, stop: &AtomicBool) -> Result<Self> {
        let file = memfd::file("metadata")?;
        let guard = Guard { stop, memory: Some((&file, MEMORY)) };
        programs.e2image(disk, root.start, &memfd::path(&file), &guard)?;
        let mut before = HashMap::new();
        each_block(&file, root.block, |number, bytes| {
            before.insert(number, ChunkHash::of(bytes));
        })?;
        Ok(Self { file, before })
    }

    pub fn path(&self) -> String {
        memfd::path(&self.file)
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// The blocks that are others now, at their places on the disk. A block that was a hole and is zeros may be one
    /// that just shares a page of memory with another.
    pub fn changes(&self, root: &Ext4Region) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        each_block(&self.file, root.block, |number, bytes| {
            let changed = match self.before.get(&number) {
                Some(before) => *before != ChunkHash::of(bytes),
                None => bytes.iter().any(|byte| *byte != 0),
            };
            if changed {
                changes.push(Change { at: root.start + number * root.block, bytes: bytes.to_vec() });
            }
        })?;
        Ok(changes)
    }
}

/// The file system `root` in a file of its own.
pub fn place(root: &Ext4Region) -> Ext4Region {
    Ext4Region { start: 0, ..root.clone() }
}

/// Calls `each` with the number and the bytes of every block of `file` that is not in a hole.
fn each_block(file: &File, block: u64, mut each: impl FnMut(u64, &[u8])) -> Result<()> {
    let doing = "reading a file in memory";
    let mut bytes = vec![0; usize::try_from(block)?];
    let mut at = 0;
    loop {
        let data = match seek(file, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => return Ok(()),
            data => data.context(doing)? / block * block,
        };
        let end = seek(file, SeekFrom::Hole(data)).context(doing)?;
        // A block may be larger than a page, so that the hole begins inside.
        at = end.next_multiple_of(block).max(at + 1);
        for start in (data..end).step_by(bytes.len()) {
            match file.read_exact_at(&mut bytes, start) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                read => read.context(doing)?,
            }
            each(start / block, &bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Instant;

    use super::*;
    use crate::card::ext4::Programs;
    use crate::card::inspect::ext4::tests::made;

    #[test]
    fn blocks_that_are_others() {
        for block in [1024_u64, 4096, 16384] {
            let file = memfd::file("test").unwrap();
            file.set_len(64 << 20).unwrap();
            let put = |number: u64, byte: u8| {
                let bytes = vec![byte; usize::try_from(block).unwrap()];
                file.write_all_at(&bytes, number * block).unwrap();
            };
            let last = (64 << 20) / block - 1;
            for (number, byte) in [(0, 1), (7, 2), (100, 3), (last, 4)] {
                put(number, byte);
            }
            let mut before = HashMap::new();
            let keep = |number, bytes: &[u8]| before.extend([(number, ChunkHash::of(bytes))]);
            each_block(&file, block, keep).unwrap();
            assert!([0, 7, 100, last].iter().all(|number| before.contains_key(number)), "{block}");
            // The same again, something else, zeros, what was a hole, and zeros that were a hole.
            for (number, byte) in [(0, 1), (7, 9), (100, 0), (200, 5), (201, 0)] {
                put(number, byte);
            }
            let root = Ext4Region { start: 4096, size: 64 << 20, block, free_blocks: 0, free_inodes: 0 };
            let changes = MetadataCopy { file, before }.changes(&root).unwrap();
            let places = changes.iter().map(|change| (change.at, change.bytes[0])).collect::<Vec<_>>();
            assert_eq!(
                places,
                [(7, 9), (100, 0), (200, 5)].map(|(number, byte)| (4096 + number * block, byte))
            );
        }
    }

    /// e2image prints without end: the last inodes of the first group are said to be many more than it has.
    #[test]
    fn a_file_system_that_keeps_e2image_busy() {
        let mut bytes = made(&["-b", "1024", "-O", "^metadata_csum,uninit_bg"], 8);
        bytes[2048 + 0x1c..2048 + 0x1e].copy_from_slice(&0xfbf6_u16.to_le_bytes());
        let disk = memfd::holding("card", &bytes).unwrap();
        let programs = Callable::find(Programs::Found).unwrap();
        let root = Ext4Region { start: 0, size: 8 << 20, block: 1024, free_blocks: 0, free_inodes: 0 };
        let (begin, stop) = (Instant::now(), AtomicBool::new(false));
        let copy = |stop: &AtomicBool| {
            MetadataCopy::copy(&programs, &memfd::path(&disk), &root, stop).err().unwrap()
        };
        let error = copy(&stop);
        assert!(error.to_string().ends_with("e2image wrote more than 1.0 MiB and was killed"), "{error:#}");
        stop.store(true, Ordering::Relaxed);
        assert_eq!(crate::base::failure::kind(&copy(&stop)), crate::base::failure::ExitKind::Interrupted);
        assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
    }
}
