//! The order in which a card is written: blank the head, check the capacity, blank the end, write the body, sync,
//! verify the body, write and verify the payload, and write the head last. Until that last write the card has no
//! partition table, so it cannot boot half an image.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;

use super::body::Body;
use super::buffer::{Buffer, CHUNK, PAGE};
use super::capacity;
use super::card::Card;
use super::card_io::CardIo;
use super::delta::Mode;
use super::flash_job::{FlashJob, ImageContent};
use super::io_monitor::{self, STALL_TIMEOUT};
use super::payload::{self, PayloadWriter};
use super::report::{Report, Seconds};
use crate::bail;
use crate::base::failure::{self, ExitKind};
use crate::base::{ChunkState, Event, Reporter, is_all_zero};

/// The remedy for a flash that ended before the card was complete.
pub const RUN_AGAIN: &str = "run the same command again";

/// Writes `content` to `card` and the `payload` on top of it, and verifies both. The `mode` decides which chunks are
/// read before they are written.
///
/// # Errors
/// Any failure, and the request to stop, `cancel`. Once the card may have changed, the message names its state.
pub fn write_image(
    card: &dyn Card,
    content: &ImageContent,
    payload: Option<&dyn PayloadWriter>,
    mode: Mode,
    reporter: &dyn Reporter,
    cancel: &AtomicBool,
) -> Result<Report> {
    if content.size > card.size() {
        bail!(
            Refused, "the image has {} bytes and the card only {}", content.size, card.size();
            hint: "use a larger card"
        );
    }
    let card_io = CardIo::new(card);
    let job = FlashJob { card_io: &card_io, content, mode, reporter, cancel, head_is_blank: false.into() };
    let work = || job.run(payload).map_err(|error| job.with_card_state(&error));
    io_monitor::with_stall_watchdog(&card_io.monitor, reporter, STALL_TIMEOUT, work)
}

impl FlashJob<'_> {
    fn run(&self, payload: Option<&dyn PayloadWriter>) -> Result<Report> {
        let begin = Instant::now();
        let mut retries = self.blank_head()?;
        capacity::check(self.card_io, self.reporter, self.cancel)?;
        retries += self.blank_tail()?;
        let capacity = begin.elapsed().as_secs_f64();
        let mut body = Body::write(self)?;
        retries += body.verify_and_retry(self)?;
        let hash = body.hash(self)?;
        let payload_begin = Instant::now();
        let written = payload.map(|payload| payload::write(self, &mut body, payload)).transpose()?;
        let (written_payload, payload_retries) = written.unzip();
        retries += payload_retries.unwrap_or(0);
        let payload_seconds = payload_begin.elapsed().as_secs_f64();
        let head_retries = self.write_head(&body.head)?;
        if head_retries > 0 {
            body.chunk_map.set(0, ChunkState::Healed);
        }
        retries += head_retries;
        self.reporter.report(&Event::Map { runs: body.chunk_map.runs() });
        Ok(Report {
            size: self.content.size,
            hash,
            mode: self.mode,
            map: body.chunk_map.runs(),
            retries,
            payload: written_payload,
            seconds: Seconds {
                capacity,
                write: body.write_seconds,
                verify: body.verify_seconds,
                payload: payload_seconds,
            },
            rates: self.card_io.monitor.rates(),
            boards: Vec::new(),
            system: None,
        })
    }

    /// Blanks the first MiB, which has the old partition table. Returns the number of retries.
    fn blank_head(&self) -> Result<u32> {
        let retries = self.card_io.write_and_verify(&self.zeros()?, 0)?;
        self.head_is_blank.store(true, Ordering::Relaxed);
        Ok(retries)
    }

    /// Blanks the last MiB, where a GPT keeps a backup, as far as the image does not reach into it. Returns the number
    /// of retries.
    fn blank_tail(&self) -> Result<u32> {
        let mut zeros = self.zeros()?;
        let size = self.card_io.size();
        let len = zeros.len() as u64;
        // The first MiB is blank already, also on a card of less than 2 MiB.
        let start = (size - len).max(self.content.size).max(len);
        zeros.resize(usize::try_from(size - start)?);
        self.card_io.write_and_verify(&zeros, start)
    }

    /// Zeros for the first MiB of the card, or for all of a smaller card.
    fn zeros(&self) -> Result<Buffer> {
        let mut zeros = Buffer::zeroed()?;
        zeros.resize(usize::try_from(self.card_io.size().min(CHUNK as u64))?);
        Ok(zeros)
    }

    /// Writes the head, and its first page last: a power cut may split a write of 1 MiB, and the partition table must
    /// not be on the card without the rest. Once that page is on the card, the card boots. Returns the number of
    /// retries.
    fn write_head(&self, head: &[u8]) -> Result<u32> {
        self.check_cancel_before("the first MiB was written")?;
        self.card_io.check_identity()?;
        self.head_is_blank.store(false, Ordering::Relaxed);
        let (table, rest) = head.split_at(head.len().min(PAGE));
        let at = table.len() as u64;
        // The card is blank there already, and most images have only zeros there.
        let retries = if is_all_zero(rest) { 0 } else { self.card_io.write_and_verify(rest, at)? };
        Ok(retries + self.card_io.write_and_verify(table, 0)?)
    }

    /// `error` with the state of the card, after a last attempt to blank the head; `error` alone where nothing was
    /// written.
    fn with_card_state(&self, error: &anyhow::Error) -> anyhow::Error {
        if !self.card_io.may_have_changed() {
            return failure::copy(error);
        }
        let kind = self.card_io.kind_of(error);
        // The reader may hold another card by now, whose overwriting nobody has confirmed.
        let blanked = self.card_io.check_identity().and_then(|()| self.blank_head());
        if blanked.is_err() && !self.head_is_blank.load(Ordering::Relaxed) {
            let message =
                format!("{error:#}; the first MiB of the card could not be blanked: do not boot from it");
            return kind.error_with_hint_of(message, error);
        }
        let message = format!("{error:#}; the first MiB of the card is blank, so it will not boot");
        // Running the same command again cures no card and no image that failed verification.
        match (failure::hint(error), kind) {
            (None, ExitKind::Verification) => kind.error(message),
            (None, _) => kind.error_with_hint(message, RUN_AGAIN),
            (Some(hint), ExitKind::Verification) => kind.error_with_hint(message, hint),
            // Some hints, such as that of another card in the reader, end with it.
            (Some(hint), _) if hint.ends_with("command again") => kind.error_with_hint(message, hint),
            (Some(hint), _) => {
                kind.error_with_hint(message, format_args!("{hint}; then flash the card again"))
            }
        }
    }
}
