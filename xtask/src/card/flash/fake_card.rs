//! Cards in memory that misbehave, for the tests of the engine.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use rustix::io::Errno;

use super::buffer::CHUNK;
use super::card::Card;
use crate::base::failure::ExitKind;

/// How a card misbehaves. Positions are in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    None,
    /// Transfers move at most 1000 bytes, and every third call is interrupted by a signal.
    ShortTransfers,
    /// The write that touches this byte fails with this error number.
    WriteFails(u64, Errno),
    /// The read that touches this byte fails.
    ReadFails(u64),
    /// This many reads of this byte fail; then the card has remapped it.
    ReadFailsTimes(u64, u32),
    /// A write of this byte is acknowledged and lost.
    Lost(u64),
    /// Every write of this byte flips a bit of it.
    Flipped(u64),
    /// This many writes of this byte flip a bit of it; later ones do not.
    FlippedTimes(u64, u32),
    /// This many writes of this byte are right; later ones flip a bit of it.
    FlippedAfter(u64, u32),
    /// Addresses from this byte on wrap around to the beginning, as on counterfeit cards.
    Wraps(u64),
    /// Writes that begin at this byte or behind it are acknowledged and dropped.
    Drops(u64),
    SyncFails,
    /// Reads, writes and syncs all fail after this many writes.
    Unplugged(u32),
    /// Somebody else uses the card after this many checks for device events.
    TakenAfter(u32),
}

/// A card in memory, which counts the calls, the writes, the faults and more.
pub struct FakeCard {
    pub bytes: Mutex<Vec<u8>>,
    fault: Fault,
    calls: AtomicU32,
    writes: AtomicU32,
    faults: AtomicU32,
    bytes_written: AtomicU32,
    event_checks: AtomicU32,
    written_in_use: AtomicU32,
}

impl FakeCard {
    /// A used card of `size` bytes.
    pub fn new(size: u64, fault: Fault) -> Self {
        Self::with_content(vec![0xee; usize::try_from(size).unwrap()], fault)
    }

    /// A card with these bytes.
    pub fn with_content(bytes: Vec<u8>, fault: Fault) -> Self {
        Self {
            bytes: Mutex::new(bytes),
            fault,
            calls: AtomicU32::default(),
            writes: AtomicU32::default(),
            faults: AtomicU32::default(),
            bytes_written: AtomicU32::default(),
            event_checks: AtomicU32::default(),
            written_in_use: AtomicU32::default(),
        }
    }

    pub fn content(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    pub fn head_is_blank(&self) -> bool {
        self.bytes.lock().unwrap()[..CHUNK].iter().all(|byte| *byte == 0)
    }

    /// How many MiB were written to the card in all.
    pub fn mib_written(&self) -> u32 {
        self.bytes_written.load(Ordering::Relaxed) >> 20
    }

    /// How many bytes were written after a check for device events had failed because somebody else used the card.
    pub fn written_in_use(&self) -> u32 {
        self.written_in_use.load(Ordering::Relaxed)
    }

    fn is_taken(&self) -> bool {
        matches!(self.fault, Fault::TakenAfter(after) if self.event_checks.load(Ordering::Relaxed) >= after)
    }

    /// Whether a check for device events has failed because somebody else used the card.
    fn has_failed_event_check(&self) -> bool {
        matches!(self.fault, Fault::TakenAfter(after) if self.event_checks.load(Ordering::Relaxed) > after)
    }

    /// Counts a call, and returns how many of its `wanted` bytes it moves. Fails where the fault makes this call fail.
    fn begin_call(&self, wanted: usize) -> io::Result<usize> {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        match self.fault {
            Fault::ShortTransfers if calls.is_multiple_of(3) => Err(io::ErrorKind::Interrupted.into()),
            Fault::ShortTransfers => Ok(wanted.min(1000)),
            Fault::Unplugged(after) if self.writes.load(Ordering::Relaxed) > after => {
                Err(Errno::NODEV.into())
            }
            _ => Ok(wanted),
        }
    }

    /// Counts a transfer of the byte of the fault, and returns whether it is one of the first `times`.
    fn is_among_first(&self, times: u32) -> bool {
        self.faults.fetch_add(1, Ordering::Relaxed) < times
    }

    /// Where the card really has the byte at `offset`.
    fn real_offset(&self, offset: u64) -> usize {
        let real = if let Fault::Wraps(at) = self.fault { offset % at } else { offset };
        usize::try_from(real).unwrap()
    }
}

impl Card for FakeCard {
    fn size(&self) -> u64 {
        self.bytes.lock().unwrap().len() as u64
    }

    fn check_identity(&self) -> Result<()> {
        if self.is_taken() { Err(ExitKind::Refused.error("the card is in use: loop9")) } else { Ok(()) }
    }

    fn check_identity_after_events(&self) -> Result<()> {
        let checked = self.check_identity();
        self.event_checks.fetch_add(1, Ordering::Relaxed);
        checked
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = self.begin_call(buffer.len())?;
        let here = offset..offset + len as u64;
        let fails = match self.fault {
            Fault::ReadFails(at) => here.contains(&at),
            Fault::ReadFailsTimes(at, times) => here.contains(&at) && self.is_among_first(times),
            _ => false,
        };
        if fails {
            return Err(Errno::IO.into());
        }
        let start = self.real_offset(offset);
        buffer[..len].copy_from_slice(&self.bytes.lock().unwrap()[start..start + len]);
        Ok(len)
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let len = self.begin_call(buffer.len())?;
        self.bytes_written.fetch_add(u32::try_from(len).unwrap(), Ordering::Relaxed);
        if self.has_failed_event_check() {
            self.written_in_use.fetch_add(u32::try_from(len).unwrap(), Ordering::Relaxed);
        }
        let here = offset..offset + len as u64;
        let mut bytes = buffer[..len].to_vec();
        let mut flip = |at: u64| bytes[usize::try_from(at - offset).unwrap()] ^= 4;
        match self.fault {
            Fault::WriteFails(at, errno) if here.contains(&at) => return Err(errno.into()),
            Fault::Lost(at) if here.contains(&at) => return Ok(len),
            Fault::Drops(at) if offset >= at => return Ok(len),
            Fault::Flipped(at) if here.contains(&at) => flip(at),
            Fault::FlippedTimes(at, times) if here.contains(&at) && self.is_among_first(times) => flip(at),
            Fault::FlippedAfter(at, times) if here.contains(&at) && !self.is_among_first(times) => flip(at),
            _ => {}
        }
        let start = self.real_offset(offset);
        self.bytes.lock().unwrap()[start..start + len].copy_from_slice(&bytes);
        Ok(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.begin_call(0)?;
        if self.fault == Fault::SyncFails { Err(Errno::IO.into()) } else { Ok(()) }
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(())
    }
}
