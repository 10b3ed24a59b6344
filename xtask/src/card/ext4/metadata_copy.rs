//! A copy of a file system's metadata in memory, which debugfs changes, and the changes it made.

use std::collections::HashMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::programs::{E2fsprogs, Limits, MemoryLimit};
use crate::base::{is_all_zero, memfd};
use crate::card::flash::Change;
use crate::card::image::Ext4Region;
use crate::card::image::chunk_hash::ChunkHash;
use crate::card::inspect::MAX_MEMORY;

/// A file system without the content of its files, as a sparse file in memory.
pub struct MetadataCopy {
    file: File,
    /// The hashes of the blocks before debugfs ran, by block number; without the holes.
    before: HashMap<u64, ChunkHash>,
}

impl MetadataCopy {
    /// Copies the metadata of `region` on the `disk`, until `cancel` is set.
    pub fn copy(programs: &E2fsprogs, disk: &str, region: &Ext4Region, cancel: &AtomicBool) -> Result<Self> {
        let file = memfd::file("metadata")?;
        let limits = Limits { cancel, memory: Some(MemoryLimit { file: &file, max: MAX_MEMORY }) };
        programs.e2image(disk, region.start, &memfd::path(&file), &limits)?;
        let mut before = HashMap::new();
        for_each_block(&file, region.block_size, |number, bytes| {
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

    /// The blocks that have changed, at their positions on the disk. A hole that became a block of zeros is no change:
    /// the hole may only share a page of memory with a changed block.
    pub fn changes(&self, region: &Ext4Region) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        for_each_block(&self.file, region.block_size, |number, bytes| {
            let changed = match self.before.get(&number) {
                Some(before) => *before != ChunkHash::of(bytes),
                None => !is_all_zero(bytes),
            };
            if changed {
                changes.push(Change { at: region.start + number * region.block_size, bytes: bytes.to_vec() });
            }
        })?;
        Ok(changes)
    }
}

/// The region of the file system `region` in a file that holds nothing else.
pub fn region_at_start(region: &Ext4Region) -> Ext4Region {
    Ext4Region { start: 0, ..region.clone() }
}

/// Calls `each` with the number and the bytes of every block of `file` that is not a hole; `block_size` is in
/// bytes.
fn for_each_block(file: &File, block_size: u64, mut each: impl FnMut(u64, &[u8])) -> Result<()> {
    let doing = "reading a file in memory";
    let mut bytes = vec![0; usize::try_from(block_size)?];
    let mut at = 0;
    loop {
        let data_start = match seek(file, SeekFrom::Data(at)) {
            // Only a hole follows.
            Err(Errno::NXIO) => return Ok(()),
            found => found.context(doing)?,
        };
        // A block may be larger than a page, so data and holes may begin inside a block. The loop advances in any case.
        let first = data_start / block_size * block_size;
        let end = seek(file, SeekFrom::Hole(data_start)).context(doing)?;
        at = end.next_multiple_of(block_size).max(at + 1);
        for start in (first..end).step_by(bytes.len()) {
            match file.read_exact_at(&mut bytes, start) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                read => read.context(doing)?,
            }
            each(start / block_size, &bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Instant;

    use super::*;
    use crate::card::ext4::ProgramSource;
    use crate::card::inspect::ext4::tests::make_ext4;

    #[test]
    fn changed_blocks_are_found() {
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
            for_each_block(&file, block, keep).unwrap();
            assert!([0, 7, 100, last].iter().all(|number| before.contains_key(number)), "{block}");
            // The same bytes, other bytes, zeros, bytes in a hole, and zeros in a hole.
            for (number, byte) in [(0, 1), (7, 9), (100, 0), (200, 5), (201, 0)] {
                put(number, byte);
            }
            let region = Ext4Region {
                start: 4096,
                size: 64 << 20,
                block_size: block,
                free_blocks: 0,
                free_inodes: 0,
                name: String::new(),
            };
            let changes = MetadataCopy { file, before }.changes(&region).unwrap();
            let places = changes.iter().map(|change| (change.at, change.bytes[0])).collect::<Vec<_>>();
            assert_eq!(
                places,
                [(7, 9), (100, 0), (200, 5)].map(|(number, byte)| (4096 + number * block, byte))
            );
        }
    }

    #[test]
    fn a_block_that_begins_with_a_hole_is_found() {
        let file = memfd::file("test").unwrap();
        file.set_len(80 << 10).unwrap();
        // The last 4 KiB of the third block, and the first 4 KiB of the fourth.
        file.write_all_at(&[5; 8 << 10], 44 << 10).unwrap();
        let mut found = Vec::new();
        for_each_block(&file, 16 << 10, |number, bytes| {
            // With huge pages, blocks of zeros beside these two are no holes.
            if !is_all_zero(bytes) {
                found.push((number, bytes[0], bytes[bytes.len() - 1]));
            }
        })
        .unwrap();
        assert_eq!(found, [(2, 0, 5), (3, 5, 0)]);
    }

    /// e2image prints without end, because the first group claims many more unused inodes than it has.
    #[test]
    fn a_file_system_that_keeps_e2image_busy_fails() {
        let mut bytes = make_ext4(&["-b", "1024", "-O", "^metadata_csum,uninit_bg"], 8);
        bytes[2048 + 0x1c..2048 + 0x1e].copy_from_slice(&0xfbf6_u16.to_le_bytes());
        let disk = memfd::file_with("card", &bytes).unwrap();
        let programs = E2fsprogs::find(ProgramSource::OnPath).unwrap();
        let region = Ext4Region {
            start: 0,
            size: 8 << 20,
            block_size: 1024,
            free_blocks: 0,
            free_inodes: 0,
            name: String::new(),
        };
        let begin = Instant::now();
        let cancel = AtomicBool::new(false);
        let copy = |cancel: &AtomicBool| {
            MetadataCopy::copy(&programs, &memfd::path(&disk), &region, cancel).err().unwrap()
        };
        let error = copy(&cancel);
        assert!(error.to_string().ends_with("e2image wrote more than 1.0 MiB and was killed"), "{error:#}");
        cancel.store(true, Ordering::Relaxed);
        assert_eq!(crate::base::failure::kind(&copy(&cancel)), crate::base::failure::ExitKind::Interrupted);
        assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
    }
}
