//! The capacity check: whether a card holds as much as it claims. Counterfeit cards claim more: they drop what is
//! written beyond their real end, or write it elsewhere. The capacity behind the image matters too, because the first
//! boot grows the file system over the whole card.
//!
//! The check writes probes with unpredictable content all over the card, syncs, and reads them back. It finds suspect
//! cards but proves none genuine: a card can always cheat in a way that no check expects.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

use super::buffer::{Buffer, CHUNK};
use super::card::Card;
use super::card_io::{BROKEN_CARD, CardIo, Read};
use super::io_monitor::{self, STALL_TIMEOUT};
use crate::base::{Bytes, Reporter, RunningPhase};
use crate::{bail, failure};

/// The size of a capacity probe in bytes: a page, which every card writes in one piece.
const PROBE_SIZE: usize = 4096;
/// The finest step between probes is at least the size of the card divided by this.
const MAX_STEPS: u64 = 1024;
/// The number of probes in each of two rows. Neighbours in the first row are one finest step apart, those in the second
/// row this many. Every multiple of the finest step on the card is the difference of two probes, so a card that wraps
/// at such a multiple writes two probes to one position.
const STEPS: u64 = 32;

/// The note on an error after which the card was restored.
const RESTORED: &str = "; the card holds again what it held before";

/// The note on an error of a flash, which writes the card anyhow.
const NO_NOTE: &str = "";

/// Writes capacity probes all over the card, checks them, and restores what the card held. Returns the number of
/// probes.
///
/// # Errors
/// Of `ExitKind::Verification` where the card does not keep probes; otherwise any failure, and the request to stop.
pub fn check(card_io: &CardIo, reporter: &dyn Reporter, cancel: &AtomicBool) -> Result<usize> {
    run(card_io, reporter, cancel, NO_NOTE)
}

/// As [`check`], for a command that writes nothing else: errors say whether the card was restored. Refuses a card that
/// is too small for a probe.
pub fn check_alone(card: &dyn Card, reporter: &dyn Reporter, cancel: &AtomicBool) -> Result<usize> {
    let card_io = CardIo::new(card);
    if probe_positions(card_io.size()).is_empty() {
        bail!(Refused(TooSmall), "a card of {} bytes is too small for the capacity check", card_io.size());
    }
    io_monitor::with_stall_watchdog(&card_io.monitor, reporter, STALL_TIMEOUT, || {
        run(&card_io, reporter, cancel, RESTORED)
    })
}

/// Does the check and returns the number of probes. Errors after which the card was restored end in `restored_note`.
fn run(card_io: &CardIo, reporter: &dyn Reporter, cancel: &AtomicBool, restored_note: &str) -> Result<usize> {
    let positions = probe_positions(card_io.size());
    let count = positions.len();
    let phase = RunningPhase::begin_with(reporter, "capacity", Some(count as u64), false);
    let before = positions.iter().map(|at| read_or_zeros(card_io, *at)).collect::<Result<Vec<_>>>()?;
    let failed = write_and_check_probes(card_io, &positions, cancel);
    let checked = failed.and_then(|failed| check_failed_probes(card_io.size(), failed, count));
    // The card is restored whatever became of the probes.
    let restored = restore(card_io, &positions, &before);
    if let Err(error) = checked {
        let note = match restored {
            Ok(()) => restored_note.to_owned(),
            Err(error) => format!("; restoring what the card held failed: {error:#}"),
        };
        return Err(card_io.kind_of(&error).error_with_hint_of(format_args!("{error:#}{note}"), &error));
    }
    restored?;
    let seconds = phase.seconds();
    phase.end_with(format!("ok: {count} probes read back ({seconds:.1} s)"));
    Ok(count)
}

/// Fails where some of `all` probes on a card of `size` bytes `failed`.
fn check_failed_probes(size: u64, failed: FailedProbes, all: usize) -> Result<()> {
    if let Some(error) = failed.read_error {
        bail!(
            Io, "{error:#}, though the card was written there twice";
            hint: "the card is broken, or holds less than it claims: use another one"
        );
    }
    match failed.positions.first() {
        Some(first) => Err(counterfeit_error(size, *first, failed.positions.len(), all)),
        None => Ok(()),
    }
}

/// Writes back what the card held `before` at all positions, even where one of them fails, and verifies it.
fn restore(card_io: &CardIo, positions: &[u64], before: &[Buffer]) -> Result<()> {
    // In reverse order: where positions share a place on the card, the lowest one is written last.
    let mut written = Ok(());
    for (at, old) in positions.iter().zip(before).rev() {
        // All positions are written; the first error counts.
        written = written.and(card_io.write_all(old, *at));
    }
    written.and(card_io.sync())?;
    let mut block = Buffer::with_len(PROBE_SIZE)?;
    for (at, old) in positions.iter().zip(before) {
        if matches!(card_io.read_or_unreadable(&mut block, *at)?, Read::Unreadable(_)) || *block != **old {
            bail!(Verification, "the card does not hold at byte {at} what it held before"; hint: "{BROKEN_CARD}");
        }
    }
    Ok(())
}

/// Probes that the card did not keep.
#[derive(Default)]
struct FailedProbes {
    /// The positions of the probes, in bytes.
    positions: Vec<u64>,
    /// The first read error of the card, if it could not read one of them.
    read_error: Option<anyhow::Error>,
}

/// Writes probes and returns those that failed. Where some failed, tries all of them once more, and returns those of
/// the second attempt: a genuine card may lose a single write.
fn write_and_check_probes(card_io: &CardIo, positions: &[u64], cancel: &AtomicBool) -> Result<FailedProbes> {
    let failed = probe_once(card_io, positions, cancel)?;
    if failed.positions.is_empty() { Ok(failed) } else { probe_once(card_io, positions, cancel) }
}

/// Writes a new probe to each position, syncs, and returns the probes that the card did not keep.
fn probe_once(card_io: &CardIo, positions: &[u64], cancel: &AtomicBool) -> Result<FailedProbes> {
    let mut salt = [0; 32];
    rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty())?;
    for at in positions {
        if cancel.load(Ordering::Relaxed) {
            bail!(Interrupted, "stopped during the capacity check");
        }
        card_io.write_all(&probe_for(&salt, *at)?, *at)?;
    }
    card_io.sync()?;
    let mut failed = FailedProbes::default();
    let mut block = Buffer::with_len(PROBE_SIZE)?;
    for at in positions {
        let read = card_io.read_or_unreadable(&mut block, *at)?;
        if *block != *probe_for(&salt, *at)? || matches!(read, Read::Unreadable(_)) {
            failed.positions.push(*at);
        }
        if let Read::Unreadable(error) = read {
            failed.read_error.get_or_insert(error);
        }
    }
    Ok(failed)
}

/// What the card holds at byte `at`; zeros where it cannot be read.
fn read_or_zeros(card_io: &CardIo, at: u64) -> Result<Buffer> {
    let mut block = Buffer::with_len(PROBE_SIZE)?;
    if let Read::Unreadable(_) = card_io.read_or_unreadable(&mut block, at)? {
        block.fill(0);
    }
    Ok(block)
}

/// The probe for byte `at`: unpredictable without `salt`, and different for each position.
fn probe_for(salt: &[u8; 32], at: u64) -> Result<Buffer> {
    let mut probe = Buffer::with_len(PROBE_SIZE)?;
    blake3::Hasher::new_keyed(salt).update(&at.to_le_bytes()).finalize_xof().fill(&mut probe);
    Ok(probe)
}

/// The error for a card of `size` bytes that did not keep `failed` of `all` probes, the first at byte `first`.
fn counterfeit_error(size: u64, first: u64, failed: usize, all: usize) -> anyhow::Error {
    failure!(
        Verification,
        "the card is suspect: it claims {} ({size} bytes), but does not keep what is written at byte {first} \
         ({failed} of {all} probes failed)",
        Bytes(size);
        hint: "counterfeit cards do this: use another one"
    )
}

/// The positions of the probes on a card of `size` bytes, in ascending order: the starts of some MiB behind the head,
/// which stays blank during a flash, and the last bytes of the card. Counted from 0 behind the head, these MiB are
/// - the powers of two, and three times those,
/// - the two rows of [`STEPS`],
/// - the last whole MiB of the card.
fn probe_positions(size: u64) -> Vec<u64> {
    let chunk = CHUNK as u64;
    let chunks = (size / chunk).saturating_sub(1);
    let finest = chunks.div_ceil(MAX_STEPS).max(1).next_power_of_two();
    // No card has 2^48 MiB.
    let powers = (0..48).flat_map(|power| [1 << power, 3 << power]);
    let rows = (0..STEPS).flat_map(|step| [step * finest, step * finest * STEPS]);
    let indices = powers.chain(rows).chain(chunks.checked_sub(1)).filter(|index| *index < chunks);
    let mut positions = indices.map(|index| (index + 1) * chunk).collect::<BTreeSet<_>>();
    if chunks > 0 {
        positions.insert((size - PROBE_SIZE as u64) / 512 * 512);
    }
    positions.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::fake_card::{FakeCard, Fault};
    use super::*;
    use crate::base::Silent;
    use crate::base::failure::ExitKind;

    const MIB: u64 = CHUNK as u64;

    /// A card of 12 MiB with this fault after a check, and the kind and the text of the error. A check that is
    /// `stopped` was asked to stop before it began.
    fn check_alone_on(fault: Fault, stopped: bool) -> (FakeCard, Option<(ExitKind, String)>) {
        let bytes = (0..12 * MIB).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let card = FakeCard::with_content(bytes, fault);
        let done = check_alone(&card, &Silent, &AtomicBool::new(stopped));
        (card, done.err().map(|error| (failure::kind(&error), error.to_string())))
    }

    #[test]
    fn a_genuine_card_passes_and_any_card_is_restored_whatever_fails() {
        let before = check_alone_on(Fault::None, false).0.content();
        let suspect = "probes failed); the card holds again what it held before";
        for (fault, stopped, kind, end) in [
            (Fault::Wraps(4 * MIB), false, ExitKind::Verification, suspect),
            (Fault::Drops(9 * MIB), false, ExitKind::Verification, suspect),
            (
                Fault::None,
                true,
                ExitKind::Interrupted,
                "stopped during the capacity check; the card holds again what it held before",
            ),
        ] {
            let (card, error) = check_alone_on(fault, stopped);
            let (found, text) = error.unwrap();
            assert!(found == kind && text.ends_with(end), "{fault:?}: {text}");
            assert!(card.content() == before, "{fault:?}");
        }
        assert_eq!(check_alone_on(Fault::None, false).1, None);
        assert_eq!(check_alone_on(Fault::ShortTransfers, false).1, None);
    }

    #[test]
    fn a_position_that_fails_does_not_keep_the_others_from_being_restored() {
        let before = check_alone_on(Fault::None, false).0.content();
        let (card, error) = check_alone_on(Fault::WriteFails(7 * MIB, rustix::io::Errno::IO), false);
        let failed = "writing the card at byte 7340032: Input/output error (os error 5)";
        let text = format!("{failed}; restoring what the card held failed: {failed}");
        assert_eq!(error, Some((ExitKind::Io, text)));
        assert!(card.content() == before);
    }

    #[test]
    fn a_card_that_is_too_small_for_a_probe_is_refused() {
        let error = check_alone(&FakeCard::new(MIB, Fault::None), &Silent, &AtomicBool::new(false));
        assert_eq!(
            error.unwrap_err().to_string(),
            "a card of 1048576 bytes is too small for the capacity check"
        );
    }

    /// Whether two probes share a position on a card that claims `size` bytes and wraps at byte `at`.
    fn is_wrap_found(size: u64, at: u64) -> bool {
        let positions = probe_positions(size);
        let real = positions.iter().map(|position| position % at).collect::<BTreeSet<_>>();
        real.len() < positions.len()
    }

    #[test]
    fn a_card_of_2_mib_or_more_is_probed_to_its_end() {
        for size in [512, MIB, 2 * MIB - 512] {
            assert_eq!(probe_positions(size), [0; 0], "{size}");
        }
        for size in [2 * MIB, 3 * MIB + 512, 64 * MIB, 640 * MIB, 31_914_983_424, 512_110_190_592, 2 << 40] {
            let positions = probe_positions(size);
            assert!(positions.len() <= 110 && positions.is_sorted(), "{size}: {}", positions.len());
            assert!(positions[0] == MIB && *positions.last().unwrap() + 4096 + 512 > size, "{size}");
        }
    }

    #[test]
    fn every_wrap_of_a_small_card_is_found() {
        for size in [8 * MIB, 100 * MIB, 1024 * MIB] {
            for at in 1..size / MIB - 1 {
                assert!(is_wrap_found(size, at * MIB), "{size} {at}");
            }
        }
    }

    #[test]
    fn nearly_all_wraps_of_a_large_card_are_found() {
        let size = 31_914_983_424;
        for at in [1 << 30, 2 << 30, 3 << 30, 4 << 30, 7 << 30, 8 << 30, 16 << 30, 24 << 30, 500 * 32 * MIB] {
            assert!(is_wrap_found(size, at), "{at}");
        }
        // Erase blocks are of 4 MiB and more, and capacities are multiples of many of them.
        let missed = (1..size / (32 * MIB)).filter(|at| !is_wrap_found(size, at * 32 * MIB)).count();
        assert!(missed < 30, "{missed} of {}", size / (32 * MIB));
    }
}
