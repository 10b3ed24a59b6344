//! Everything but the first chunk: written where the card does not hold it yet, read back, and written
//! again where it was not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;

use super::buffer::{Buffer, CHUNK};
use super::card_io::{self, ROUNDS};
use super::delta::DeltaPolicy;
use super::pipeline::{self, Chunk};
use super::task::Task;
use crate::base::failure::ExitKind;
use crate::base::{ChunkMap, ChunkState, Event, Phase};
use crate::card::image::chunk_hash::{self, ChunkHash};
use crate::card::image::{Changed, OutOfMemory};

/// What is on the card, and what still has to go there.
pub struct Body {
    /// The first chunk of the image, which is written last.
    pub head: Buffer,
    pub chunk_map: ChunkMap,
    pub hashes: Vec<ChunkHash>,
    /// The places of the chunks that were written and not read back yet, in bytes.
    unverified: BTreeSet<u64>,
    pub write_seconds: f64,
    pub verify_seconds: f64,
}

impl Body {
    /// Brings the body onto the card.
    pub fn write(task: &Task) -> Result<Self> {
        let mut phase = Phase::begin(task.reporter, "write", Some(task.content.size));
        let mut policy = DeltaPolicy::new(task.mode);
        let (mut head, mut there) = (None, Buffer::zeroed()?);
        let (mut chunk_map, mut hashes, mut unverified) = (ChunkMap::default(), Vec::new(), BTreeSet::new());
        pipeline::run(image_chunks(task)?, |chunk| {
            task.may_go_on(chunk.at)?;
            phase.advance(chunk.bytes.len());
            hashes.push(chunk.hash);
            if chunk.at == 0 {
                chunk_map.push(ChunkState::Written);
                head = Some(chunk.bytes);
                return Ok(None);
            }
            let state = write_if_changed(task, &chunk, &mut policy, &mut there)?;
            if state == ChunkState::Written {
                unverified.insert(chunk.at);
            }
            chunk_map.push(state);
            Ok(Some(chunk.bytes))
        })?;
        let head = head.ok_or_else(|| ExitKind::Verification.error("the image is empty"))?;
        task.card_io.sync()?;
        Ok(Self { head, chunk_map, hashes, unverified, write_seconds: phase.end(), verify_seconds: 0.0 })
    }

    /// Reads back what was written, and writes again what is wrong. Returns how often that was.
    pub fn read_back_and_retry(&mut self, task: &Task) -> Result<u32> {
        let begin = Instant::now();
        let (mut retries, mut round) = (0, 0);
        let mut bad = self.read_back(task)?;
        while !bad.places.is_empty() {
            if round == ROUNDS {
                return Err(self.give_up(task, &bad));
            }
            round += 1;
            retries += u32::try_from(bad.places.len()).unwrap_or(u32::MAX);
            self.write_again(task, &bad.places)?;
            self.unverified = std::mem::take(&mut bad.places);
            self.unverified.iter().for_each(|at| self.chunk_map.set(*at, ChunkState::Healed));
            bad = self.read_back(task)?;
        }
        self.verify_seconds = begin.elapsed().as_secs_f64();
        Ok(retries)
    }

    /// The hash of what is on the card together with the head.
    pub fn hash(&self, task: &Task) -> Result<blake3::Hash> {
        let found = chunk_hash::whole(&self.hashes);
        if task.content.hash.is_some_and(|hash| hash != found) {
            let text = "the image is not what it was when it was checked; run the same command again, which checks it anew";
            return Err(ExitKind::Verification.error(text));
        }
        Ok(found)
    }

    /// The chunks that were written and do not read back as they should.
    fn read_back(&self, task: &Task) -> Result<Failed> {
        let mut failed = Failed::default();
        if self.unverified.is_empty() {
            return Ok(failed);
        }
        let total = self.unverified.iter().map(|at| task.len_at(*at) as u64).sum();
        let mut phase = Phase::begin(task.reporter, "verify", Some(total));
        let (mut places, unreadable) = (self.unverified.iter(), Mutex::new(BTreeMap::new()));
        let unreadable_now = || unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        let fetch = |buffer: &mut Buffer| {
            let Some(at) = places.next() else { return Ok(None) };
            buffer.resize(task.len_at(*at));
            if let card_io::Read::Unreadable(error) = task.card_io.read_or_unreadable(buffer, *at)? {
                unreadable_now().insert(*at, error);
            }
            Ok(Some(*at))
        };
        pipeline::run(fetch, |chunk| {
            task.may_go_on(chunk.at)?;
            if self.hash_at(chunk.at) != Some(&chunk.hash) || unreadable_now().contains_key(&chunk.at) {
                failed.places.insert(chunk.at);
            }
            phase.advance(task.len_at(chunk.at));
            Ok(Some(chunk.bytes))
        })?;
        phase.end();
        failed.unreadable = unreadable_now().pop_first().map(|(_, error)| error);
        Ok(failed)
    }

    /// Writes the chunks at these places once more, out of the image.
    fn write_again(&self, task: &Task, places: &BTreeSet<u64>) -> Result<()> {
        let count = places.len();
        let first = places.first().copied().unwrap_or_default();
        let text = format!("{count} MiB read back wrong, the first at byte {first}; writing again");
        task.reporter.report(&Event::warning(text));
        pipeline::run(image_chunks(task)?, |chunk| {
            task.may_go_on(chunk.at)?;
            if places.contains(&chunk.at) {
                if self.hash_at(chunk.at) != Some(&chunk.hash) {
                    return Err(ExitKind::Verification.error("the image file changed in the meantime"));
                }
                task.card_io.write_all(&chunk.bytes, chunk.at)?;
            }
            Ok(Some(chunk.bytes))
        })?;
        task.card_io.sync()
    }

    fn hash_at(&self, at: u64) -> Option<&ChunkHash> {
        self.hashes.get(usize::try_from(at / CHUNK as u64).ok()?)
    }

    /// The error for chunks that stay wrong, after the picture of where they are.
    fn give_up(&mut self, task: &Task, bad: &Failed) -> anyhow::Error {
        bad.places.iter().for_each(|at| self.chunk_map.set(*at, ChunkState::Bad));
        task.reporter.report(&Event::Map { runs: self.chunk_map.runs() });
        if let Some(error) = &bad.unreadable {
            return ExitKind::Io.error(format!("{error:#}, {ROUNDS} times after it was written again"));
        }
        let shown = bad.places.iter().take(3).map(u64::to_string).collect::<Vec<_>>().join(", ");
        let (count, all) = (bad.places.len(), self.hashes.len());
        let more = if count > 3 { " and more" } else { "" };
        ExitKind::Verification.error(format!(
            "verification failed: {count} of {all} MiB read back wrong, at byte {shown}{more}, \
             {ROUNDS} times after being written again"
        ))
    }
}

/// Chunks that are not as they should be, and what the card said where it could not read one.
#[derive(Default)]
struct Failed {
    places: BTreeSet<u64>,
    unreadable: Option<anyhow::Error>,
}

/// Reads first whether the card holds the chunk, where that pays, and writes it if it does not. `there` is room
/// for what the card holds.
fn write_if_changed(
    task: &Task,
    chunk: &Chunk,
    policy: &mut DeltaPolicy,
    there: &mut Buffer,
) -> Result<ChunkState> {
    if policy.should_read_first(chunk.zeros) {
        there.resize(chunk.bytes.len());
        let read = task.card_io.read_or_unreadable(there, chunk.at)?;
        let same = matches!(read, card_io::Read::Whole) && **there == *chunk.bytes;
        policy.learn(chunk.zeros, same);
        if same {
            return Ok(if chunk.zeros { ChunkState::Skipped } else { ChunkState::Unchanged });
        }
    }
    task.card_io.write_all(&chunk.bytes, chunk.at)?;
    Ok(ChunkState::Written)
}

/// Reads the image chunk by chunk, for [`pipeline::run`]; it must have exactly the size that is known.
pub(super) fn image_chunks(task: &Task) -> Result<impl FnMut(&mut Buffer) -> Result<Option<u64>> + Send> {
    let (mut stream, mut at, size) = ((task.content.open)()?, 0, task.content.size);
    Ok(move |buffer: &mut Buffer| {
        let read = chunk_hash::read_piece(&mut stream, buffer);
        let len = read.map_err(|(done, error)| unreadable(at + done as u64, &error))?;
        buffer.resize(len);
        let (from, end) = (at, at + len as u64);
        at = end;
        if end > size {
            return Err(ExitKind::Verification
                .error(format!("the image is longer than the {size} bytes it promises")));
        }
        if len == 0 && end < size {
            let text = format!("the image ends at byte {end} and not at {size}, as it promises");
            return Err(ExitKind::Verification.error(text));
        }
        Ok((len > 0).then_some(from))
    })
}

/// An error of the system is one of the disk that the image is on; all others are what a decoder says.
fn unreadable(at: u64, error: &std::io::Error) -> anyhow::Error {
    match error.raw_os_error() {
        Some(_) => ExitKind::Io.error(format!("reading the image at byte {at}: {error}")),
        None if OutOfMemory::of(error).is_some() => {
            ExitKind::Io.error(format!("reading the image at byte {at}: {error}"))
        }
        None if Changed::is(error) => ExitKind::Verification.error(format!("reading the image: {error}")),
        None => ExitKind::Verification
            .error(format!("the image is damaged at byte {at}: {error}; build or download it again")),
    }
}
