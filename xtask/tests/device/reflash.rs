//! Cards that hold most of the image: only the chunks that differ are written, by the report and by the count
//! of the kernel.

use rustix::process::{Signal, kill_process};

use crate::card::{Card, MIB};
use crate::faults::POSITION;
use crate::flash::{flash, report};
use crate::fuse_card::DeviceFault;
use crate::image::{garbage, image, pack};
use crate::interrupt::StalledFlash;
use crate::support::Sandbox;

/// The size of the image and of the card in MiB.
const SIZE: usize = 24;
const ROOM: usize = 32;

/// The most that every flash writes, in bytes: the head twice, the end, and each capacity probe twice.
const FIXED: u64 = (3 << 20) + 2 * 110 * 4096;

/// Flashes the image of [`SIZE`] MiB in this mode to a card that begins with `before`, and asserts how many
/// MiB are written beside the head.
#[track_caller]
fn assert_written(mode: &str, before: &[u8], written: &[usize]) {
    let sandbox = Sandbox::new();
    let image = image(SIZE);
    let file = pack(&sandbox.path("home"), "sized.zst", &image);
    let card = Card::holding([before, &garbage(ROOM * MIB)[before.len()..]].concat());
    let counted = card.device.written();
    let outcome = flash(&sandbox, &file, card.device.device(), "32MiB", &["--mode", mode, "--json"]);
    let counted = card.device.written() - counted;
    card.assert_holds(&image);
    let chunks = report(&outcome).chunks;
    let is_written = |mib: &usize| chunks[*mib] == "written";
    assert_eq!((0..SIZE).filter(is_written).collect::<Vec<_>>(), written, "{mode}: {chunks:?}");
    let body = (written.len() as u64 - 1) << 20;
    assert!((body..=body + FIXED).contains(&counted), "{mode}: {counted} bytes were written, {written:?}");
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn only_chunks_that_differ_are_written() {
    let same = image(SIZE);
    let all = (0..SIZE).collect::<Vec<_>>();
    let mut changed = same.clone();
    // A tenth, and one of it in the zeros.
    for mib in [2, 11] {
        changed[mib * MIB + 12_345] ^= 1;
    }
    let first_half = &same[..SIZE / 2 * MIB];
    let second_half = [0].into_iter().chain(SIZE / 2..SIZE).collect::<Vec<_>>();
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

/// After an interrupted flash, the written chunks are only read, and the others are written.
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
