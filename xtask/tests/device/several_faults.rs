//! Flashes of several cards of which one fails: the others are written as if it were alone.

use fuser::Errno;
use rustix::process::Signal;

use crate::card::{Card, MIB, is_blank};
use crate::faults::POSITION;
use crate::faulty::FaultyCard;
use crate::fuse_card::{ALWAYS, DeviceFault};
use crate::image::{garbage, image, pack};
use crate::several::{args, flash};
use crate::support::Sandbox;
use crate::support::xtask::SignalTo;

/// Faults, each with the exit code, the verdict in the table, and a part of the error.
const FAULTS: &[(DeviceFault, i32, &str, &str)] = &[
    (DeviceFault::WriteFails(POSITION, Errno::EIO), 5, "I/O error  - ", "writing the card at byte 5242880"),
    (
        DeviceFault::Unplugged(POSITION, Errno::ENODEV),
        5,
        "I/O error  - ",
        "check whether the card was unplugged",
    ),
    (
        DeviceFault::UnpluggedReading(POSITION, Errno::ENODEV),
        5,
        "I/O error  - ",
        "check whether the card was unplugged",
    ),
    (
        DeviceFault::Flipped(POSITION, ALWAYS),
        4,
        "not verified  - ",
        "verification failed: 1 of 20 MiB differ",
    ),
    (DeviceFault::Wraps(16 * MIB), 4, "not verified  - ", "the card is suspect"),
    (DeviceFault::Drops(10 * MIB), 4, "not verified  - ", "the card is suspect"),
];

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_card_that_fails_harms_no_other() {
    let sandbox = Sandbox::new();
    let image = image(20);
    let file = pack(&sandbox.path("home"), "img.zst", &image);
    for (fault, code, verdict, text) in FAULTS {
        let good = [Card::new(28), Card::new(28)];
        let bad = FaultyCard::new(28, *fault);
        let path = bad.path();
        let to = [good[0].device.device(), path, good[1].device.device()];
        let outcome = flash(&sandbox, &file, &to, "28MiB", &[]);
        outcome.assert_code(*code).assert_stderr_contains(text);
        outcome.assert_stderr_contains(format!(
            "error: 1 of 3 cards failed: {path}\nhint: to flash only these cards again, name them by --to {path}"
        ));
        assert_eq!(outcome.stdout.matches("  verified  ").count(), 2, "{}", outcome.stdout);
        outcome.assert_stdout_contains(verdict);
        assert!(is_blank(&bad.bytes()[..MIB]), "{fault:?}: the head is not blank");
        for card in &good {
            card.assert_holds(&image);
        }
        // Run again, the two are only read, and the repaired card is completed.
        bad.repair();
        flash(&sandbox, &file, &to, "28MiB", &[]).assert_code(0);
        assert!(bad.bytes().starts_with(&image), "{fault:?}");
        for card in &good {
            card.assert_holds(&image);
        }
    }
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn the_most_severe_failure_decides_and_each_has_a_receipt() {
    let sandbox = Sandbox::new();
    let file = pack(&sandbox.path("home"), "img.zst", &image(8));
    let bad = FaultyCard::new(12, DeviceFault::Flipped(POSITION, ALWAYS));
    let worse = FaultyCard::new(12, DeviceFault::WriteFails(POSITION, Errno::EIO));
    let outcome = flash(&sandbox, &file, &[bad.path(), worse.path()], "12MiB", &["--json"]);
    outcome.assert_code(5);
    let result = outcome.json();
    assert_eq!(result["error"]["message"], format!("2 of 2 cards failed: {}, {}", bad.path(), worse.path()));
    let kinds = result["cards"].as_array().unwrap().iter().map(|card| card["error"]["kind"].clone());
    assert_eq!(kinds.collect::<Vec<_>>(), ["verification", "io"]);
    let history = sandbox.run(&["history"]).stdout;
    assert_eq!(history.matches("  broken off  ").count(), 2, "{history}");
}

/// The image is larger than what a feed holds for a slow card.
#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_card_that_stalls_does_not_keep_the_others_waiting() {
    let sandbox = Sandbox::new();
    let image = [image(20), garbage(40 * MIB)].concat();
    let file = pack(&sandbox.path("home"), "img.zst", &image);
    let good = Card::new(64);
    let stalled = FaultyCard::new(64, DeviceFault::StallsWrite(POSITION));
    let to = [good.device.device(), stalled.path()];
    let mut run = sandbox.xtask(&args(&file, &to, "64MiB", &[])).spawn();
    stalled.wait_for_stall();
    run.wait_for(&format!("{} holds the image", to[0]));
    good.assert_holds(&image);
    assert!(is_blank(&stalled.bytes()[..MIB]));
    stalled.release();
    run.finish().assert_code(0);
    assert!(stalled.bytes().starts_with(&image));
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn an_interrupt_leaves_all_heads_blank_and_names_the_cards() {
    let sandbox = Sandbox::new();
    let image = [image(20), garbage(40 * MIB)].concat();
    let file = pack(&sandbox.path("home"), "img.zst", &image);
    for to_whom in [SignalTo::Group, SignalTo::Tool] {
        let cards = [POSITION, POSITION + MIB].map(|at| FaultyCard::new(64, DeviceFault::StallsWrite(at)));
        let to = [cards[0].path(), cards[1].path()];
        let mut run = sandbox.xtask(&args(&file, &to, "64MiB", &[])).spawn();
        cards.iter().for_each(FaultyCard::wait_for_stall);
        run.signal(to_whom, Signal::INT);
        // The tool passes the signal on to the workers.
        std::thread::sleep(std::time::Duration::from_millis(500));
        cards.iter().for_each(FaultyCard::release);
        let outcome = run.finish();
        outcome.assert_code(130);
        for card in &cards {
            let label = card.path().trim_start_matches("/dev/");
            outcome.assert_stderr_contains(format!("{label}: warning: stopped at byte "));
            assert!(is_blank(&card.bytes()[..MIB]));
        }
        outcome.assert_stderr_contains(format!("2 of 2 cards failed: {}, {}", to[0], to[1]));
        assert_eq!(outcome.stdout.matches("  stopped  ").count(), 2, "{}", outcome.stdout);
        flash(&sandbox, &file, &to, "64MiB", &[]).assert_code(0);
        assert!(cards.iter().all(|card| card.bytes().starts_with(&image)));
    }
}
