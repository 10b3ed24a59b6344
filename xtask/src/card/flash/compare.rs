//! Comparing a card with an image, by reading alone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;

use super::body::image_chunks;
use super::buffer::{Buffer, CHUNK};
use super::card::Card;
use super::card_io::{CardIo, Read};
use super::comparison::Comparison;
use super::delta::Mode;
use super::engine::RUN_AGAIN;
use super::flash_job::{FlashJob, ImageContent};
use super::io_monitor::{self, STALL_TIMEOUT};
use super::pipeline::{self, Chunk};
use super::written_payload::WrittenPayload;
use crate::base::failure::ExitKind;
use crate::base::{ChunkMap, ChunkState, Event, Phase, Reporter, is_all_zero};
use crate::card::image::chunk_hash::{self, ChunkHash};
use crate::card::image::{Algorithm, Hasher};
use crate::{bail, failure};

/// Compares the beginning of `card` with `content`. Where `content` is the image that the `payload` was written on top
/// of, the card must hold both.
///
/// # Errors
/// A card that does not answer, an image that is damaged, cannot be read or has changed since it was checked, and the
/// request to stop. A difference is no error, and neither is a sector that the card cannot read.
pub fn compare(
    card: &dyn Card,
    content: &ImageContent,
    payload: Option<&WrittenPayload>,
    reporter: &dyn Reporter,
    cancel: &AtomicBool,
) -> Result<Comparison> {
    let card_io = open_uncached(card)?;
    let job = FlashJob {
        card_io: &card_io,
        content,
        mode: Mode::Delta,
        reporter,
        cancel,
        head_is_blank: false.into(),
    };
    io_monitor::with_stall_watchdog(&card_io.monitor, reporter, STALL_TIMEOUT, || {
        let comparator = Comparator { payload, ..Comparator::default() };
        comparator.run(&job)
    })
}

/// Compares the hash of the first `size` bytes of `card` with `hash`.
///
/// # Errors
/// As [`compare`], and a sector that the card cannot read.
pub fn compare_hash(
    card: &dyn Card,
    size: u64,
    hash: blake3::Hash,
    reporter: &dyn Reporter,
    cancel: &AtomicBool,
) -> Result<Comparison> {
    let card_io = open_uncached(card)?;
    io_monitor::with_stall_watchdog(&card_io.monitor, reporter, STALL_TIMEOUT, || {
        compare_with_hash(&card_io, size, hash, reporter, cancel)
    })
}

/// Drops the cached pages of the card, so that reads come from the card itself.
fn open_uncached(card: &dyn Card) -> Result<CardIo<'_>> {
    card.drop_cache().map_err(|error| failure!(Io, "dropping the cache of the card: {error}"))?;
    Ok(CardIo::new(card))
}

/// The SHA-256 of all bytes that are read from the card; `None` once a part of the card could not be read.
struct CardHash(Option<Hasher>);

impl Default for CardHash {
    fn default() -> Self {
        Self(Some(Hasher::start(&[Algorithm::Sha256].into())))
    }
}

impl CardHash {
    fn update(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.0 {
            hasher.update(bytes);
        }
    }

    /// Discards the hash: a part of the card cannot be read.
    fn discard(&mut self) {
        self.0 = None;
    }

    /// The hash in hexadecimal digits; `None` where it was discarded.
    fn finish(self) -> Option<String> {
        self.0.and_then(|hasher| hasher.finish().pop()).map(|sum| sum.hex)
    }
}

/// The state of a comparison.
#[derive(Default)]
struct Comparator<'a> {
    card_hash: CardHash,
    /// The payload that the card may hold beside the image.
    payload: Option<&'a WrittenPayload>,
    /// The positions of the payload's chunks, in bytes, and whether the card holds them.
    payload_chunks: Vec<(u64, bool)>,
    chunk_map: ChunkMap,
    /// The hashes of the image's chunks, in order.
    hashes: Vec<ChunkHash>,
    /// The first differing byte of each chunk that differs.
    differences: Vec<u64>,
    /// The positions of the payload's chunks that differ.
    in_payload: Vec<u64>,
    /// Whether the first chunk of the card is blank.
    blank: bool,
    /// The first read error of the card.
    unreadable: Option<String>,
}

impl Comparator<'_> {
    fn run(mut self, job: &FlashJob) -> Result<Comparison> {
        let begin = Instant::now();
        let size = job.content.size;
        let mut phase = Phase::begin(job.reporter, "compare", Some(size));
        let mut on_card = Buffer::zeroed()?;
        let mut chunks = image_chunks(job)?;
        // A damaged image is no verdict about the card.
        let fetch = move |buffer: &mut Buffer| chunks(buffer).map_err(damaged_image_refusal);
        pipeline::run(fetch, |chunk| {
            job.check_cancel_at(chunk.at).map_err(nothing_written_error)?;
            self.compare_chunk(job.card_io, &chunk, &mut on_card)?;
            phase.advance(chunk.bytes.len());
            Ok(Some(chunk.bytes))
        })?;
        phase.end();
        let hash = chunk_hash::content_hash(&self.hashes);
        let with_payload = self.payload.is_some_and(|payload| payload.image == hash);
        if with_payload {
            self.judge_payload_chunks();
        }
        job.reporter.report(&Event::Map { runs: self.chunk_map.runs() });
        if job.content.hash.is_some_and(|known| known != hash) {
            bail!(Refused, "the image file has changed since it was checked"; hint: "{RUN_AGAIN}");
        }
        Ok(Comparison {
            equal: self.differences.is_empty() && self.in_payload.is_empty() && self.unreadable.is_none(),
            with_payload,
            size,
            hash,
            card_sha256: self.card_hash.finish(),
            differences: self.differences,
            in_payload: self.in_payload,
            blank: self.blank,
            unreadable: self.unreadable,
            map: self.chunk_map.runs(),
            seconds: begin.elapsed().as_secs_f64(),
            rates: job.card_io.monitor.rates(),
        })
    }

    /// Compares one chunk of the image with the card. `on_card` is the buffer for the card's chunk.
    fn compare_chunk(&mut self, card_io: &CardIo, chunk: &Chunk, on_card: &mut Buffer) -> Result<()> {
        self.hashes.push(chunk.hash);
        on_card.resize(chunk.bytes.len());
        let difference = match card_io.read_or_unreadable(on_card, chunk.at)? {
            Read::Complete if **on_card == *chunk.bytes => None,
            Read::Complete => {
                on_card.iter().zip(&*chunk.bytes).position(|(actual, expected)| actual != expected)
            }
            Read::Unreadable(error) => {
                self.unreadable.get_or_insert(format!("{error:#}"));
                self.chunk_map.push(ChunkState::Bad);
                self.card_hash.discard();
                return Ok(());
            }
        };
        self.card_hash.update(on_card);
        if let Some(expected) = self.payload.and_then(|payload| payload.hash_at(chunk.at)) {
            self.payload_chunks.push((chunk.at, ChunkHash::of(on_card) == expected));
        }
        self.blank |= chunk.at == 0 && is_all_zero(on_card);
        self.differences.extend(difference.map(|first| chunk.at + first as u64));
        self.chunk_map.push(if difference.is_some() { ChunkState::Bad } else { ChunkState::Unchanged });
        Ok(())
    }

    /// Judges the chunks of the payload by the payload, and not by the image.
    fn judge_payload_chunks(&mut self) {
        let size = CHUNK as u64;
        for (at, matches) in std::mem::take(&mut self.payload_chunks) {
            self.chunk_map.set(at, if matches { ChunkState::Payload } else { ChunkState::Bad });
            self.differences.retain(|difference| difference / size != at / size);
            self.in_payload.extend((!matches).then_some(at));
        }
    }
}

/// Hashes the first `size` bytes of the card, and compares the hash with `expected`.
fn compare_with_hash(
    card_io: &CardIo,
    size: u64,
    expected: blake3::Hash,
    reporter: &dyn Reporter,
    cancel: &AtomicBool,
) -> Result<Comparison> {
    let mut phase = Phase::begin(reporter, "compare", Some(size));
    let mut next = 0;
    let mut hashes = Vec::new();
    let mut card_hash = CardHash::default();
    let mut blank = false;
    let fetch = |buffer: &mut Buffer| {
        let at = next;
        read_chunk_at(card_io, buffer, at, size)?;
        next += buffer.len() as u64;
        Ok((at < size).then_some(at))
    };
    pipeline::run(fetch, |chunk| {
        if cancel.load(Ordering::Relaxed) {
            bail!(Interrupted, "stopped at byte {}; nothing was written", chunk.at);
        }
        hashes.push(chunk.hash);
        blank |= chunk.at == 0 && chunk.is_zero;
        card_hash.update(&chunk.bytes);
        phase.advance(chunk.bytes.len());
        Ok(Some(chunk.bytes))
    })?;
    Ok(Comparison {
        equal: chunk_hash::content_hash(&hashes) == expected,
        with_payload: false,
        size,
        hash: expected,
        card_sha256: card_hash.finish(),
        differences: Vec::new(),
        in_payload: Vec::new(),
        blank,
        unreadable: None,
        map: Vec::new(),
        seconds: phase.end(),
        rates: card_io.monitor.rates(),
    })
}

/// Reads into `buffer` the chunk at byte `at` of the card, as far as the chunk lies in the first `size` bytes.
fn read_chunk_at(card_io: &CardIo, buffer: &mut Buffer, at: u64, size: u64) -> Result<()> {
    buffer.resize(usize::try_from((size - at).min(CHUNK as u64))?);
    match card_io.read_or_unreadable(buffer, at)? {
        Read::Unreadable(error) => Err(error),
        Read::Complete => Ok(()),
    }
}

/// `error`, with the exit kind `Refused` where the image is damaged.
fn damaged_image_refusal(error: anyhow::Error) -> anyhow::Error {
    match failure::kind(&error) {
        ExitKind::Verification => ExitKind::Refused.error_with_hint_of(format_args!("{error:#}"), &error),
        _ => error,
    }
}

/// `error`, with a note that nothing was written.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn nothing_written_error(error: anyhow::Error) -> anyhow::Error {
    failure::kind(&error).error_with_hint_of(format_args!("{error:#}; nothing was written"), &error)
}
