//! Cards that already hold the image, or most of it: only the chunks that differ are written, by the report
//! and by the kernel's own count.

use rustix::process::{Signal, kill_process};

use crate::card::{Card, MIB};
use crate::faults::PLACE;
use crate::flash::{flash, report};
use crate::image::{garbage, image, pack};
use crate::interrupt::Run;
use crate::medium::Fault;
use crate::support::Sandbox;

/// The size of the image and of the card in MiB.
const SIZE: usize = 24;
const ROOM: usize = 32;

/// The most that every flash writes, in bytes: the head twice, the end, and each capacity probe twice.
const FIXED: u64 = (3 << 20) + 2 * 110 * 4096;

/// Flashes the image of [`SIZE`] MiB in this mode to a card that begins with `before`, and asserts how many
/// MiB are written beside the head.
#[track_caller]
fn check(mode: &str, before: &[u8], written: &[usize]) {
    let sandbox = Sandbox::new();
    let image = image(SIZE);
    let file = pack(&sandbox.path("home"), "sized.zst", &image);
    let card = Card::holding([before, &garbage(ROOM * MIB)[before.len()..]].concat());
    let counted = card.device.written();
    let outcome = flash(&sandbox, &file, card.device.device(), "32MiB", &["--mode", mode, "--json"]);
    let counted = card.device.written() - counted;
    card.holds(&image);
    let fates = report(&outcome).fates;
    let is_written = |mib: &usize| fates[*mib] == "written";
    assert_eq!((0..SIZE).filter(is_written).collect::<Vec<_>>(), written, "{mode}: {fates:?}");
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
        check(mode, &same, &[0]);
        check(mode, &changed, &[0, 2, 11]);
        check(mode, first_half, &second_half);
        check(mode, &[], &all);
    }
    for before in [&same[..], &changed, &[]] {
        check("full", before, &all);
    }
}

/// After an interrupted flash, the written chunks are only read, and the others are written.
#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_killed_flash_continues_where_it_ended() {
    for mode in ["auto", "full", "delta"] {
        let mut run = Run::until(Fault::StallsWrite(PLACE));
        kill_process(run.worker(), Signal::KILL).unwrap();
        run.end();
        run.wait_until_nobody_writes();
        // What was killed is over when the write that hung is, and that one may be whole.
        let hung = run.card.medium()[5 * MIB..6 * MIB] == run.image[5 * MIB..6 * MIB];
        let fates = report(&run.again(&["--mode", mode, "--json"])).fates;
        assert!(run.card.medium().starts_with(&run.image));
        let expected = |mib: usize| match mib {
            _ if mode == "full" => "written",
            2 => "skipped",
            1..5 => "unchanged",
            5 if hung => "unchanged",
            _ => "written",
        };
        assert_eq!(fates, (0..8).map(expected).collect::<Vec<_>>(), "{mode}");
    }
}
