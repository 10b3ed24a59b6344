//! The order in which a card is written: the head blank, the capacity checked, the end blank, the body, a
//! sync, the body read back, what is added to it, and the head last. At every moment before the end the card has no partition table, so it
//! cannot boot half an image.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;

use super::body::Body;
use super::buffer::{Buffer, CHUNK, PAGE};
use super::capacity;
use super::card::Card;
use super::card_io::CardIo;
use super::delta::Mode;
use super::io_monitor::{self, STALL_TIMEOUT};
use super::payload::{self, PayloadWriter};
use super::pipeline::all_zero;
use super::report::{Report, Seconds};
use super::task::{Content, Task};
use crate::base::failure::ExitKind;
use crate::base::{ChunkState, Event, Reporter};

/// Writes `content` to `card` and `addition` on top of it, and proves both.
///
/// # Errors
/// Whatever goes wrong, and the request to stop, `cancel`. The message says in what state the card is.
pub fn write_image(
    card: &dyn Card,
    content: &Content,
    addition: Option<&dyn PayloadWriter>,
    mode: Mode,
    reporter: &dyn Reporter,
    cancel: &AtomicBool,
) -> Result<Report> {
    if content.size > card.size() {
        let text = format!("the image has {} bytes and the card only {}", content.size, card.size());
        return Err(ExitKind::Refused.error(text));
    }
    let card_io = CardIo::new(card);
    let task = Task { card_io: &card_io, content, mode, reporter, cancel, head_is_blank: false.into() };
    let work = || task.run(addition).map_err(|error| task.say_state(error));
    io_monitor::with_stall_watchdog(&card_io.monitor, reporter, STALL_TIMEOUT, work)
}

impl Task<'_> {
    fn run(&self, addition: Option<&dyn PayloadWriter>) -> Result<Report> {
        let begin = Instant::now();
        let mut retries = self.blank_head()?;
        capacity::check(self.card_io, self.reporter, self.cancel)?;
        retries += self.blank_tail()?;
        let capacity = begin.elapsed().as_secs_f64();
        let mut body = Body::write(self)?;
        retries += body.read_back_and_retry(self)?;
        let hash = body.hash(self)?;
        let adding = Instant::now();
        let added = addition.map(|addition| payload::add(self, &mut body, addition)).transpose()?;
        let (added, again) = added.unzip();
        retries += again.unwrap_or(0);
        let add = adding.elapsed().as_secs_f64();
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
            added,
            seconds: Seconds { capacity, write: body.write_seconds, verify: body.verify_seconds, add },
            rates: self.card_io.monitor.rates(),
        })
    }

    /// Removes the old partition table.
    fn blank_head(&self) -> Result<u32> {
        let retries = self.card_io.write_and_prove(&self.zeros()?, 0)?;
        self.head_is_blank.store(true, Ordering::Relaxed);
        Ok(retries)
    }

    /// Removes the copy of the partition table that a GPT keeps in the last sectors. What the image itself
    /// has at the end of a card that it fills is no old signature.
    fn blank_tail(&self) -> Result<u32> {
        let mut zeros = self.zeros()?;
        let (size, len) = (self.card_io.size(), zeros.len() as u64);
        let tail = (size - len).max(self.content.size).max(len);
        zeros.resize(usize::try_from(size - tail)?);
        self.card_io.write_and_prove(&zeros, tail)
    }

    /// As many as the first MiB of the card has, which may be smaller.
    fn zeros(&self) -> Result<Buffer> {
        let mut zeros = Buffer::zeroed()?;
        zeros.resize(usize::try_from(self.card_io.size().min(CHUNK as u64))?);
        Ok(zeros)
    }

    /// The last thing that is written, its first page last of all: one write of a MiB may be cut in two when
    /// the power goes, and the partition table must not be there without the rest. From here on the card boots.
    fn write_head(&self, head: &[u8]) -> Result<u32> {
        self.may_begin("the first MiB was written")?;
        self.card_io.check_identity()?;
        self.head_is_blank.store(false, Ordering::Relaxed);
        let (table, rest) = head.split_at(head.len().min(PAGE));
        let at = table.len() as u64;
        // The place is blank already, which is all that most images have there.
        let retries = if all_zero(rest) { 0 } else { self.card_io.write_and_prove(rest, at)? };
        Ok(retries + self.card_io.write_and_prove(table, 0)?)
    }

    /// `error`, and what it means for the card: its head is blank, now or by a last attempt.
    fn say_state(&self, error: anyhow::Error) -> anyhow::Error {
        if !self.card_io.is_changed() {
            return error;
        }
        let kind = self.card_io.kind_of(&error);
        // What is in the reader by now may be another card, which nobody has agreed to write to.
        let blanked = self.card_io.check_identity().and_then(|()| self.blank_head());
        let state = match kind {
            _ if blanked.is_err() && !self.head_is_blank.load(Ordering::Relaxed) => {
                "the first MiB of the card could not be blanked: do not boot from it"
            }
            ExitKind::Verification => "the first MiB of the card is blank, so it will not boot",
            _ => "the first MiB of the card is blank, so it will not boot; run the same command again",
        };
        kind.error(format!("{error:#}; {state}"))
    }
}
