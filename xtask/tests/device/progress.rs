//! SIGUSR1 prints the progress, as with dd, and ends nothing.

use rustix::process::{Signal, kill_process};

use crate::faults::POSITION;
use crate::fuse_card::DeviceFault;
use crate::interrupt::StalledFlash;
use crate::support::xtask::SignalTo;

/// The begin of the progress line while the card stalls in a write.
const PROGRESS_LINE: &str = "progress: write ";

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_signal_to_the_tool_prints_the_progress() {
    let mut run = StalledFlash::start(DeviceFault::StallsWrite(POSITION));
    for _ in 0..2 {
        run.signal(SignalTo::Tool, Signal::USR1);
        let line = run.wait_for(PROGRESS_LINE);
        assert!(line.contains(" of 8.0 MiB (") && line.contains(" %) in ") && line.contains("/s"), "{line}");
        std::thread::sleep(std::time::Duration::from_millis(400));
    }
    run.finish().assert_code(0);
    assert!(run.card.bytes().starts_with(&run.image));
}

/// `pkill -USR1 xtask` sends the signal to the worker, too. A thread that waits for a card handles no signal before
/// the card answers.
#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_signal_to_the_worker_prints_the_progress_of_the_tool() {
    let mut run = StalledFlash::start(DeviceFault::StallsWrite(POSITION));
    kill_process(run.worker(), Signal::USR1).unwrap();
    let outcome = run.finish();
    outcome.assert_code(0);
    assert_eq!(outcome.stderr.matches("progress: ").count(), 1, "{}", outcome.stderr);
    assert!(run.card.bytes().starts_with(&run.image));
}
