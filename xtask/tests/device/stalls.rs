//! Cards that stall: the tool warns while the stall lasts, and nothing is lost.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process_group};

use crate::card::Card;
use crate::faults::PLACE;
use crate::flash::flash;
use crate::image::{image, pack};
use crate::interrupt::Run;
use crate::medium::Fault;
use crate::support::Sandbox;

/// How long a card stalls.
const STALL: Duration = Duration::from_secs(20);
/// When the first warning comes at the latest.
const WARNING_DEADLINE: Duration = Duration::from_secs(8);

/// Runs the test with a card that hangs in a write and with one that hangs in a read, side by side to save
/// time.
fn in_a_write_and_in_a_read(test: impl Fn(Fault, &str) + Sync) {
    std::thread::scope(|scope| {
        scope.spawn(|| test(Fault::StallsWrite(PLACE), "a write"));
        scope.spawn(|| test(Fault::StallsRead(PLACE), "a read"));
    });
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_stall_is_reported_while_it_lasts() {
    in_a_write_and_in_a_read(|fault, operation| {
        let mut run = Run::until(fault);
        let begin = Instant::now();
        let warning = format!("warning: the card has not answered to {operation} at byte 5242880 for ");
        run.said_until(&warning);
        assert!(begin.elapsed() < WARNING_DEADLINE, "{fault:?}: warned after {:?}", begin.elapsed());
        // The warning is repeated while the stall lasts.
        let said = run.said_until(&warning);
        assert!(said.ends_with(" s; still waiting (pull the card out to end the wait)\n"), "{said}");
        std::thread::sleep(STALL.saturating_sub(begin.elapsed()));
        let (code, said) = run.end();
        assert_eq!(code, Some(0), "{fault:?}: {said}");
        assert!(run.card.medium().starts_with(&run.image), "{fault:?}");
    });
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn ctrl_c_during_a_stall_stops_the_flash() {
    in_a_write_and_in_a_read(|fault, operation| {
        let mut run = Run::until(fault);
        run.said_until(&format!("warning: the card has not answered to {operation} "));
        kill_process_group(run.pid(), Signal::INT).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let (code, said) = run.end();
        assert_eq!(code, Some(130), "{fault:?}: {said}");
        assert!(said.contains("will not boot\nhint: run the same command again"), "{fault:?}: {said}");
        run.is_blank_and_can_be_repeated();
    });
}

/// The tool only asks another disk for its labels, and does not wait for it.
#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_stalled_card_does_not_delay_the_flash_of_another() {
    let mut run = Run::until(Fault::StallsWrite(PLACE));
    let sandbox = Sandbox::new();
    let card = Card::new(20);
    let image = image(6);
    let file = pack(&sandbox.path("home"), "img.zst", &image);
    let (said, heard) = std::sync::mpsc::channel();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| said.send(flash(&sandbox, &file, card.device.device(), "20MiB", &[])));
        let outcome = heard.recv_timeout(Duration::from_secs(60));
        run.card.release();
        outcome
    });
    outcome.expect("an end while the other card hangs").assert_code(0);
    card.holds(&image);
    assert_eq!(run.end().0, Some(0));
}
