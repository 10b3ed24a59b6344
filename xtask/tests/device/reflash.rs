//! Cards that hold most of the image: only the chunks that differ are written, as the report says and the kernel
//! counts.

use rustix::process::{Signal, kill_process};

use crate::card::{Card, MIB};
use crate::faults::POSITION;
use crate::flash::{flash, report};
use crate::fuse_card::DeviceFault;
use crate::image::{garbage, image, pack};
use crate::interrupt::StalledFlash;
use crate::support::Sandbox;

/// The size of the image in MiB.
const IMAGE_MIB: usize = 24;
/// The size of the card in MiB.
const CARD_MIB: usize = 32;

/// The most that a flash writes beside the body, in bytes: the head twice, the end, and each capacity probe twice.
const MAX_OVERHEAD: u64 = (3 << 20) + 2 * 110 * 4096;

/// Flashes the image of [`IMAGE_MIB`] MiB in `mode` to a card that begins with `before`, and asserts the numbers of
/// the chunks that are `written`, the head among them.
#[track_caller]
fn assert_written(mode: &str, before: &[u8], written: &[usize]) {
    let sandbox = Sandbox::new();
    let image = image(IMAGE_MIB);
    let file = pack(&sandbox.path("home"), "sized.zst", &image);
    let card = Card::holding([before, &garbage(CARD_MIB * MIB)[before.len()..]].concat());
    let bytes_before = card.device.bytes_written();
    let outcome = flash(&sandbox, &file, card.device.device(), "32MiB", &["--mode", mode, "--json"]);
    let bytes_written = card.device.bytes_written() - bytes_before;
    card.assert_holds(&image);
    let chunks = report(&outcome).chunks;
    let is_written = |mib: &usize| chunks[*mib] == "written";
    assert_eq!((0..IMAGE_MIB).filter(is_written).collect::<Vec<_>>(), written, "{mode}: {chunks:?}");
    let body = (written.len() as u64 - 1) << 20;
    assert!(
        (body..=body + MAX_OVERHEAD).contains(&bytes_written),
        "{mode}: {bytes_written} bytes were written, {written:?}"
    );
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn only_chunks_that_differ_are_written() {
    let same = image(IMAGE_MIB);
    let all = (0..IMAGE_MIB).collect::<Vec<_>>();
    let mut changed = same.clone();
    // One chunk of zeros, and one of noise.
    for mib in [2, 11] {
        changed[mib * MIB + 12_345] ^= 1;
    }
    let first_half = &same[..IMAGE_MIB / 2 * MIB];
    let second_half = [0].into_iter().chain(IMAGE_MIB / 2..IMAGE_MIB).collect::<Vec<_>>();
    for mode in ["auto", "delta"] {
        assert_written(mode, &same, &[0]);
        assert_written(mode, &changed, &[0, 2, 11]);
        assert_written(mode, first_half, &second_half);
        assert_written(mode, &[], &all);
    }
    for before in [&same[..], &changed, &[]] {
        assert_written("full", before, &all);
    }
}

/// After an interrupted flash, the written chunks are only read, and the others are written. Mode `full` writes all.
#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_killed_flash_continues_where_it_ended() {
    for mode in ["auto", "full", "delta"] {
        let mut run = StalledFlash::start(DeviceFault::StallsWrite(POSITION));
        kill_process(run.worker(), Signal::KILL).unwrap();
        run.finish();
        run.wait_for_worker_end();
        // The worker ends with its last write, which may be complete.
        let last_is_complete = run.card.bytes()[5 * MIB..6 * MIB] == run.image[5 * MIB..6 * MIB];
        let chunks = report(&run.repeat(&["--mode", mode, "--json"])).chunks;
        assert!(run.card.bytes().starts_with(&run.image));
        let expected = |mib: usize| match mib {
            _ if mode == "full" => "written",
            2 => "skipped",
            1..5 => "unchanged",
            5 if last_is_complete => "unchanged",
            _ => "written",
        };
        assert_eq!(chunks, (0..8).map(expected).collect::<Vec<_>>(), "{mode}");
    }
}
