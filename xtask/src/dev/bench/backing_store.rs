//! The backing store of a virtual card: memory that the benchmark fills and compares directly, not through the
//! throttled device.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};

use super::content::{CHUNK, Random};
use super::image::Image;
use crate::card::image::chunk_hash::read_chunk;

/// The number of different chunks of old data, which repeat.
const OLD_CHUNKS: usize = 16;

/// An anonymous memory file, which disappears with this process.
pub struct BackingStore {
    file: File,
    size: u64,
}

impl BackingStore {
    /// Makes a store of zeros. `size` is in bytes, a multiple of [`CHUNK`].
    pub fn new(size: u64) -> Result<Self> {
        // Files of one name would look like one file below several loop devices.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("card-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let memory = memfd_create(name, MemfdFlags::CLOEXEC);
        let file = File::from(memory.context("allocating the virtual card")?);
        file.set_len(size).context("allocating the virtual card")?;
        Ok(Self { file, size })
    }

    /// The path by which other programs can open the store while this process runs.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Resets the store to zeros.
    pub fn erase(&self) -> Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.file, flags, 0, self.size).context("erasing the virtual card")
    }

    /// Fills the store with old data, which is in no image.
    pub fn fill_with_old_data(&self) -> Result<()> {
        let old_data = Random::new("old data").bytes(OLD_CHUNKS * CHUNK);
        for (chunk, offset) in old_data.chunks(CHUNK).cycle().zip(self.offsets()) {
            self.write(chunk, offset)?;
        }
        Ok(())
    }

    /// Writes `image` to the beginning of the store.
    pub fn write_image(&self, image: &Image) -> Result<()> {
        let zeros = vec![0; CHUNK];
        for (chunk, offset) in image.chunks().zip(self.offsets()) {
            self.write(chunk?.as_ref().unwrap_or(&zeros), offset)?;
        }
        Ok(())
    }

    /// The offset of the first chunk that differs from `image`, in bytes; `None` where the store holds the image.
    pub fn first_difference(&self, image: &Image) -> Result<Option<u64>> {
        let zeros = vec![0; CHUNK];
        let mut stored = vec![0; CHUNK];
        for (chunk, offset) in image.chunks().zip(self.offsets()) {
            self.file.read_exact_at(&mut stored, offset).context("reading the virtual card")?;
            if stored != *chunk?.as_ref().unwrap_or(&zeros) {
                return Ok(Some(offset));
            }
        }
        Ok(None)
    }

    /// As [`Self::first_difference`], for the image that `stream` yields.
    pub fn first_difference_to(&self, mut stream: impl Read) -> Result<Option<u64>> {
        let mut chunk = vec![0; CHUNK];
        let mut stored = vec![0; CHUNK];
        for offset in self.offsets() {
            let size = read_chunk(&mut stream, &mut chunk).map_err(|(_, error)| error)?;
            self.file.read_exact_at(&mut stored[..size], offset).context("reading the virtual card")?;
            if stored[..size] != chunk[..size] {
                return Ok(Some(offset));
            }
            if size < CHUNK {
                break;
            }
        }
        Ok(None)
    }

    /// The offsets of all chunks of the store, in bytes.
    fn offsets(&self) -> impl Iterator<Item = u64> {
        (0..self.size).step_by(CHUNK)
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(bytes, offset).context("preparing the virtual card")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::bench::content::Content;
    use crate::dev::bench::image::Variant;

    #[test]
    fn one_wrong_byte_is_found() {
        let image = Image::synthetic(Content::new().into(), Variant::Base);
        let store = BackingStore::new(image.size() + CHUNK as u64).unwrap();
        store.fill_with_old_data().unwrap();
        assert_eq!(store.first_difference(&image).unwrap(), Some(0));
        store.write_image(&image).unwrap();
        assert_eq!(store.first_difference(&image).unwrap(), None);
        // The later chunk first: the second difference must hide the one behind it.
        for chunk_offset in [511 << 20, 300 << 20] {
            let mut byte = [0];
            store.file.read_exact_at(&mut byte, chunk_offset + 77).unwrap();
            store.write(&[byte[0] ^ 1], chunk_offset + 77).unwrap();
            assert_eq!(store.first_difference(&image).unwrap(), Some(chunk_offset));
        }
    }

    #[test]
    fn one_wrong_byte_of_a_stream_is_found() {
        let store = BackingStore::new(3 * CHUNK as u64).unwrap();
        let mut image = vec![7; 2 * CHUNK + 512];
        store.write(&image, 0).unwrap();
        assert_eq!(store.first_difference_to(image.as_slice()).unwrap(), None);
        image[2 * CHUNK + 511] = 8;
        assert_eq!(store.first_difference_to(image.as_slice()).unwrap(), Some(2 * CHUNK as u64));
    }

    #[test]
    fn an_erased_store_holds_zeros() {
        let size = 4 * CHUNK as u64;
        let store = BackingStore::new(size).unwrap();
        store.fill_with_old_data().unwrap();
        store.erase().unwrap();
        let mut last_chunk = vec![1; CHUNK];
        store.file.read_exact_at(&mut last_chunk, size - CHUNK as u64).unwrap();
        assert!(last_chunk.iter().all(|byte| *byte == 0));
    }
}
