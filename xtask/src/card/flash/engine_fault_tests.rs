//! The engine on cards in memory that misbehave: a fault that retries do not cure ends in an error, and in a card that
//! cannot boot.

use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use rustix::io::Errno;

use super::buffer::CHUNK;
use super::delta::Mode;
use super::engine::write_image;
use super::fake_card::{FakeCard, Fault};
use super::flash_job::ImageContent;
use super::report::Report;
use crate::base::failure::{ExitKind, hint, kind, with_hint};
use crate::base::{ChunkState, Event, Reporter, Silent};
use crate::card::image::chunk_hash::tests::hash;

pub const MIB: u64 = CHUNK as u64;
pub const MODES: &[Mode] = &[Mode::Auto, Mode::Full, Mode::Delta];

/// The bytes of an image. Neighbouring sectors differ.
pub fn image(size: u64) -> Vec<u8> {
    (0..size).map(|at| u8::try_from((at / 512 + at) % 251).unwrap()).collect()
}

pub fn flash(card: &FakeCard, image: &[u8], mode: Mode) -> Result<Report> {
    flash_stream(card, image, (image.len() as u64, Some(hash(image))), mode)
}

/// Flashes `stream`, which claims to have this size and hash.
fn flash_stream(
    card: &FakeCard,
    stream: &[u8],
    (size, hash): (u64, Option<blake3::Hash>),
    mode: Mode,
) -> Result<Report> {
    let open = || Ok(Box::new(Cursor::new(stream.to_vec())) as Box<dyn Read + Send>);
    write_image(card, &ImageContent { size, hash, open: &open }, None, mode, &Silent, &AtomicBool::new(false))
}

#[test]
fn every_fault_is_reported_and_leaves_a_blank_head() {
    let image = image(7 * MIB);
    let blank = "the first MiB of the card is blank";
    for (fault, expected_kind, text) in [
        (Fault::WriteFails(3 * MIB + 5, Errno::IO), ExitKind::Io, "writing the card at byte 3145728"),
        (Fault::WriteFails(3 * MIB + 9000, Errno::NOSPC), ExitKind::Io, "holds less than it claims"),
        (
            Fault::ReadFails(4 * MIB + 5000),
            ExitKind::Io,
            "reading the card at byte 4194304: Input/output error, after 3 retries",
        ),
        (
            Fault::Lost(2 * MIB + 5000),
            ExitKind::Verification,
            "1 of 7 MiB differ from the image, at byte 2097152, after 3 retries",
        ),
        (
            Fault::Flipped(5 * MIB + 5000),
            ExitKind::Verification,
            "1 of 7 MiB differ from the image, at byte 5242880",
        ),
        (
            Fault::FlippedTimes(5 * MIB + 5000, 4),
            ExitKind::Verification,
            "1 of 7 MiB differ from the image, at byte 5242880",
        ),
        (Fault::Wraps(4 * MIB), ExitKind::Verification, "the card is suspect: it claims 10.0 MiB"),
        (Fault::Wraps(8 * MIB), ExitKind::Verification, "does not keep what is written at byte 1048576"),
        (Fault::Drops(6 * MIB), ExitKind::Verification, "does not keep what is written at byte 6291456"),
        (Fault::Drops(9 * MIB + 500_000), ExitKind::Verification, "(1 of 10 probes failed)"),
    ] {
        for &mode in MODES {
            let card = FakeCard::new(10 * MIB, fault);
            let error = flash(&card, &image, mode).unwrap_err();
            let message = with_hint(&error);
            assert!(message.contains(text) && message.contains(blank), "{fault:?} {mode}: {message}");
            assert_eq!(kind(&error), expected_kind, "{fault:?} {mode}: {message}");
            assert!(hint(&error).is_some(), "{fault:?} {mode}: {message}");
            assert!(card.head_is_blank(), "{fault:?} {mode}");
        }
    }
}

#[test]
fn a_chunk_that_verifies_after_a_retry_is_healed() {
    let image = image(7 * MIB);
    for (fault, retries) in [
        (Fault::FlippedTimes(5 * MIB + 5000, 1), 1),
        (Fault::FlippedTimes(5 * MIB + 5000, 3), 3),
        (Fault::ReadFailsTimes(5 * MIB + 5000, 2), 2),
    ] {
        let card = FakeCard::new(10 * MIB, fault);
        let report = flash(&card, &image, Mode::Full).unwrap();
        assert!(card.content().starts_with(&image), "{fault:?}");
        let healed = report.map.iter().find(|run| run.state == ChunkState::Healed).map(|run| run.mib);
        assert_eq!((report.retries, healed), (retries, Some(1)), "{fault:?}");
    }
}

#[test]
fn a_chunk_that_cannot_be_read_is_written() {
    let image = image(7 * MIB);
    let card = FakeCard::new(10 * MIB, Fault::ReadFailsTimes(5 * MIB + 5000, 1));
    let report = flash(&card, &image, Mode::Delta).unwrap();
    assert!(card.content().starts_with(&image) && report.retries == 0);
}

#[test]
fn the_error_tells_that_the_head_could_not_be_blanked() {
    for (fault, text) in [
        (Fault::WriteFails(7, Errno::PERM), "check the write-protect switch of the card"),
        (Fault::SyncFails, "syncing the card"),
        (Fault::Lost(0), "the card does not hold the bytes written at byte 0"),
        (Fault::Flipped(9), "the card does not hold the bytes written at byte 0"),
    ] {
        let error = flash(&FakeCard::new(8 * MIB, fault), &image(6 * MIB), Mode::Auto).unwrap_err();
        let message = with_hint(&error);
        assert!(message.contains(text), "{fault:?}: {message}");
        assert!(message.contains("could not be blanked: do not boot from it"), "{fault:?}: {message}");
    }
}

#[test]
fn a_head_that_was_blanked_before_the_card_was_unplugged_is_blank() {
    for writes in [4, 20] {
        let card = FakeCard::new(8 * MIB, Fault::Unplugged(writes));
        let error = flash(&card, &image(6 * MIB), Mode::Auto).unwrap_err();
        assert!(error.to_string().ends_with("is blank, so it will not boot"), "{error}");
        let expected = "check whether the card was unplugged; then flash the card again";
        assert_eq!(hint(&error), Some(expected), "{error}");
        assert!(card.head_is_blank());
    }
}

/// Exit code 3 means that nothing was written, whichever check fails midway.
#[test]
fn nothing_is_refused_once_a_byte_was_written() {
    let image = image(2 * MIB);
    let mut stopped = 0;
    for checks in 0..30 {
        let card = FakeCard::new(3 * MIB, Fault::TakenAfter(checks));
        let Err(error) = flash(&card, &image, Mode::Auto) else { continue };
        let message = error.to_string();
        let unchanged = card.content().iter().all(|byte| *byte == 0xee);
        assert!(message.starts_with("the card is in use: loop9"), "{message}");
        assert_eq!(kind(&error) == ExitKind::Refused, unchanged, "{checks}: {message}");
        assert_eq!(kind(&error) == ExitKind::Io, !unchanged, "{checks}: {message}");
        assert_eq!(card.written_in_use(), 0, "{checks}");
        assert!(unchanged || card.content()[..4096].iter().all(|byte| *byte == 0), "{checks}: {message}");
        stopped += 1;
    }
    assert!((10..30).contains(&stopped), "{stopped}");
}

#[test]
fn an_image_that_is_not_what_it_claims_fails() {
    let image = image(3 * MIB);
    let hash = Some(hash(&image));
    let changed = [&image[..512], &image[..(3 * CHUNK - 512)]].concat();
    for (stream, size, hash, text) in [
        (&image, 2 * MIB, None, "the image is longer than the 2097152 bytes it claims"),
        (&image, 4 * MIB, None, "the image ends at byte 3145728, but claims 4194304 bytes"),
        (&changed, 3 * MIB, hash, "the image has changed since it was checked"),
    ] {
        let card = FakeCard::new(8 * MIB, Fault::None);
        let error = flash_stream(&card, stream, (size, hash), Mode::Auto).unwrap_err();
        assert!(error.to_string().contains(text) && hint(&error).is_some(), "{error}");
        assert_eq!(kind(&error), ExitKind::Verification);
        assert!(card.head_is_blank());
    }
}

#[test]
fn an_image_that_does_not_fit_changes_nothing() {
    let card = FakeCard::new(2 * MIB, Fault::None);
    let error = flash(&card, &image(3 * MIB), Mode::Auto).unwrap_err();
    assert_eq!(error.to_string(), "the image has 3145728 bytes and the card only 2097152");
    assert!(card.content().iter().all(|byte| *byte == 0xee));
}

/// Asks to stop, by setting the flag, when the phase of this name begins.
struct CancelAt<'a>(&'a str, &'a AtomicBool);

impl Reporter for CancelAt<'_> {
    fn report(&self, event: &Event) {
        if matches!(event, Event::Phase { name, .. } if name == self.0) {
            self.1.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn stopping_in_any_phase_leaves_a_blank_head() {
    let image = image(3 * MIB);
    let open = || Ok(Box::new(Cursor::new(image.clone())) as Box<dyn Read + Send>);
    let content = ImageContent { size: 3 * MIB, hash: None, open: &open };
    for phase in ["capacity", "write", "verify"] {
        let card = FakeCard::new(4 * MIB, Fault::None);
        let cancel = AtomicBool::new(false);
        let reporter = CancelAt(phase, &cancel);
        let error = write_image(&card, &content, None, Mode::Auto, &reporter, &cancel).unwrap_err();
        assert_eq!(kind(&error), ExitKind::Interrupted, "{phase}");
        assert!(error.to_string().ends_with("will not boot"), "{error}");
        assert_eq!(hint(&error), Some("run the same command again"), "{phase}");
        assert!(card.head_is_blank(), "{phase}");
        // The probes of the capacity check are gone.
        assert!(card.content()[3 * CHUNK..3 * CHUNK + 512].iter().all(|byte| [0, 0xee].contains(byte)));
    }
}
