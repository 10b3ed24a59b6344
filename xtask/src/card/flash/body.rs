//! The body of an image, which is all but the first chunk: written where the card does not hold it yet, verified, and
//! written again where verification fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;

use super::buffer::{Buffer, CHUNK};
use super::card_io::{self, BROKEN_CARD, MAX_RETRIES};
use super::delta::DeltaPolicy;
use super::flash_job::FlashJob;
use super::pipeline::{self, Chunk};
use crate::base::{ChunkMap, ChunkState, Event, Phase};
use crate::card::image::chunk_hash::{self, ChunkHash};
use crate::card::image::{Changed, OutOfMemory};
use crate::{bail, failure};

/// The body on the card, with the head that is still to be written.
pub struct Body {
    /// The first chunk of the image, which is written last.
    pub head: Buffer,
    pub chunk_map: ChunkMap,
    /// The hashes of all chunks of the image, in order, with that of the head.
    pub hashes: Vec<ChunkHash>,
    /// The positions of the chunks that were written and not verified yet, in bytes.
    unverified: BTreeSet<u64>,
    pub write_seconds: f64,
    pub verify_seconds: f64,
}

impl Body {
    /// Writes the body, except the chunks that the delta policy has read first and that the card already holds.
    pub fn write(job: &FlashJob) -> Result<Self> {
        let mut phase = Phase::begin(job.reporter, "write", Some(job.content.size));
        let mut policy = DeltaPolicy::new(job.mode);
        let mut head = None;
        let mut on_card = Buffer::zeroed()?;
        let mut chunk_map = ChunkMap::default();
        let mut hashes = Vec::new();
        let mut unverified = BTreeSet::new();
        pipeline::run(image_chunks(job)?, |chunk| {
            job.check_cancel_at(chunk.at)?;
            phase.advance(chunk.bytes.len());
            hashes.push(chunk.hash);
            if chunk.at == 0 {
                // The head is written in any case, but last.
                chunk_map.push(ChunkState::Written);
                head = Some(chunk.bytes);
                return Ok(None);
            }
            let state = write_if_changed(job, &chunk, &mut policy, &mut on_card)?;
            if state == ChunkState::Written {
                unverified.insert(chunk.at);
            }
            chunk_map.push(state);
            // What is written is read back: the rest of the image is expected to be like its beginning.
            phase.expect_ahead(job.content.size * unverified.len() as u64 / hashes.len() as u64);
            Ok(Some(chunk.bytes))
        })?;
        let head = head.ok_or_else(|| failure!(Verification, "the image is empty"; hint: "{NEW_IMAGE}"))?;
        job.card_io.sync()?;
        Ok(Self { head, chunk_map, hashes, unverified, write_seconds: phase.end(), verify_seconds: 0.0 })
    }

    /// Verifies the chunks that were written, and writes bad ones again. Returns the number of these retries, in which
    /// a chunk counts each time that it is written again.
    pub fn verify_and_retry(&mut self, job: &FlashJob) -> Result<u32> {
        let begin = Instant::now();
        let mut retries = 0;
        let mut round = 0;
        let mut bad = self.verify(job)?;
        while !bad.positions.is_empty() {
            if round == MAX_RETRIES {
                return Err(self.report_bad_chunks_error(job, &bad));
            }
            round += 1;
            retries += u32::try_from(bad.positions.len()).unwrap_or(u32::MAX);
            self.write_again(job, &bad.positions)?;
            self.unverified = std::mem::take(&mut bad.positions);
            self.unverified.iter().for_each(|at| self.chunk_map.set(*at, ChunkState::Healed));
            bad = self.verify(job)?;
        }
        self.verify_seconds = begin.elapsed().as_secs_f64();
        Ok(retries)
    }

    /// The hash of the image as it was written: the body on the card, and the head. Fails where a check before the
    /// flash has found another hash.
    pub fn hash(&self, job: &FlashJob) -> Result<blake3::Hash> {
        let found = chunk_hash::content_hash(&self.hashes);
        if job.content.hash.is_some_and(|hash| hash != found) {
            bail!(
                Verification, "the image has changed since it was checked";
                hint: "run the same command again, which checks the image anew"
            );
        }
        Ok(found)
    }

    /// Reads the unverified chunks back, and returns those that differ from the image or cannot be read.
    fn verify(&self, job: &FlashJob) -> Result<BadChunks> {
        let mut bad = BadChunks::default();
        if self.unverified.is_empty() {
            return Ok(bad);
        }
        let total = self.unverified.iter().map(|at| job.chunk_len_at(*at) as u64).sum();
        let mut phase = Phase::begin(job.reporter, "verify", Some(total));
        // The payload and the head are small.
        phase.expect_ahead(0);
        let mut positions = self.unverified.iter();
        let read_errors = Mutex::new(BTreeMap::new());
        let lock_errors = || read_errors.lock().unwrap_or_else(PoisonError::into_inner);
        let fetch = |buffer: &mut Buffer| {
            let Some(at) = positions.next() else { return Ok(None) };
            buffer.resize(job.chunk_len_at(*at));
            if let card_io::Read::Unreadable(error) = job.card_io.read_or_unreadable(buffer, *at)? {
                lock_errors().insert(*at, error);
            }
            Ok(Some(*at))
        };
        pipeline::run(fetch, |chunk| {
            job.check_cancel_at(chunk.at)?;
            if self.hash_at(chunk.at) != Some(&chunk.hash) || lock_errors().contains_key(&chunk.at) {
                bad.positions.insert(chunk.at);
            }
            phase.advance(job.chunk_len_at(chunk.at));
            Ok(Some(chunk.bytes))
        })?;
        phase.end();
        bad.read_error = lock_errors().pop_first().map(|(_, error)| error);
        Ok(bad)
    }

    /// Writes the chunks at `positions` again, out of the image.
    fn write_again(&self, job: &FlashJob, positions: &BTreeSet<u64>) -> Result<()> {
        let count = positions.len();
        let first = positions.first().copied().unwrap_or_default();
        let text = match count {
            1 => format!("1 MiB failed verification, at byte {first}; writing it again"),
            _ => format!("{count} MiB failed verification, the first at byte {first}; writing them again"),
        };
        job.reporter.report(&Event::warning(text));
        pipeline::run(image_chunks(job)?, |chunk| {
            job.check_cancel_at(chunk.at)?;
            if positions.contains(&chunk.at) {
                if self.hash_at(chunk.at) != Some(&chunk.hash) {
                    bail!(
                        Verification, "the image file changed while the card was written";
                        hint: "{}", Changed::HINT
                    );
                }
                job.card_io.write_all(&chunk.bytes, chunk.at)?;
            }
            Ok(Some(chunk.bytes))
        })?;
        job.card_io.sync()
    }

    /// The hash of the image's chunk at byte `at`.
    fn hash_at(&self, at: u64) -> Option<&ChunkHash> {
        self.hashes.get(usize::try_from(at / CHUNK as u64).ok()?)
    }

    /// Reports the chunk map, and returns the error for chunks that stay bad after all retries.
    fn report_bad_chunks_error(&mut self, job: &FlashJob, bad: &BadChunks) -> anyhow::Error {
        bad.positions.iter().for_each(|at| self.chunk_map.set(*at, ChunkState::Bad));
        job.reporter.report(&Event::Map { runs: self.chunk_map.runs() });
        if let Some(error) = &bad.read_error {
            return card_io::unreadable_error(error);
        }
        let shown = bad.positions.iter().take(3).map(u64::to_string).collect::<Vec<_>>().join(", ");
        let count = bad.positions.len();
        let more = if count > 3 { " and more" } else { "" };
        failure!(
            Verification,
            "verification failed: {count} of {} MiB differ from the image, at byte {shown}{more}, after {MAX_RETRIES} retries",
            self.hashes.len();
            hint: "{BROKEN_CARD}"
        )
    }
}

/// Chunks that failed verification.
#[derive(Default)]
struct BadChunks {
    /// The positions of the chunks, in bytes.
    positions: BTreeSet<u64>,
    /// The first read error of the card, if it could not read one of them.
    read_error: Option<anyhow::Error>,
}

/// Writes `chunk` unless the card holds it already; the `policy` decides whether the card is read first. `on_card` is
/// the buffer for that read.
fn write_if_changed(
    job: &FlashJob,
    chunk: &Chunk,
    policy: &mut DeltaPolicy,
    on_card: &mut Buffer,
) -> Result<ChunkState> {
    if policy.should_read_first(chunk.is_zero) {
        on_card.resize(chunk.bytes.len());
        let read = job.card_io.read_or_unreadable(on_card, chunk.at)?;
        let is_unchanged = matches!(read, card_io::Read::Complete) && **on_card == *chunk.bytes;
        if is_unchanged {
            policy.record_hit(chunk.is_zero);
            return Ok(if chunk.is_zero { ChunkState::Skipped } else { ChunkState::Unchanged });
        }
        policy.record_miss(chunk.is_zero);
    }
    job.card_io.write_all(&chunk.bytes, chunk.at)?;
    Ok(ChunkState::Written)
}

/// The remedy for an image that is not what its file claims.
const NEW_IMAGE: &str = "build or download the image again";

/// A reader of the image, chunk by chunk, for [`pipeline::run`]. It fails where the image has not the size that it
/// claims.
pub(super) fn image_chunks(job: &FlashJob) -> Result<impl FnMut(&mut Buffer) -> Result<Option<u64>> + Send> {
    let mut stream = (job.content.open)()?;
    let size = job.content.size;
    let mut next = 0;
    Ok(move |buffer: &mut Buffer| {
        let at = next;
        let read = chunk_hash::read_chunk(&mut stream, buffer);
        let len = read.map_err(|(done, error)| image_error(at + done as u64, &error))?;
        buffer.resize(len);
        next = at + len as u64;
        if next > size {
            bail!(Verification, "the image is longer than the {size} bytes it claims"; hint: "{NEW_IMAGE}");
        }
        if len == 0 && at < size {
            bail!(Verification, "the image ends at byte {at}, but claims {size} bytes"; hint: "{NEW_IMAGE}");
        }
        Ok((len > 0).then_some(at))
    })
}

/// The error for an image that cannot be read at byte `at`. A system error comes from the disk that the image is on.
/// Any other comes from the decoder, and means a damaged image unless its cause is [`OutOfMemory`] or [`Changed`].
fn image_error(at: u64, error: &std::io::Error) -> anyhow::Error {
    match (error.raw_os_error(), OutOfMemory::cause_of(error)) {
        (Some(_), _) => failure!(Io, "reading the image at byte {at}: {error}"),
        (None, Some(reason)) => {
            failure!(Io, "reading the image at byte {at}: {error}"; hint: "{}", reason.hint())
        }
        (None, None) if Changed::is_cause_of(error) => {
            failure!(Verification, "reading the image: {error}"; hint: "{}", Changed::HINT)
        }
        (None, None) => {
            failure!(Verification, "the image is damaged at byte {at}: {error}"; hint: "{NEW_IMAGE}")
        }
    }
}
