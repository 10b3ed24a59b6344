//! Comparing cards in memory with images.

use std::io::Cursor;

use std::sync::atomic::AtomicBool;

use anyhow::Result;

use super::buffer::CHUNK;
use super::compare::{compare, compare_hash};
use super::comparison::Comparison;
use super::engine_fault_tests::{MIB, image};
use super::fake_card::{FakeCard, Fault};
use super::flash_job::ImageContent;
use crate::base::failure::{self, ExitKind};
use crate::base::{ChunkState, Silent};

/// Compares `card` with `image`, whose content has `hash` if that is known.
fn compare_image(card: &FakeCard, image: &[u8], hash: Option<blake3::Hash>) -> Result<Comparison> {
    let open = || Ok(Box::new(Cursor::new(image.to_vec())) as Box<dyn std::io::Read + Send>);
    let content = ImageContent { size: image.len() as u64, hash, open: &open };
    let before = card.content();
    let found = compare(card, &content, None, &Silent, &AtomicBool::new(false));
    assert!(card.content() == before, "a comparison writes nothing");
    found
}

/// A card of 6 MiB that begins with `image`, apart from the bytes at `differences`.
fn card(image: &[u8], differences: &[usize], fault: Fault) -> FakeCard {
    let mut bytes = [image, &vec![7; 6 * CHUNK - image.len()]].concat();
    for at in differences {
        bytes[*at] ^= 1;
    }
    FakeCard::with_content(bytes, fault)
}

#[track_caller]
fn check(card: &FakeCard, image: &[u8], fault: Option<(ExitKind, &str)>, map: &[(ChunkState, u64)]) {
    let found = compare_image(card, image, None).unwrap();
    let found_fault = found.fault();
    assert_eq!(found_fault.as_ref().map(|(kind, text)| (*kind, text.as_str())), fault);
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
    check(&card(&image, &[], Fault::ShortTransfers), &image, None, &same);
    // Behind the image, a card may hold anything.
    check(&card(&image, &[4 * CHUNK], Fault::None), &image, None, &same);
    let text = "does not hold the image: 1 of 4 MiB differ, at byte 3146239";
    check(
        &card(&image, &[3 * CHUNK + 511], Fault::None),
        &image,
        Some((ExitKind::Verification, text)),
        &[(ChunkState::Unchanged, 3), (ChunkState::Bad, 1)],
    );
    let four_chunks = "does not hold the image: 4 of 4 MiB differ, at byte 5, 1048583, 2097152 and more";
    let differences = [5, CHUNK + 7, CHUNK + 9, 2 * CHUNK, 3 * CHUNK];
    let differs = Some((ExitKind::Verification, four_chunks));
    check(&card(&image, &differences, Fault::None), &image, differs, &[(ChunkState::Bad, 4)]);
    let unreadable =
        "could not be read everywhere: reading the card at byte 1048576: Input/output error (os error 5)";
    check(
        &card(&image, &[], Fault::ReadFails(MIB + 9)),
        &image,
        Some((ExitKind::Io, unreadable)),
        &[(ChunkState::Unchanged, 1), (ChunkState::Bad, 1), (ChunkState::Unchanged, 2)],
    );
    let small = super::engine_fault_tests::image(4096);
    check(&card(&small, &[], Fault::None), &small, None, &[(ChunkState::Unchanged, 1)]);
}

#[test]
fn a_blank_head_is_found() {
    let image = image(2 * MIB);
    let hash = compare_image(&card(&image, &[], Fault::None), &image, None).unwrap().hash;
    for (zeros, blank) in [(CHUNK, true), (CHUNK - 1, false), (0, false)] {
        let card = card(&[&vec![0; zeros], &image[zeros..]].concat(), &[CHUNK + 5], Fault::None);
        assert_eq!(compare_image(&card, &image, None).unwrap().blank, blank, "{zeros}");
        let known = compare_hash(&card, image.len() as u64, hash, &Silent, &AtomicBool::new(false)).unwrap();
        assert_eq!((known.equal, known.blank), (false, blank), "{zeros}");
    }
}

#[test]
fn a_changed_image_is_no_verdict_about_the_card() {
    let image = image(2 * MIB);
    let error = compare_image(&card(&image, &[], Fault::None), &image, Some(blake3::hash(b"x"))).unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), failure::kind(&error)),
        ("the image file has changed since it was checked", ExitKind::Refused)
    );
}

/// `head -c SIZE DEVICE | sha256sum` prints the same.
#[test]
fn the_sum_is_that_of_the_beginning_of_the_card() {
    let image = image(2 * MIB + 512);
    let sha256 = |bytes: &[u8]| {
        let sum = <sha2::Sha256 as sha2::Digest>::digest(bytes);
        Some(sum.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    };
    for differences in [&[][..], &[7, CHUNK]] {
        let card = card(&image, differences, Fault::None);
        let expected = sha256(&card.content()[..image.len()]);
        let found = compare_image(&card, &image, None).unwrap();
        assert_eq!(found.card_sha256, expected);
        let known = compare_hash(&card, found.size, found.hash, &Silent, &AtomicBool::new(false)).unwrap();
        assert_eq!(known.card_sha256, expected);
    }
}

#[test]
fn a_card_that_cannot_be_read_everywhere_has_no_sum() {
    let image = image(2 * MIB + 512);
    assert_eq!(
        compare_image(&card(&image, &[], Fault::ReadFails(MIB)), &image, None).unwrap().card_sha256,
        None
    );
}
