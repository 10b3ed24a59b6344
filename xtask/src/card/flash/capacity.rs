//! Whether a card is as large as it says. Counterfeit cards claim more than they hold: what is written
//! beyond their end is dropped, or lands at another place. It matters beyond the image too, since the first
//! boot grows the file system over the whole card.
//!
//! A stamp that cannot be guessed is written to places all over the card, synced, and read back from the
//! card. That finds a suspect, it is no proof: a card can always lie in a way that nobody looked for.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

use super::buffer::{Buffer, CHUNK};
use super::card::Card;
use super::card_io::{CardIo, Read};
use super::io_monitor::{self, STALL_TIMEOUT};
use crate::base::failure::ExitKind;
use crate::base::{Bytes, Event, Reporter};

/// The size of a stamp in bytes: a page, which every card writes at once.
const STAMP: usize = 4096;
/// How finely places are spread over the card at least: its size over this.
const FINENESS: u64 = 1024;
/// So many places side by side, and so many steps of that width: their differences are all multiples of
/// the finest step, so that a card that wraps at one of them puts two stamps on the same place.
const STEPS: u64 = 32;

/// What is added to the error of a check that has left no trace.
const BACK: &str = "; what was there is back in its place";

/// Stamps the card all over, and puts back what was there. Returns at how many places that was.
///
/// # Errors
/// Of [`ExitKind::Verification`] where stamps do not stay; otherwise what goes wrong, and the request to stop.
pub fn check(card_io: &CardIo, reporter: &dyn Reporter, cancel: &AtomicBool) -> Result<usize> {
    checked(card_io, reporter, cancel, "")
}

/// The same for a card that is not written otherwise: the error says whether anything was changed.
pub fn check_alone(card: &dyn Card, reporter: &dyn Reporter, cancel: &AtomicBool) -> Result<usize> {
    let card_io = CardIo::new(card);
    if places(card_io.size()).is_empty() {
        let text = format!("a card of {} bytes is too small for this check", card_io.size());
        return Err(ExitKind::Refused.error(text));
    }
    io_monitor::with_stall_watchdog(&card_io.monitor, reporter, STALL_TIMEOUT, || {
        checked(&card_io, reporter, cancel, BACK)
    })
}

fn checked(card_io: &CardIo, reporter: &dyn Reporter, cancel: &AtomicBool, back: &str) -> Result<usize> {
    let places = places(card_io.size());
    let total = Some(places.len() as u64);
    let begin = std::time::Instant::now();
    reporter.report(&Event::Phase { name: "capacity".into(), total, bytes: false });
    let before = places.iter().map(|at| old(card_io, *at)).collect::<Result<Vec<_>>>()?;
    let stamped = stamp(card_io, &places, cancel);
    // Whatever became of the stamps, and before anything is said about it.
    let restored = put_back(card_io, &places, &before);
    match (stamped.and_then(|lost| judge(card_io.size(), lost, places.len())), restored) {
        (Ok(()), restored) => restored?,
        (Err(error), restored) => {
            let state = restored.map_or_else(unrestored, |()| back.to_owned());
            return Err(card_io.kind_of(&error).error(format!("{error:#}{state}")));
        }
    }
    let (count, seconds) = (places.len(), begin.elapsed().as_secs_f64());
    let text = format!("what is written stays, at {count} places all over the card ({seconds:.1} s)");
    reporter.report(&Event::Found { name: "capacity".into(), text });
    Ok(count)
}

/// The error for a card on which stamps were lost, if any were.
fn judge(size: u64, lost: Lost, all: usize) -> Result<()> {
    if let Some(error) = lost.unreadable {
        let text = "though it was just written, twice; the card is broken, or holds less than it says";
        return Err(ExitKind::Io.error(format!("{error:#}, {text}")));
    }
    lost.places.first().map_or(Ok(()), |first| Err(suspect(size, *first, lost.places.len(), all)))
}

/// Writes what was there `before` at all places, also behind one that fails, and reads it back.
fn put_back(card_io: &CardIo, places: &[u64], before: &[Buffer]) -> Result<()> {
    // In reverse order: what was written last lies on top where places are the same.
    let writes = places.iter().zip(before).rev().map(|(at, old)| card_io.write_all(old, *at));
    let written = writes.fold(Ok(()), Result::and);
    written.and(card_io.sync())?;
    let mut block = Buffer::small(STAMP)?;
    for (at, old) in places.iter().zip(before) {
        if matches!(card_io.read_or_unreadable(&mut block, *at)?, Read::Unreadable(_)) || *block != **old {
            let text = format!("the card does not hold at byte {at} what it held before");
            return Err(ExitKind::Verification.error(text));
        }
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_or_else`")]
fn unrestored(error: anyhow::Error) -> String {
    format!("; what was there could not be put back: {error:#}")
}

/// Places whose stamps did not stay, and what the card said where it could not read one.
#[derive(Default)]
struct Lost {
    places: Vec<u64>,
    unreadable: Option<anyhow::Error>,
}

/// The places whose stamps did not stay, twice: a single write may be lost on an honest card.
fn stamp(card_io: &CardIo, places: &[u64], cancel: &AtomicBool) -> Result<Lost> {
    let lost = stamp_once(card_io, places, cancel)?;
    if lost.places.is_empty() { Ok(lost) } else { stamp_once(card_io, places, cancel) }
}

fn stamp_once(card_io: &CardIo, places: &[u64], cancel: &AtomicBool) -> Result<Lost> {
    let mut salt = [0; 32];
    rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty())?;
    for at in places {
        if cancel.load(Ordering::Relaxed) {
            return Err(ExitKind::Interrupted.error("stopped while the card's capacity was checked"));
        }
        card_io.write_all(&stamp_for(&salt, *at)?, *at)?;
    }
    card_io.sync()?;
    let (mut lost, mut block) = (Lost::default(), Buffer::small(STAMP)?);
    for at in places {
        let read = card_io.read_or_unreadable(&mut block, *at)?;
        if *block != *stamp_for(&salt, *at)? || matches!(read, Read::Unreadable(_)) {
            lost.places.push(*at);
        }
        if let Read::Unreadable(error) = read {
            lost.unreadable.get_or_insert(error);
        }
    }
    Ok(lost)
}

/// What the card holds at a place; zeros where it cannot read it.
fn old(card_io: &CardIo, at: u64) -> Result<Buffer> {
    let mut block = Buffer::small(STAMP)?;
    if let Read::Unreadable(_) = card_io.read_or_unreadable(&mut block, at)? {
        block.fill(0);
    }
    Ok(block)
}

fn stamp_for(salt: &[u8; 32], at: u64) -> Result<Buffer> {
    let mut stamp = Buffer::small(STAMP)?;
    blake3::Hasher::new_keyed(salt).update(&at.to_le_bytes()).finalize_xof().fill(&mut stamp);
    Ok(stamp)
}

fn suspect(size: u64, first: u64, wrong: usize, all: usize) -> anyhow::Error {
    ExitKind::Verification.error(format!(
        "the card is suspect: it says that it holds {} ({size} bytes), and what is written at byte {first} does not \
         stay there ({wrong} of {all} places tried); counterfeit cards do that, use another one",
        Bytes(size)
    ))
}

/// Where to stamp a card of `size` bytes, in ascending order: at the powers of two and three times those,
/// at the steps whose differences cover all multiples of the finest one, and at its very end. All of it is
/// moved up by one MiB: the head of a card that is being flashed stays blank.
fn places(size: u64) -> Vec<u64> {
    let chunk = CHUNK as u64;
    let room = (size / chunk).saturating_sub(1);
    let finest = room.div_ceil(FINENESS).max(1).next_power_of_two();
    let powers = (0..48).flat_map(|power| [1 << power, 3 << power]);
    let steps = (0..STEPS).flat_map(|step| [step * finest, step * finest * STEPS]);
    let indices = powers.chain(steps).chain(room.checked_sub(1)).filter(|index| *index < room);
    let mut places = indices.map(|index| (index + 1) * chunk).collect::<BTreeSet<_>>();
    if room > 0 {
        places.insert((size - STAMP as u64) / 512 * 512);
    }
    places.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::fake_card::{FakeCard, Fault};
    use super::*;
    use crate::base::{Silent, failure};

    const MIB: u64 = CHUNK as u64;

    /// A card of 12 MiB with this fault, checked alone, and the error.
    fn checked_alone(fault: Fault, stopped: bool) -> (FakeCard, Option<(ExitKind, String)>) {
        let bytes = (0..12 * MIB).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let card = FakeCard::holding(bytes, fault);
        let done = check_alone(&card, &Silent, &AtomicBool::new(stopped));
        (card, done.err().map(|error| (failure::kind(&error), error.to_string())))
    }

    #[test]
    fn whatever_happens_what_was_there_is_back() {
        let before = checked_alone(Fault::None, false).0.content();
        let suspect = "use another one; what was there is back in its place";
        for (fault, stopped, kind, end) in [
            (Fault::Wraps(4 * MIB), false, ExitKind::Verification, suspect),
            (Fault::Drops(9 * MIB), false, ExitKind::Verification, suspect),
            (
                Fault::None,
                true,
                ExitKind::Interrupted,
                "stopped while the card's capacity was checked; what was there is back in its place",
            ),
        ] {
            let (card, error) = checked_alone(fault, stopped);
            let (found, text) = error.unwrap();
            assert!(found == kind && text.ends_with(end), "{fault:?}: {text}");
            assert!(card.content() == before, "{fault:?}");
        }
        assert_eq!(checked_alone(Fault::None, false).1, None);
        assert_eq!(checked_alone(Fault::Short, false).1, None);
    }

    #[test]
    fn one_place_that_fails_does_not_keep_the_others_from_being_restored() {
        let before = checked_alone(Fault::None, false).0.content();
        let (card, error) = checked_alone(Fault::WriteFails(7 * MIB, rustix::io::Errno::IO), false);
        let failed = "writing the card at byte 7340032: Input/output error (os error 5)";
        let text = format!("{failed}; what was there could not be put back: {failed}");
        assert_eq!(error, Some((ExitKind::Io, text)));
        assert!(card.content() == before);
        let error = check_alone(&FakeCard::new(MIB, Fault::None), &Silent, &AtomicBool::new(false));
        assert_eq!(error.unwrap_err().to_string(), "a card of 1048576 bytes is too small for this check");
    }

    /// Whether two stamps share a place on a card of `size` that wraps at `at`.
    fn seen(size: u64, at: u64) -> bool {
        let places = places(size);
        let real = places.iter().map(|place| place % at).collect::<BTreeSet<_>>();
        real.len() < places.len()
    }

    #[test]
    fn a_card_of_any_size_is_stamped_to_its_end() {
        for size in [512, MIB, 2 * MIB - 512] {
            assert_eq!(places(size), [0; 0], "{size}");
        }
        for size in [2 * MIB, 3 * MIB + 512, 64 * MIB, 640 * MIB, 31_914_983_424, 512_110_190_592, 2 << 40] {
            let places = places(size);
            assert!(places.len() <= 110 && places.is_sorted(), "{size}: {}", places.len());
            assert!(places[0] == MIB && *places.last().unwrap() + 4608 > size, "{size}");
        }
    }

    #[test]
    fn every_wrap_of_a_small_card_is_seen() {
        for size in [8 * MIB, 100 * MIB, 1024 * MIB] {
            for at in 1..size / MIB - 1 {
                assert!(seen(size, at * MIB), "{size} {at}");
            }
        }
    }

    #[test]
    fn wraps_of_a_large_card_are_seen() {
        let size = 31_914_983_424;
        for at in [1 << 30, 2 << 30, 3 << 30, 4 << 30, 7 << 30, 8 << 30, 16 << 30, 24 << 30, 500 * 32 * MIB] {
            assert!(seen(size, at), "{at}");
        }
        // Erase blocks are of 4 MiB and more, and capacities are multiples of many of them.
        let wraps = (1..size / (32 * MIB)).filter(|at| !seen(size, at * 32 * MIB)).count();
        assert!(wraps < 30, "{wraps} of {}", size / (32 * MIB));
    }
}
