//! What the engine writes to: a real card, or one in memory that a test makes fail.

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
    /// May read less than asked for; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// May write less than asked for.
    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize>;
    /// Returns when everything written is on the card.
    fn sync(&self) -> io::Result<()>;
    /// Makes the reads that follow come from the card and not from a cache.
    fn forget(&self) -> io::Result<()>;
    /// Fails where this is not the card any more that was confirmed, or where it is in use meanwhile.
    fn check_identity(&self) -> anyhow::Result<()>;
    /// The same, at next to no cost as long as nothing has changed on the machine.
    fn check_events(&self) -> anyhow::Result<()>;
}

/// Through the page cache, so much is written between two syncs at most, in bytes: a cache full of dirty
/// pages stalls everything, and what went into it is no progress.
const UNSYNCED: u64 = 16 << 20;

/// An open block device or plain file, written past the page cache where the kernel lets us.
pub struct FileCard {
    file: File,
    size: u64,
    direct: AtomicBool,
    /// How much of what was written may still be in the page cache, in bytes.
    unsynced: AtomicU64,
    /// The claim on it, if it is written.
    locked: Option<Locked>,
}

impl FileCard {
    /// Takes over `file` of `size` bytes, which is open for reading and writing.
    pub fn new(file: File, size: u64) -> Self {
        let direct = AtomicBool::new(set_direct(&file, true).is_ok());
        Self { file, size, direct, unsynced: AtomicU64::new(0), locked: None }
    }

    /// Takes over a disk of `size` bytes that was claimed; the claim ends when this is dropped.
    pub fn locked(locked: Locked, size: u64) -> anyhow::Result<Self> {
        let file = locked.file().try_clone().context("opening the card a second time")?;
        Ok(Self { locked: Some(locked), ..Self::new(file, size) })
    }

    /// Without direct access, keeps the page cache from filling up.
    fn written(&self, bytes: usize) -> io::Result<()> {
        let unsynced = self.unsynced.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if self.direct.load(Ordering::Relaxed) || unsynced < UNSYNCED {
            return Ok(());
        }
        self.unsynced.store(0, Ordering::Relaxed);
        self.file.sync_data()
    }

    /// Some file systems take `O_DIRECT` and refuse the transfer, or ask for a larger alignment: the
    /// page cache serves those, and [`Card::forget`] empties it before anything is read back.
    fn or_buffered(&self, transfer: impl Fn() -> io::Result<usize>) -> io::Result<usize> {
        match transfer() {
            Err(error)
                if error.kind() == io::ErrorKind::InvalidInput && self.direct.load(Ordering::Relaxed) =>
            {
                set_direct(&self.file, false)?;
                self.direct.store(false, Ordering::Relaxed);
                transfer()
            }
            other => other,
        }
    }
}

fn set_direct(file: &File, on: bool) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    let flags = if on { flags | OFlags::DIRECT } else { flags - OFlags::DIRECT };
    Ok(rustix::fs::fcntl_setfl(file, flags)?)
}

impl Card for FileCard {
    fn size(&self) -> u64 {
        self.size
    }

    fn check_identity(&self) -> anyhow::Result<()> {
        self.locked.as_ref().map_or(Ok(()), Locked::check)
    }

    fn check_events(&self) -> anyhow::Result<()> {
        self.locked.as_ref().map_or(Ok(()), Locked::check_events)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let buffer = std::cell::RefCell::new(buffer);
        self.or_buffered(|| FileExt::read_at(&self.file, &mut buffer.borrow_mut(), offset))
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        let written = self.or_buffered(|| FileExt::write_at(&self.file, buffer, offset))?;
        self.written(written)?;
        Ok(written)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn forget(&self) -> io::Result<()> {
        // Only clean pages are dropped, so this comes after a sync. With O_DIRECT it costs nothing.
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
        // Not aligned: the fallback has to serve it.
        assert_eq!(card.write_at(b"some bytes", 100).unwrap(), 10);
        card.sync().unwrap();
        card.forget().unwrap();
        let mut back = [0; 12];
        assert_eq!(card.read_at(&mut back, 99).unwrap(), 12);
        assert_eq!(&back, b"\0some bytes\0");
    }
}
