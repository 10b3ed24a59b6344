//! The engine on genuine cards: whatever they held and in whatever mode, they hold the image afterwards, and no more is
//! written than needed. On cards that lose power at any moment: they never boot half an image.

use std::io::{self, Cursor, Read};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use proptest::prelude::*;
use rustix::io::Errno;

use super::buffer::{CHUNK, PAGE};
use super::card::Card;
use super::delta::Mode;
use super::engine::write_image;
use super::engine_fault_tests::{MIB, MODES, flash, image};
use super::fake_card::{FakeCard, Fault};
use super::flash_job::ImageContent;
use super::payload::PayloadWriter;
use super::payload::tests::{FixedPayload, changes, with_changes};
use crate::base::{ChunkState, Silent};
use crate::card::image::chunk_hash::tests::hash;

#[test]
fn genuine_cards_hold_the_image_and_zeros_at_their_end_and_keep_the_bytes_between() {
    for (fault, size, card_size) in [
        (Fault::None, 5 * MIB + 512, 9 * MIB),
        (Fault::None, 3 * MIB, 3 * MIB),
        (Fault::None, 3 * MIB - 512, 3 * MIB),
        (Fault::None, 512, MIB),
        (Fault::None, 512, 512),
        (Fault::ShortTransfers, 2 * MIB + 1024, 4 * MIB),
    ] {
        for &mode in MODES {
            let card = FakeCard::new(card_size, fault);
            let image = image(size);
            let report = flash(&card, &image, mode).unwrap();
            assert_eq!((report.size, report.hash), (size, hash(&image)));
            let bytes = card.content();
            assert!(bytes.starts_with(&image), "{fault:?} {size} {card_size} {mode}");
            let start = image.len().max(bytes.len().saturating_sub(CHUNK));
            assert!(bytes[start..].iter().all(|byte| *byte == 0), "{fault:?} {size} {card_size} {mode}");
            assert!(
                bytes[image.len()..start].iter().all(|byte| *byte == 0xee),
                "{fault:?} {size} {card_size} {mode}"
            );
        }
    }
}

#[test]
fn only_what_differs_is_written() {
    let mut image = image(30 * MIB);
    image[10 * CHUNK..20 * CHUNK].fill(0);
    let mut changed = image.clone();
    changed[5 * CHUNK + 7] ^= 1;
    changed[12 * CHUNK + 7] ^= 1;
    let blank = vec![0; 40 * CHUNK];
    let on_card = |bytes: &[u8]| [bytes, &blank[bytes.len()..]].concat();
    // Every flash writes the head twice, blank and full, the end once, and the probes of the capacity check.
    let fixed = 3;
    for (before, mode, written) in [
        (blank.clone(), Mode::Auto, 19),
        (on_card(&image), Mode::Auto, 0),
        (on_card(&image), Mode::Delta, 0),
        (on_card(&image), Mode::Full, 29),
        (on_card(&changed), Mode::Auto, 2),
        (vec![0xee; 40 * CHUNK], Mode::Auto, 29),
    ] {
        let card = FakeCard::with_content(before, Fault::None);
        let report = flash(&card, &image, mode).unwrap();
        assert!(card.content().starts_with(&image), "{mode}");
        // The report counts the head, once.
        assert_eq!(
            (card.mib_written(), report.written_bytes() / MIB),
            (fixed + written, u64::from(written) + 1),
            "{mode}"
        );
    }
}

#[test]
fn the_map_shows_what_was_written_and_what_was_skipped() {
    let mut image = image(30 * MIB);
    image[10 * CHUNK..20 * CHUNK].fill(0);
    let card = FakeCard::with_content(vec![0; 40 * CHUNK], Fault::None);
    let report = flash(&card, &image, Mode::Auto).unwrap();
    let map = report.map.iter().map(|run| (run.state, run.mib)).collect::<Vec<_>>();
    assert_eq!(map, [(ChunkState::Written, 10), (ChunkState::Skipped, 10), (ChunkState::Written, 10)]);
}

/// A card with a write cache that loses power after `writes_left` writes: then it holds only a part of the writes that
/// were not synced.
struct DyingCard {
    synced: Mutex<Vec<u8>>,
    cache: Mutex<Vec<(u64, Vec<u8>)>>,
    writes_left: Mutex<u32>,
}

impl DyingCard {
    /// Fails once the card has lost power.
    fn check_power(&self) -> io::Result<()> {
        if *self.writes_left.lock().unwrap() == 0 { Err(Errno::NODEV.into()) } else { Ok(()) }
    }

    /// The content of the card after the power cut. `survives` decides for each page that was not synced whether the
    /// card holds it: a write may be split anywhere.
    fn after_power_cut(&self, mut survives: impl FnMut() -> bool) -> Vec<u8> {
        let mut bytes = self.synced.lock().unwrap().clone();
        for (at, data) in self.cache.lock().unwrap().iter() {
            let pages = data.chunks(PAGE).zip((*at..).step_by(PAGE)).filter(|_| survives());
            pages.for_each(|(page, at)| put(&mut bytes, at, page));
        }
        bytes
    }
}

fn put(bytes: &mut [u8], at: u64, data: &[u8]) {
    let at = usize::try_from(at).unwrap();
    bytes[at..at + data.len()].copy_from_slice(data);
}

impl Card for DyingCard {
    fn size(&self) -> u64 {
        self.synced.lock().unwrap().len() as u64
    }

    fn check_identity(&self) -> Result<()> {
        Ok(())
    }

    fn check_identity_after_events(&self) -> Result<()> {
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.check_power()?;
        let start = usize::try_from(offset).unwrap();
        buffer.copy_from_slice(&self.after_power_cut(|| true)[start..start + buffer.len()]);
        Ok(buffer.len())
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        self.check_power()?;
        *self.writes_left.lock().unwrap() -= 1;
        self.cache.lock().unwrap().push((offset, buffer.to_vec()));
        Ok(buffer.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.check_power()?;
        *self.synced.lock().unwrap() = self.after_power_cut(|| true);
        self.cache.lock().unwrap().clear();
        Ok(())
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_image_is_written_to_any_card_that_is_large_enough(
        sectors in 1..9000u64,
        free_sectors in 0..5000u64,
        short_transfers: bool,
        mode in 0..3usize,
        // What the card holds in each MiB: the image, zeros, or something else.
        contents in proptest::collection::vec(0..3u8, 8),
        zeros in proptest::collection::vec(any::<bool>(), 5),
    ) {
        let mut image = image(sectors * 512);
        image.chunks_mut(CHUNK).zip(zeros).filter(|(_, zero)| *zero).for_each(|(chunk, _)| chunk.fill(0));
        let mut card = vec![0xee; usize::try_from((sectors + free_sectors) * 512).unwrap()];
        for (index, (chunk, content)) in card.chunks_mut(CHUNK).zip(contents).enumerate() {
            let image_part = image.get(index * CHUNK..).unwrap_or_default();
            let len = image_part.len().min(chunk.len());
            match content {
                0 => chunk[..len].copy_from_slice(&image_part[..len]),
                1 => chunk.fill(0),
                // The garbage of a used card stays.
                _ => {}
            }
        }
        let card = FakeCard::with_content(card, if short_transfers { Fault::ShortTransfers } else { Fault::None });
        let report = flash(&card, &image, MODES[mode]).unwrap();
        prop_assert!(card.content().starts_with(&image));
        prop_assert_eq!(report.hash, hash(&image));
    }

    #[test]
    fn after_a_power_cut_the_card_boots_the_image_or_nothing(
        writes_left in 0..60u32, seed: u64, mode in 0..3usize, with_payload: bool,
    ) {
        let image = image(6 * MIB);
        let old = vec![0xee; 8 * CHUNK];
        let card = DyingCard {
            synced: Mutex::new(old.clone()),
            cache: Mutex::default(),
            writes_left: Mutex::new(writes_left),
        };
        let open = || Ok(Box::new(Cursor::new(image.clone())) as Box<dyn Read + Send>);
        let content = ImageContent { size: 6 * MIB, hash: None, open: &open };
        let changes = if with_payload { changes() } else { Vec::new() };
        let fixed = FixedPayload { changes, verify: &|| Ok(()) };
        let payload = with_payload.then_some(&fixed as &dyn PayloadWriter);
        let cancel = AtomicBool::new(false);
        let done = write_image(&card, &content, payload, MODES[mode], &Silent, &cancel).is_ok();
        let mut coin = seed;
        let after = card.after_power_cut(|| {
            coin = coin.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            coin & 1 == 1
        });
        // A card with a partition table holds everything; otherwise at most zeros were written, into the head.
        let table = &after[..PAGE];
        let whole = after.starts_with(&with_changes(&image, &fixed.changes));
        let untouched = table == &old[..PAGE] && after[CHUNK..] == old[CHUNK..];
        prop_assert!(whole || table.iter().all(|byte| *byte == 0) || untouched);
        prop_assert!(whole || !done);
        // The same command again, on the card as it is now, completes it.
        let card = FakeCard::with_content(after, Fault::None);
        flash(&card, &image, Mode::Auto).unwrap();
        prop_assert!(card.content().starts_with(&image));
    }
}
