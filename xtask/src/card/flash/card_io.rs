//! Whole transfers on a card: short ones are continued, failed ones say where, all are timed.

use std::io::{Error, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use rustix::io::Errno;

use super::buffer::Buffer;
use super::card::Card;
use super::io_monitor::{Access, IoMonitor};
use crate::base::failure::{self, ExitKind};

/// How often what reads back wrong is written again.
pub const ROUNDS: u32 = 3;

/// A card, and how it answers.
pub struct CardIo<'a> {
    card: &'a dyn Card,
    pub monitor: IoMonitor,
    /// A write was tried, so the card may have changed.
    written: AtomicBool,
}

impl<'a> CardIo<'a> {
    pub fn new(card: &'a dyn Card) -> Self {
        Self { card, monitor: IoMonitor::default(), written: AtomicBool::new(false) }
    }

    /// Whether the card may have been changed.
    pub fn is_changed(&self) -> bool {
        self.written.load(Ordering::Relaxed)
    }

    /// The kind of `error`, which ends the work on this card: [`ExitKind::Refused`] means that nothing was written.
    pub fn kind_of(&self, error: &anyhow::Error) -> ExitKind {
        match failure::kind(error) {
            ExitKind::Refused if self.is_changed() => ExitKind::Io,
            kind => kind,
        }
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.card.size()
    }

    /// Fails where this is not the card any more that was confirmed.
    pub fn check_identity(&self) -> Result<()> {
        self.card.check_identity()
    }

    /// Writes all of `bytes` at `offset`, if nobody has begun to use the card meanwhile.
    pub fn write_all(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.card.check_events()?;
        self.written.store(true, Ordering::Relaxed);
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            match self.monitor.time(Access::Write, at, || self.card.write_at(&bytes[done..], at)) {
                Ok(0) => return Err(ExitKind::Io.error(format!("the card takes no more bytes at byte {at}"))),
                Ok(n) => done += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("writing", at, &error)),
            }
        }
        Ok(())
    }

    /// Fills `bytes` from `offset`, if the card can read the place at all: what it cannot read may still
    /// be written.
    pub fn read_or_unreadable(&self, bytes: &mut [u8], offset: u64) -> Result<Read> {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            match self.monitor.time(Access::Read, at, || self.card.read_at(&mut bytes[done..], at)) {
                Ok(0) => return Err(ExitKind::Io.error(format!("the card ends at byte {at}"))),
                Ok(n) => done += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_of_the_place(&error) => {
                    return Ok(Read::Unreadable(failed("reading", at, &error)));
                }
                Err(error) => return Err(failed("reading", at, &error)),
            }
        }
        Ok(Read::Whole)
    }

    /// Waits until everything is on the card and makes later reads come from there.
    pub fn sync(&self) -> Result<()> {
        while let Err(error) = self.monitor.time(Access::Sync, 0, || self.card.sync().map(|()| 0)) {
            if error.kind() != ErrorKind::Interrupted {
                return Err(ExitKind::Io.error(format!("syncing the card: {error}")));
            }
        }
        self.card
            .forget()
            .map_err(|error| ExitKind::Io.error(format!("dropping the cache of the card: {error}")))
    }

    /// Writes `bytes` at `offset` and reads them back from the card; where they are wrong, they are
    /// written again. Returns how often that was.
    pub fn write_and_prove(&self, bytes: &[u8], offset: u64) -> Result<u32> {
        let mut back = Buffer::small(bytes.len())?;
        let mut read = Read::Whole;
        for round in 0..=ROUNDS {
            self.write_all(bytes, offset)?;
            self.sync()?;
            read = self.read_or_unreadable(&mut back, offset)?;
            if matches!(read, Read::Whole) && *back == *bytes {
                return Ok(round);
            }
        }
        if let Read::Unreadable(error) = read {
            return Err(ExitKind::Io.error(format!("{error:#}, {ROUNDS} times after it was written again")));
        }
        Err(ExitKind::Verification.error(format!(
            "verification failed: the card does not hold what was written at byte {offset}, \
             {ROUNDS} times after being written again"
        )))
    }
}

/// How a read ended.
pub enum Read {
    Whole,
    /// The card says that it cannot, in these words.
    Unreadable(anyhow::Error),
}

/// Whether the card is there and only this place is bad. The kernel says `EIO`, `ENODATA` for a medium error
/// that the card tells of, and `EILSEQ` for bytes whose checksum is wrong.
fn is_of_the_place(error: &Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::IO | Errno::NODATA | Errno::ILSEQ))
}

fn failed(doing: &str, at: u64, error: &Error) -> anyhow::Error {
    let hint = match Errno::from_io_error(error) {
        Some(Errno::NODEV | Errno::NXIO) => " (was it unplugged?)",
        Some(Errno::NOSPC) => " (it holds less than it says)",
        Some(Errno::ROFS | Errno::PERM) => " (is its write-protect switch on?)",
        _ => "",
    };
    ExitKind::Io.error(format!("{doing} the card at byte {at}: {error}{hint}"))
}
