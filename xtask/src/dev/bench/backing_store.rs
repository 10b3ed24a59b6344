//! What is behind a virtual card: memory that is prepared and looked at beside the device, at full speed.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};

use super::content::{BLOCK, Dice};
use super::image::Image;

/// How many blocks of old data there are before they are repeated.
const OLD_BLOCKS: usize = 16;

/// A file without a name, which is gone with this process.
pub struct BackingStore {
    file: File,
    size: u64,
}

impl BackingStore {
    /// All zeros. `size` is in bytes, a multiple of [`BLOCK`].
    pub fn new(size: u64) -> Result<Self> {
        let file = File::from(memfd_create("card", MemfdFlags::CLOEXEC).context("taking memory")?);
        file.set_len(size).context("taking memory")?;
        Ok(Self { file, size })
    }

    /// Under which other programs can open it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Makes all of it zeros again.
    pub fn erase(&self) -> Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.file, flags, 0, self.size).context("erasing the virtual card")
    }

    /// Fills it with data that is in no image.
    pub fn fill(&self) -> Result<()> {
        let old = Dice::new("old data").bytes(OLD_BLOCKS * BLOCK);
        old.chunks(BLOCK).cycle().zip(self.offsets()).try_for_each(|(block, at)| self.put(block, at))
    }

    /// Puts `image` at its beginning.
    pub fn hold(&self, image: &Image) -> Result<()> {
        let zeros = vec![0; BLOCK];
        let mut blocks = image.blocks().zip(self.offsets());
        blocks.try_for_each(|(block, at)| self.put(block?.as_ref().unwrap_or(&zeros), at))
    }

    /// The first block that is not that of `image`, in bytes from the beginning.
    pub fn difference(&self, image: &Image) -> Result<Option<u64>> {
        let (zeros, mut found) = (vec![0; BLOCK], vec![0; BLOCK]);
        for (block, at) in image.blocks().zip(self.offsets()) {
            self.file.read_exact_at(&mut found, at).context("reading the virtual card")?;
            if found != *block?.as_ref().unwrap_or(&zeros) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    fn offsets(&self) -> impl Iterator<Item = u64> {
        (0..self.size).step_by(BLOCK)
    }

    fn put(&self, block: &[u8], at: u64) -> Result<()> {
        self.file.write_all_at(block, at).context("preparing the virtual card")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::bench::content::Content;
    use crate::dev::bench::image::Variant;

    #[test]
    fn one_wrong_byte_is_seen() {
        let image = Image::new(Content::new().into(), Variant::Base);
        let memory = BackingStore::new(image.size() + BLOCK as u64).unwrap();
        memory.fill().unwrap();
        assert_eq!(memory.difference(&image).unwrap(), Some(0));
        memory.hold(&image).unwrap();
        assert_eq!(memory.difference(&image).unwrap(), None);
        for at in [511 << 20, 300 << 20] {
            let mut byte = [0];
            memory.file.read_exact_at(&mut byte, at + 77).unwrap();
            memory.put(&[byte[0] ^ 1], at + 77).unwrap();
            assert_eq!(memory.difference(&image).unwrap(), Some(at));
        }
        memory.erase().unwrap();
        let mut behind = vec![1; BLOCK];
        memory.file.read_exact_at(&mut behind, image.size()).unwrap();
        assert!(behind.iter().all(|byte| *byte == 0));
    }
}
