//! The order in which a card is written: both ends blank, the body, a sync, the body read back, and the
//! head last. At every moment before the end the card has no partition table, so it cannot boot half
//! an image.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::buffer::{Buffer, CHUNK};
use super::card::Card;
use super::decode::{Chunk, decode};
use super::transfer::{read_all, settle, write_all, write_and_prove};
use crate::failure::{self, Kind};
use crate::ui::{Phase, Reporter};

/// What was written, as read back from the card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The size of the image in bytes.
    pub size: u64,
    /// The BLAKE3 hash of the card's first `size` bytes.
    #[serde(with = "crate::image::digest")]
    pub hash: blake3::Hash,
    /// Seconds spent writing, with the sync.
    pub write_seconds: f64,
    /// Seconds spent reading back.
    pub verify_seconds: f64,
}

/// One flash under way.
struct Flash<'a> {
    card: &'a dyn Card,
    reporter: &'a dyn Reporter,
    cancel: &'a AtomicBool,
    size: u64,
}

/// Writes the `size` bytes of `stream`, whose BLAKE3 hash is `hash`, to `card`, and proves it.
///
/// # Errors
/// Whatever goes wrong, and the request to stop, `cancel`. The message says in what state the card is.
pub fn write_image(
    card: &dyn Card,
    stream: impl Read + Send,
    (size, hash): (u64, blake3::Hash),
    reporter: &dyn Reporter,
    cancel: &AtomicBool,
) -> Result<Report> {
    if size > card.size() {
        let text = format!("the image has {size} bytes and the card only {}", card.size());
        return Err(Kind::Refused.error(text));
    }
    let flash = Flash { card, reporter, cancel, size };
    flash.run(stream, hash).map_err(|error| flash.say_state(&error))
}

impl Flash<'_> {
    fn run(&self, stream: impl Read + Send, hash: blake3::Hash) -> Result<Report> {
        // Begins before the first byte: whoever listens must know that the card is no longer as it was.
        let phase = Phase::begin(self.reporter, "write", Some(self.size));
        self.blank()?;
        let (head, hashes, write_seconds) = self.write_body(stream, phase)?;
        let (found, verify_seconds) = self.verify_body(&head, &hashes)?;
        if found != hash {
            let text = "the image file is not the one that was checked: it changed in the meantime";
            return Err(Kind::Verification.error(text));
        }
        write_and_prove(self.card, &head, 0)?;
        Ok(Report { size: self.size, hash: found, write_seconds, verify_seconds })
    }

    /// Removes the old partition table, and the copy of it that a GPT keeps in the last sectors.
    fn blank(&self) -> Result<()> {
        let mut zeros = Buffer::zeroed();
        let room = usize::try_from(self.card.size()).unwrap_or(CHUNK).min(CHUNK);
        zeros.resize(room);
        write_and_prove(self.card, &zeros, 0)?;
        let tail = (self.card.size() - room as u64).max(room as u64);
        zeros.resize(usize::try_from(self.card.size() - tail)?);
        write_and_prove(self.card, &zeros, tail)
    }

    /// Writes everything but the first chunk, which is returned together with the hashes of the others.
    fn write_body(
        &self,
        stream: impl Read + Send,
        mut phase: Phase,
    ) -> Result<(Buffer, Vec<blake3::Hash>, f64)> {
        let (mut head, mut hashes, mut offset) = (None, Vec::new(), 0);
        decode(stream, |Chunk { bytes, hash }| {
            self.may_go_on(offset)?;
            let end = offset + bytes.len() as u64;
            if end > self.size {
                return Err(Kind::Verification.error("the image file has grown since it was checked"));
            }
            phase.advance(bytes.len());
            let at = std::mem::replace(&mut offset, end);
            if at == 0 {
                head = Some(bytes);
                return Ok(None);
            }
            write_all(self.card, &bytes, at)?;
            hashes.push(hash);
            Ok(Some(bytes))
        })?;
        let Some(head) = head.filter(|_| offset == self.size) else {
            return Err(Kind::Verification.error("the image file has become shorter since it was checked"));
        };
        settle(self.card)?;
        Ok((head, hashes, phase.end()))
    }

    /// Reads back everything but the first chunk and returns the hash of the whole.
    fn verify_body(&self, head: &[u8], hashes: &[blake3::Hash]) -> Result<(blake3::Hash, f64)> {
        let mut phase = Phase::begin(self.reporter, "verify", Some(self.size));
        let (mut whole, mut buffer, mut bad) = (blake3::Hasher::new(), Buffer::zeroed(), Vec::new());
        whole.update(head);
        phase.advance(head.len());
        for (hash, at) in hashes.iter().zip((CHUNK as u64..).step_by(CHUNK)) {
            self.may_go_on(at)?;
            buffer.resize(usize::try_from(self.size - at).unwrap_or(CHUNK).min(CHUNK));
            read_all(self.card, &mut buffer, at)?;
            if blake3::hash(&buffer) != *hash {
                bad.push(at);
            }
            whole.update(&buffer);
            phase.advance(buffer.len());
        }
        let seconds = phase.end();
        if bad.is_empty() { Ok((whole.finalize(), seconds)) } else { Err(unlike(&bad, hashes.len())) }
    }

    fn may_go_on(&self, offset: u64) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(Kind::Interrupted.error(format!("stopped at byte {offset}")));
        }
        Ok(())
    }

    /// `error`, and what it means for the card: its head is blank, now or by a last attempt.
    fn say_state(&self, error: &anyhow::Error) -> anyhow::Error {
        let mut zeros = Buffer::zeroed();
        zeros.resize(usize::try_from(self.card.size()).unwrap_or(CHUNK).min(CHUNK));
        let state = match write_and_prove(self.card, &zeros, 0) {
            Ok(()) => "the first MiB of the card is blank, so it will not boot; run the same command again",
            Err(_) => "the first MiB of the card could not be blanked: do not boot from it",
        };
        failure::kind(error).error(format!("{error:#}; {state}"))
    }
}

/// The error for chunks of 1 MiB that read back otherwise than they were written.
fn unlike(bad: &[u64], all: usize) -> anyhow::Error {
    let shown = bad.iter().take(3).map(u64::to_string).collect::<Vec<_>>().join(", ");
    let more = if bad.len() > 3 { " and more" } else { "" };
    let count = bad.len();
    let text = format!("verification failed: {count} of {all} MiB read back wrong, at byte {shown}{more}");
    Kind::Verification.error(text)
}
