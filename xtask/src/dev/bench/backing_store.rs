//! The backing store of a virtual card: memory that is prepared and compared beside the device, at full speed.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};

use super::content::{CHUNK, Random};
use super::image::Image;

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
        let file =
            File::from(memfd_create("card", MemfdFlags::CLOEXEC).context("allocating the virtual card")?);
        file.set_len(size).context("allocating the virtual card")?;
        Ok(Self { file, size })
    }

    /// The path by which other programs can open the store.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Resets the store to zeros.
    pub fn erase(&self) -> Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.file, flags, 0, self.size).context("erasing the virtual card")
    }

    /// Fills the store with data that is in no image.
    pub fn fill(&self) -> Result<()> {
        let old = Random::new("old data").bytes(OLD_CHUNKS * CHUNK);
        old.chunks(CHUNK).cycle().zip(self.offsets()).try_for_each(|(chunk, at)| self.write(chunk, at))
    }

    /// Writes `image` to the beginning of the store.
    pub fn write_image(&self, image: &Image) -> Result<()> {
        let zeros = vec![0; CHUNK];
        let mut chunks = image.chunks().zip(self.offsets());
        chunks.try_for_each(|(chunk, at)| self.write(chunk?.as_ref().unwrap_or(&zeros), at))
    }

    /// The offset of the first chunk that differs from `image`, in bytes.
    pub fn difference(&self, image: &Image) -> Result<Option<u64>> {
        let zeros = vec![0; CHUNK];
        let mut found = vec![0; CHUNK];
        for (chunk, at) in image.chunks().zip(self.offsets()) {
            self.file.read_exact_at(&mut found, at).context("reading the virtual card")?;
            if found != *chunk?.as_ref().unwrap_or(&zeros) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Where each chunk of the store begins, in bytes.
    fn offsets(&self) -> impl Iterator<Item = u64> {
        (0..self.size).step_by(CHUNK)
    }

    fn write(&self, chunk: &[u8], at: u64) -> Result<()> {
        self.file.write_all_at(chunk, at).context("preparing the virtual card")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::bench::content::Content;
    use crate::dev::bench::image::Variant;

    #[test]
    fn one_wrong_byte_is_found() {
        let image = Image::new(Content::new().into(), Variant::Base);
        let memory = BackingStore::new(image.size() + CHUNK as u64).unwrap();
        memory.fill().unwrap();
        assert_eq!(memory.difference(&image).unwrap(), Some(0));
        memory.write_image(&image).unwrap();
        assert_eq!(memory.difference(&image).unwrap(), None);
        for at in [511 << 20, 300 << 20] {
            let mut byte = [0];
            memory.file.read_exact_at(&mut byte, at + 77).unwrap();
            memory.write(&[byte[0] ^ 1], at + 77).unwrap();
            assert_eq!(memory.difference(&image).unwrap(), Some(at));
        }
        memory.erase().unwrap();
        let mut behind = vec![1; CHUNK];
        memory.file.read_exact_at(&mut behind, image.size()).unwrap();
        assert!(behind.iter().all(|byte| *byte == 0));
    }
}
