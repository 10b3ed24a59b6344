//! Complete transfers to and from a card: short ones are continued, failed ones name the byte, all are timed.

use std::io::{Error, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use rustix::io::Errno;

use super::buffer::Buffer;
use super::card::Card;
use super::io_monitor::{IoMonitor, Operation};
use crate::base::failure::ExitKind;
use crate::{bail, failure};

/// How often bytes that fail verification are written again.
pub const MAX_RETRIES: u32 = 3;

/// A card whose transfers are complete and timed.
pub struct CardIo<'a> {
    card: &'a dyn Card,
    pub monitor: IoMonitor,
    /// A write was attempted, so the card may have changed.
    write_attempted: AtomicBool,
}

impl<'a> CardIo<'a> {
    pub fn new(card: &'a dyn Card) -> Self {
        Self { card, monitor: IoMonitor::default(), write_attempted: AtomicBool::new(false) }
    }

    /// Whether a write was attempted, so that the card may have changed.
    pub fn may_have_changed(&self) -> bool {
        self.write_attempted.load(Ordering::Relaxed)
    }

    /// The exit kind of `error` for this card. Once a write was attempted, [`ExitKind::Refused`] becomes
    /// [`ExitKind::Io`].
    pub fn kind_of(&self, error: &anyhow::Error) -> ExitKind {
        match failure::kind(error) {
            ExitKind::Refused if self.may_have_changed() => ExitKind::Io,
            kind => kind,
        }
    }

    /// The size of the card in bytes.
    pub fn size(&self) -> u64 {
        self.card.size()
    }

    /// Fails where this is no longer the card that was confirmed, or where somebody has begun to use it.
    pub fn check_identity(&self) -> Result<()> {
        self.card.check_identity()
    }

    /// Writes all of `bytes` at `offset`. Fails before the write where [`Card::check_identity_after_events`] does.
    pub fn write_all(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.card.check_identity_after_events()?;
        self.write_attempted.store(true, Ordering::Relaxed);
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            match self.monitor.time(Operation::Write, at, || self.card.write_at(&bytes[done..], at)) {
                Ok(0) => bail!(
                    Io, "writing the card at byte {at}: the card accepts no more bytes";
                    hint: "the card holds less than it claims: use another one"
                ),
                Ok(n) => done += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(transfer_error("writing", at, &error)),
            }
        }
        Ok(())
    }

    /// Fills `bytes` from `offset`. A sector that the card cannot read is no failure of the flash, because writing may
    /// repair it: it is returned as [`Read::Unreadable`].
    pub fn read_or_unreadable(&self, bytes: &mut [u8], offset: u64) -> Result<Read> {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            match self.monitor.time(Operation::Read, at, || self.card.read_at(&mut bytes[done..], at)) {
                Ok(0) => bail!(
                    Io, "reading the card at byte {at}: the card ends there";
                    hint: "the card holds less than it claims: use another one"
                ),
                Ok(n) => done += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_medium_error(&error) => {
                    return Ok(Read::Unreadable(transfer_error("reading", at, &error)));
                }
                Err(error) => return Err(transfer_error("reading", at, &error)),
            }
        }
        Ok(Read::Complete)
    }

    /// Waits until everything written is on the card, and drops the cache, so that later reads come from the card.
    pub fn sync(&self) -> Result<()> {
        while let Err(error) = self.monitor.time(Operation::Sync, 0, || self.card.sync().map(|()| 0)) {
            if error.kind() != ErrorKind::Interrupted {
                bail!(Io, "syncing the card: {error}"; hint: "{TRY_READER}");
            }
        }
        self.card.drop_cache().map_err(|error| failure!(Io, "dropping the cache of the card: {error}"))
    }

    /// Writes `bytes` at `offset` and verifies them; where they are wrong, writes them again, up to [`MAX_RETRIES`]
    /// times. Returns the number of retries.
    pub fn write_and_verify(&self, bytes: &[u8], offset: u64) -> Result<u32> {
        let mut back = Buffer::with_len(bytes.len())?;
        let mut read = Read::Complete;
        for retries in 0..=MAX_RETRIES {
            self.write_all(bytes, offset)?;
            self.sync()?;
            read = self.read_or_unreadable(&mut back, offset)?;
            if matches!(read, Read::Complete) && *back == *bytes {
                return Ok(retries);
            }
        }
        if let Read::Unreadable(error) = read {
            return Err(unreadable_error(&error));
        }
        bail!(
            Verification,
            "verification failed: the card does not hold the bytes written at byte {offset}, after {MAX_RETRIES} retries";
            hint: "{BROKEN_CARD}"
        )
    }
}

/// How a read ended.
pub enum Read {
    Complete,
    /// The card cannot read a sector; the error names it.
    Unreadable(anyhow::Error),
}

/// The remedy for a card that does not keep what is written to it.
pub const BROKEN_CARD: &str = "the card is broken: use another one";

/// The remedy for input and output errors of the card.
pub const TRY_READER: &str =
    "plug the card in again, or try another card reader; where the error stays, the card is broken";

/// `error`, the read error that [`MAX_RETRIES`] writes of the same bytes did not cure.
pub fn unreadable_error(error: &anyhow::Error) -> anyhow::Error {
    ExitKind::Io.error_with_hint_of(format_args!("{error:#}, after {MAX_RETRIES} retries"), error)
}

/// Whether the card answers and only this sector is bad: `EIO`, `ENODATA` for a medium error that the card reports,
/// and `EILSEQ` for bytes with a wrong checksum.
fn is_medium_error(error: &Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::IO | Errno::NODATA | Errno::ILSEQ))
}

fn transfer_error(doing: &str, at: u64, error: &Error) -> anyhow::Error {
    let hint = match Errno::from_io_error(error) {
        Some(Errno::NODEV | Errno::NXIO) => "check whether the card was unplugged",
        Some(Errno::NOSPC) => "the card holds less than it claims: use another one",
        Some(Errno::ROFS | Errno::PERM) => "check the write-protect switch of the card",
        _ => TRY_READER,
    };
    failure!(Io, "{doing} the card at byte {at}: {error}"; hint: "{hint}")
}
