//! The card as the engine sees it: a real block device, or a fake in memory that a test makes fail.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Context;
use rustix::fs::{Advice, OFlags};

use crate::card::disk::Locked;

/// A block device as the engine sees it. Offsets and sizes are in bytes.
pub trait Card: Sync {
    fn size(&self) -> u64;
    /// Reads up to `buffer.len()` bytes from byte `offset` on, and returns how many; 0 at the end of the card.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes up to `buffer.len()` bytes from byte `offset` on, and returns how many.
    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize>;
    /// Returns when everything written is on the card.
    fn sync(&self) -> io::Result<()>;
    /// Drops cached pages, so that later reads come from the card.
    fn drop_cache(&self) -> io::Result<()>;
    /// Fails where this is no longer the card that was confirmed, or where somebody has begun to use it.
    fn check_identity(&self) -> anyhow::Result<()>;
    /// As [`Self::check_identity`], but checks only where the kernel has counted a device event since the latest check.
    fn check_identity_after_events(&self) -> anyhow::Result<()>;
}

/// How much is written through the page cache between two syncs, in bytes. A cache full of dirty pages stalls the
/// whole machine, and bytes that are only in the cache are no progress.
const MAX_UNSYNCED: u64 = 16 << 20;

/// An open block device or plain file, written by direct I/O where the kernel allows it.
pub struct FileCard {
    file: File,
    size: u64,
    /// Whether `file` is open for direct I/O.
    direct: AtomicBool,
    /// How many written bytes may still be in the page cache.
    unsynced: AtomicU64,
    /// The claim on the disk, exclusive or shared; `None` for a file that nobody claims.
    locked: Option<Locked>,
}

impl FileCard {
    /// Takes over the open `file` of `size` bytes. It is not claimed, so its identity is not checked.
    pub fn new(file: File, size: u64) -> Self {
        let direct = AtomicBool::new(enable_direct_io(&file).is_ok());
        Self { file, size, direct, unsynced: AtomicU64::new(0), locked: None }
    }

    /// Takes over a claimed disk of `size` bytes; dropping the card releases the claim.
    pub fn from_locked(locked: Locked, size: u64) -> anyhow::Result<Self> {
        let file = locked.file().try_clone().context("opening the card a second time")?;
        Ok(Self { locked: Some(locked), ..Self::new(file, size) })
    }

    /// Counts `bytes` as written. Without direct I/O, syncs before the page cache fills up.
    fn limit_unsynced(&self, bytes: usize) -> io::Result<()> {
        let unsynced = self.unsynced.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if self.direct.load(Ordering::Relaxed) || unsynced < MAX_UNSYNCED {
            return Ok(());
        }
        self.unsynced.store(0, Ordering::Relaxed);
        self.file.sync_data()
    }

    /// Does `transfer`, and repeats it through the page cache where direct I/O refuses it. Some file systems accept
    /// `O_DIRECT` but refuse the transfer, or require a larger alignment. [`Card::drop_cache`] empties the cache before
    /// anything is read back.
    fn with_buffered_fallback(&self, transfer: impl Fn() -> io::Result<usize>) -> io::Result<usize> {
        match transfer() {
            Err(error)
                if error.kind() == io::ErrorKind::InvalidInput && self.direct.load(Ordering::Relaxed) =>
            {
                disable_direct_io(&self.file)?;
                self.direct.store(false, Ordering::Relaxed);
                transfer()
            }
            other => other,
        }
    }
}

fn enable_direct_io(file: &File) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    Ok(rustix::fs::fcntl_setfl(file, flags | OFlags::DIRECT)?)
}

fn disable_direct_io(file: &File) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    Ok(rustix::fs::fcntl_setfl(file, flags - OFlags::DIRECT)?)
}

impl Card for FileCard {
    fn size(&self) -> u64 {
        self.size
    }

    fn check_identity(&self) -> anyhow::Result<()> {
        self.locked.as_ref().map_or(Ok(()), Locked::check)
    }

    fn check_identity_after_events(&self) -> anyhow::Result<()> {
        self.locked.as_ref().map_or(Ok(()), Locked::check_after_events)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        // The transfer may run twice, each time with the whole buffer.
        let buffer = std::cell::RefCell::new(buffer);
        self.with_buffered_fallback(|| FileExt::read_at(&self.file, &mut buffer.borrow_mut(), offset))
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        let written = self.with_buffered_fallback(|| FileExt::write_at(&self.file, buffer, offset))?;
        self.limit_unsynced(written)?;
        Ok(written)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn drop_cache(&self) -> io::Result<()> {
        // The kernel drops only clean pages, so callers sync first. With O_DIRECT this costs nothing.
        Ok(rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_file_is_a_card() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8192).unwrap();
        let card = FileCard::new(file, 8192);
        // Not aligned: the buffered fallback has to serve it.
        assert_eq!(card.write_at(b"some bytes", 100).unwrap(), 10);
        card.sync().unwrap();
        card.drop_cache().unwrap();
        let mut back = [0; 12];
        assert_eq!(card.read_at(&mut back, 99).unwrap(), 12);
        assert_eq!(&back, b"\0some bytes\0");
    }
}
