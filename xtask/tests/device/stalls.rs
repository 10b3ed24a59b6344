//! Cards that fall silent: that is told while it lasts, and nothing is lost by it.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process_group};

use crate::card::Card;
use crate::faults::PLACE;
use crate::flash::flash;
use crate::image::{image, pack};
use crate::interrupt::Run;
use crate::medium::Fault;
use crate::support::Sandbox;

/// How long a card is silent, and how soon that is told, at the latest.
const SILENCE: Duration = Duration::from_secs(20);
const TOLD: Duration = Duration::from_secs(8);

/// Does the same with a card that hangs in a write and with one that hangs in a read, at once: both take
/// their time.
fn in_a_write_and_in_a_read(test: impl Fn(Fault, &str) + Sync) {
    std::thread::scope(|scope| {
        scope.spawn(|| test(Fault::StallsWrite(PLACE), "a write"));
        scope.spawn(|| test(Fault::StallsRead(PLACE), "a read"));
    });
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_silence_is_told_while_it_lasts_and_then_the_work_goes_on() {
    in_a_write_and_in_a_read(|fault, access| {
        let mut run = Run::until(fault);
        let begin = Instant::now();
        let words = format!("warning: the card has not answered to {access} at byte 5242880 for ");
        run.said_until(&words);
        assert!(begin.elapsed() < TOLD, "{fault:?}: told after {:?}", begin.elapsed());
        // It is told again when it lasts.
        let said = run.said_until(&words);
        assert!(said.ends_with(" s; waiting (pulling it out ends the wait)\n"), "{said}");
        std::thread::sleep(SILENCE.saturating_sub(begin.elapsed()));
        let (code, said) = run.end();
        assert_eq!(code, Some(0), "{fault:?}: {said}");
        assert!(run.card.medium().starts_with(&run.image), "{fault:?}");
    });
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn ctrl_c_in_a_silence() {
    in_a_write_and_in_a_read(|fault, access| {
        let mut run = Run::until(fault);
        run.said_until(&format!("warning: the card has not answered to {access} "));
        kill_process_group(run.pid(), Signal::INT).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let (code, said) = run.end();
        assert_eq!(code, Some(130), "{fault:?}: {said}");
        assert!(said.contains("will not boot\nhint: run the same command again"), "{fault:?}: {said}");
        run.is_blank_and_can_be_repeated();
    });
}

/// Another disk is asked for its labels only, and not waited for.
#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_card_that_hangs_does_not_keep_another_from_being_written() {
    let mut run = Run::until(Fault::StallsWrite(PLACE));
    let (sandbox, card, image) = (Sandbox::new(), Card::new(20), image(6));
    let file = pack(&sandbox.path("home"), "img.zst", &image);
    let (said, heard) = std::sync::mpsc::channel();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| said.send(flash(&sandbox, &file, card.device.device(), "20MiB", &[])));
        let outcome = heard.recv_timeout(Duration::from_secs(60));
        run.card.release();
        outcome
    });
    outcome.expect("an end while the other card hangs").exits(0);
    card.holds(&image);
    assert_eq!(run.end().0, Some(0));
}
