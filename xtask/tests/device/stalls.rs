//! Cards that fall silent: that is told while it lasts, and nothing is lost by it.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process_group};

use crate::faults::PLACE;
use crate::interrupt::Run;
use crate::medium::Fault;

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
        assert!(said.contains("will not boot; run the same command again"), "{fault:?}: {said}");
        run.is_blank_and_can_be_repeated();
    });
}
