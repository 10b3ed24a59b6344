//! Cards that stall: the tool warns while the stall lasts, and nothing is lost.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::card::Card;
use crate::faults::POSITION;
use crate::flash::flash;
use crate::fuse_card::DeviceFault;
use crate::image::{image, pack};
use crate::interrupt::StalledFlash;
use crate::support::Sandbox;
use crate::support::xtask::SignalTo;

/// How long a card stalls.
const STALL_DURATION: Duration = Duration::from_secs(20);
/// The time limit of the first warning.
const WARNING_DEADLINE: Duration = Duration::from_secs(8);

/// Runs `test` in parallel with a card that stalls in a write and with a card that stalls in a read. `test` gets the
/// fault and the name of the operation.
fn stall_a_write_and_a_read(test: impl Fn(DeviceFault, &str) + Sync) {
    std::thread::scope(|scope| {
        scope.spawn(|| test(DeviceFault::StallsWrite(POSITION), "a write"));
        scope.spawn(|| test(DeviceFault::StallsRead(POSITION), "a read"));
    });
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_stall_is_reported_while_it_lasts() {
    stall_a_write_and_a_read(|fault, operation| {
        let mut run = StalledFlash::start(fault);
        let start = Instant::now();
        let warning = format!("warning: the card has not answered {operation} at byte 5242880 for ");
        run.wait_for(&warning);
        assert!(start.elapsed() < WARNING_DEADLINE, "{fault:?}: warned after {:?}", start.elapsed());
        // The warning is repeated while the stall lasts.
        let line = run.wait_for(&warning);
        assert!(line.ends_with(" s; still waiting (pull the card out to end the wait)\n"), "{line}");
        std::thread::sleep(STALL_DURATION.saturating_sub(start.elapsed()));
        let outcome = run.finish();
        outcome.assert_code(0);
        assert!(run.card.bytes().starts_with(&run.image), "{fault:?}");
    });
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn ctrl_c_during_a_stall_stops_the_flash() {
    stall_a_write_and_a_read(|fault, operation| {
        let mut run = StalledFlash::start(fault);
        run.wait_for(&format!("warning: the card has not answered {operation} "));
        run.signal(SignalTo::Group, Signal::INT);
        std::thread::sleep(Duration::from_millis(300));
        let outcome = run.finish();
        outcome.assert_code(130);
        outcome.assert_stderr_contains("will not boot\nhint: run the same command again");
        run.assert_blank_and_repeatable();
    });
}

/// The tool reads the labels of other disks, and does not wait for a disk that stalls.
#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_stalled_card_does_not_delay_the_flash_of_another() {
    let mut run = StalledFlash::start(DeviceFault::StallsWrite(POSITION));
    let sandbox = Sandbox::new();
    let card = Card::new(20);
    let image = image(6);
    let file = pack(&sandbox.path("home"), "img.zst", &image);
    let (sender, receiver) = std::sync::mpsc::channel();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| sender.send(flash(&sandbox, &file, card.device.device(), "20MiB", &[])));
        let outcome = receiver.recv_timeout(Duration::from_secs(60));
        run.card.release();
        outcome
    });
    outcome.expect("an end while the other card hangs").assert_code(0);
    card.assert_holds(&image);
    run.finish().assert_code(0);
}
