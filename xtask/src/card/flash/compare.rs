//! Whether a card holds an image, found out by reading alone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;

use super::body::image_chunks;
use super::buffer::{Buffer, CHUNK};
use super::card::Card;
use super::card_io::{CardIo, Read};
use super::comparison::Comparison;
use super::delta::Mode;
use super::io_monitor::{self, STALL_TIMEOUT};
use super::payload::Added;
use super::pipeline::{self, Chunk, all_zero};
use super::task::{Content, Task};
use crate::base::failure::{self, ExitKind};
use crate::base::{ChunkMap, ChunkState, Event, Phase, Reporter};
use crate::card::image::chunk_hash::{self, ChunkHash};

/// Compares what `card` begins with to `content`. Where that is the image that `added` was put on top of, the card is
/// to hold both.
///
/// # Errors
/// A card or an image that cannot be read at all, and the request to stop. A difference is none.
pub fn compare(
    card: &dyn Card,
    content: &Content,
    added: Option<&Added>,
    reporter: &dyn Reporter,
    cancel: &AtomicBool,
) -> Result<Comparison> {
    let card_io = opened(card)?;
    let task =
        Task { card_io: &card_io, content, mode: Mode::Delta, reporter, cancel, head_is_blank: false.into() };
    io_monitor::with_stall_watchdog(&card_io.monitor, reporter, STALL_TIMEOUT, || {
        let comparing = Comparing { added, ..Comparing::default() };
        comparing.run(&task)
    })
}

/// Compares the hash of the first `size` bytes of `card` with `hash`.
///
/// # Errors
/// As [`compare`].
pub fn compare_hash(
    card: &dyn Card,
    size: u64,
    hash: blake3::Hash,
    reporter: &dyn Reporter,
    cancel: &AtomicBool,
) -> Result<Comparison> {
    let card_io = opened(card)?;
    io_monitor::with_stall_watchdog(&card_io.monitor, reporter, STALL_TIMEOUT, || {
        whole(&card_io, size, hash, reporter, cancel)
    })
}

/// The card without what was read from it before: it is asked itself.
fn opened(card: &dyn Card) -> Result<CardIo<'_>> {
    card.forget().map_err(|error| ExitKind::Io.error(format!("dropping the cache of the card: {error}")))?;
    Ok(CardIo::new(card))
}

/// What was found so far.
#[derive(Default)]
struct Comparing<'a> {
    added: Option<&'a Added>,
    /// The places where something was added, and whether it is there.
    found: Vec<(u64, bool)>,
    chunk_map: ChunkMap,
    hashes: Vec<ChunkHash>,
    differences: Vec<u64>,
    blank: bool,
    unreadable: Option<String>,
}

impl Comparing<'_> {
    fn run(mut self, task: &Task) -> Result<Comparison> {
        let (begin, size) = (Instant::now(), task.content.size);
        let mut phase = Phase::begin(task.reporter, "compare", Some(size));
        let mut there = Buffer::zeroed()?;
        let mut chunks = image_chunks(task)?;
        // Damage of the image says nothing about the card.
        let fetch = move |buffer: &mut Buffer| chunks(buffer).map_err(refused);
        pipeline::run(fetch, |chunk| {
            task.may_go_on(chunk.at).map_err(unchanged)?;
            self.take(task.card_io, &chunk, &mut there)?;
            phase.advance(chunk.bytes.len());
            Ok(Some(chunk.bytes))
        })?;
        phase.end();
        let hash = chunk_hash::whole(&self.hashes);
        let added = self.added.is_some_and(|added| added.image == hash);
        if added {
            self.take_added();
        }
        task.reporter.report(&Event::Map { runs: self.chunk_map.runs() });
        if task.content.hash.is_some_and(|known| known != hash) {
            return Err(
                ExitKind::Refused.error("the image file is not the one that was looked at; start again")
            );
        }
        Ok(Comparison {
            equal: self.differences.is_empty() && self.unreadable.is_none(),
            added,
            size,
            hash,
            differences: self.differences,
            blank: self.blank,
            unreadable: self.unreadable,
            map: self.chunk_map.runs(),
            seconds: begin.elapsed().as_secs_f64(),
            rates: task.card_io.monitor.rates(),
        })
    }

    /// Compares one chunk of the image. `there` is room for what the card holds.
    fn take(&mut self, card_io: &CardIo, chunk: &Chunk, there: &mut Buffer) -> Result<()> {
        self.hashes.push(chunk.hash);
        there.resize(chunk.bytes.len());
        let difference = match card_io.read_or_unreadable(there, chunk.at)? {
            Read::Whole if **there == *chunk.bytes => None,
            Read::Whole => there.iter().zip(&*chunk.bytes).position(|(is, meant)| is != meant),
            Read::Unreadable(error) => {
                self.unreadable.get_or_insert(format!("{error:#}"));
                self.chunk_map.push(ChunkState::Bad);
                return Ok(());
            }
        };
        if let Some(meant) = self.added.and_then(|added| added.at(chunk.at)) {
            self.found.push((chunk.at, ChunkHash::of(there) == meant));
        }
        self.blank |= chunk.at == 0 && all_zero(there);
        self.differences.extend(difference.map(|first| chunk.at + first as u64));
        self.chunk_map.push(if difference.is_some() { ChunkState::Bad } else { ChunkState::Unchanged });
        Ok(())
    }

    /// Judges the places where something was added by that, and not by the image.
    fn take_added(&mut self) {
        let size = CHUNK as u64;
        for (at, is_there) in std::mem::take(&mut self.found) {
            self.chunk_map.set(at, if is_there { ChunkState::Added } else { ChunkState::Bad });
            let known = self.differences.iter().position(|place| place / size == at / size);
            match (known, is_there) {
                (Some(index), true) => drop(self.differences.remove(index)),
                (None, false) => self.differences.push(at),
                _ => {}
            }
        }
        self.differences.sort_unstable();
    }
}

/// Reads all of the card that the image would take.
fn whole(
    card_io: &CardIo,
    size: u64,
    meant: blake3::Hash,
    reporter: &dyn Reporter,
    cancel: &AtomicBool,
) -> Result<Comparison> {
    let mut phase = Phase::begin(reporter, "compare", Some(size));
    let (mut at, mut hashes, mut blank) = (0, Vec::new(), false);
    let fetch = |buffer: &mut Buffer| {
        let (from, left) = (at, size - at);
        buffer.resize(usize::try_from(left.min(CHUNK as u64))?);
        at += buffer.len() as u64;
        match card_io.read_or_unreadable(buffer, from)? {
            Read::Unreadable(error) => Err(error),
            Read::Whole => Ok((left > 0).then_some(from)),
        }
    };
    pipeline::run(fetch, |chunk| {
        if cancel.load(Ordering::Relaxed) {
            return Err(unchanged(ExitKind::Interrupted.error(format!("stopped at byte {}", chunk.at))));
        }
        hashes.push(chunk.hash);
        blank |= chunk.at == 0 && chunk.zeros;
        phase.advance(chunk.bytes.len());
        Ok(Some(chunk.bytes))
    })?;
    Ok(Comparison {
        equal: chunk_hash::whole(&hashes) == meant,
        added: false,
        size,
        hash: meant,
        differences: Vec::new(),
        blank,
        unreadable: None,
        map: Vec::new(),
        seconds: phase.end(),
        rates: card_io.monitor.rates(),
    })
}

fn refused(error: anyhow::Error) -> anyhow::Error {
    match failure::kind(&error) {
        ExitKind::Verification => ExitKind::Refused.error(format!("{error:#}")),
        _ => error,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unchanged(error: anyhow::Error) -> anyhow::Error {
    failure::kind(&error).error(format!("{error:#}; nothing was written"))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::engine_fault_tests::{MIB, image};
    use super::super::fake_card::{FakeCard, Fault};
    use super::*;
    use crate::base::Silent;

    fn compared(card: &FakeCard, image: &[u8], hash: Option<blake3::Hash>) -> Result<Comparison> {
        let open = || Ok(Box::new(Cursor::new(image.to_vec())) as Box<dyn std::io::Read + Send>);
        let content = Content { size: image.len() as u64, hash, open: &open };
        let before = card.content();
        let found = compare(card, &content, None, &Silent, &AtomicBool::new(false));
        assert!(card.content() == before, "a comparison writes nothing");
        found
    }

    /// A card of 6 MiB that begins with `image`, where the bytes at `places` are others.
    fn card(image: &[u8], places: &[usize], fault: Fault) -> FakeCard {
        let mut bytes = [image, &vec![7; 6 * CHUNK - image.len()]].concat();
        for at in places {
            bytes[*at] ^= 1;
        }
        FakeCard::holding(bytes, fault)
    }

    #[track_caller]
    fn check(card: &FakeCard, image: &[u8], fault: Option<(ExitKind, &str)>, map: &[(ChunkState, u64)]) {
        let found = compared(card, image, None).unwrap();
        let words = found.fault();
        assert_eq!(words.as_ref().map(|(kind, text)| (*kind, text.as_str())), fault);
        assert_eq!(found.map.iter().map(|run| (run.state, run.mib)).collect::<Vec<_>>(), map);
        assert_eq!(found.equal, fault.is_none());
        let known = compare_hash(card, found.size, found.hash, &Silent, &AtomicBool::new(false));
        assert_eq!(known.is_ok_and(|known| known.equal), found.equal);
    }

    #[test]
    fn every_difference_is_found_and_nothing_is_written() {
        let image = image(3 * MIB + 512);
        let same = [(ChunkState::Unchanged, 4)];
        check(&card(&image, &[], Fault::None), &image, None, &same);
        check(&card(&image, &[], Fault::Short), &image, None, &same);
        // Behind the image anything may be.
        check(&card(&image, &[4 * CHUNK], Fault::None), &image, None, &same);
        let text = "does not hold the image: 1 of 4 MiB differ, at byte 3146239";
        check(
            &card(&image, &[3 * CHUNK + 511], Fault::None),
            &image,
            Some((ExitKind::Verification, text)),
            &[(ChunkState::Unchanged, 3), (ChunkState::Bad, 1)],
        );
        let text = "does not hold the image: 4 of 4 MiB differ, at byte 5, 1048583, 2097152 and more";
        let places = [5, CHUNK + 7, CHUNK + 9, 2 * CHUNK, 3 * CHUNK];
        let differs = Some((ExitKind::Verification, text));
        check(&card(&image, &places, Fault::None), &image, differs, &[(ChunkState::Bad, 4)]);
        let text =
            "could not be read everywhere: reading the card at byte 1048576: Input/output error (os error 5)";
        check(
            &card(&image, &[], Fault::ReadFails(MIB + 9)),
            &image,
            Some((ExitKind::Io, text)),
            &[(ChunkState::Unchanged, 1), (ChunkState::Bad, 1), (ChunkState::Unchanged, 2)],
        );
        let small = super::super::engine_fault_tests::image(4096);
        check(&card(&small, &[], Fault::None), &small, None, &[(ChunkState::Unchanged, 1)]);
    }

    #[test]
    fn a_flash_that_was_broken_off() {
        let image = image(2 * MIB);
        let hash = compared(&card(&image, &[], Fault::None), &image, None).unwrap().hash;
        for (zeros, blank) in [(CHUNK, true), (CHUNK - 1, false), (0, false)] {
            let card = card(&[&vec![0; zeros], &image[zeros..]].concat(), &[CHUNK + 5], Fault::None);
            assert_eq!(compared(&card, &image, None).unwrap().blank, blank, "{zeros}");
            let known =
                compare_hash(&card, image.len() as u64, hash, &Silent, &AtomicBool::new(false)).unwrap();
            assert_eq!((known.equal, known.blank), (false, blank), "{zeros}");
        }
    }

    #[test]
    fn an_image_that_is_another_says_nothing_about_the_card() {
        let image = image(2 * MIB);
        let error = compared(&card(&image, &[], Fault::None), &image, Some(blake3::hash(b"x"))).unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), failure::kind(&error)),
            ("the image file is not the one that was looked at; start again", ExitKind::Refused)
        );
    }
}
