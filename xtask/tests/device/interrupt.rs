//! Interrupts of a flash: the card stalls at a known position, the tool is stopped, and then the stall ends.

use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::card::{MIB, is_blank};
use crate::faults::POSITION;
use crate::faulty::FaultyCard;
use crate::flash::flash;
use crate::fuse_card::DeviceFault;
use crate::image::{garbage, image, pack};
use crate::support::xtask::{Running, SignalTo, Xtask};
use crate::support::{Outcome, Sandbox};

/// The offset in a MiB that is behind the capacity probe.
const BEHIND_PROBE: usize = 4096;

/// A flash of 8 MiB whose card stalls.
pub struct StalledFlash {
    pub card: FaultyCard,
    sandbox: Sandbox,
    run: Running,
    pub image: Vec<u8>,
}

impl StalledFlash {
    /// Starts a flash and waits until the card stalls.
    #[track_caller]
    pub fn start(fault: DeviceFault) -> Self {
        Self::start_with_format("img.zst", fault)
    }

    /// Starts a flash as [`Self::start`] does, with an image file in `format`.
    #[track_caller]
    fn start_with_format(format: &str, fault: DeviceFault) -> Self {
        Self::start_wrapped(format, fault, |xtask| xtask)
    }

    /// Starts a flash as [`Self::start`] does, by a shell that ignores `signal`, as the tool then does.
    #[track_caller]
    pub fn start_ignoring(signal: &str, fault: DeviceFault) -> Self {
        let script = format!("trap '' {signal}; exec \"$0\" \"$@\"");
        Self::start_wrapped("img.zst", fault, |xtask| xtask.wrapped_in(&["sh", "-c", &script]))
    }

    /// Starts a flash with an image file in `format`; `wrap` may change how the tool is started.
    #[track_caller]
    fn start_wrapped(format: &str, fault: DeviceFault, wrap: impl FnOnce(Xtask) -> Xtask) -> Self {
        let card = FaultyCard::new(12, fault);
        let sandbox = Sandbox::new();
        let image = image(8);
        let file = pack(&sandbox.path("home"), format, &image);
        let file = file.to_str().expect("a plain path");
        let args =
            ["flash", "--image", file, card.path(), "--allow-virtual", "--yes", "--expect-size", "12MiB"];
        let run = wrap(sandbox.xtask(&args)).spawn();
        card.wait_for_stall();
        Self { card, sandbox, run, image }
    }

    /// Reads stderr up to the next line that contains `text`, while the card stalls.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        self.run.wait_for(text)
    }

    /// Sends `signal`.
    pub fn signal(&self, to: SignalTo, signal: Signal) {
        self.run.signal(to, signal);
    }

    /// Ends the stall and waits for the end of the flash.
    pub fn finish(&mut self) -> Outcome {
        self.card.release();
        self.run.finish()
    }

    /// Runs the same command again, with further `options`.
    pub fn repeat(&self, options: &[&str]) -> Outcome {
        let file = self.sandbox.path("home").join("nixos-sd-image.img.zst");
        flash(&self.sandbox, &file, self.card.path(), "12MiB", options)
    }

    /// Asserts that the card does not boot, and that the same command then completes the flash.
    #[track_caller]
    pub fn assert_blank_and_repeatable(&self) {
        assert!(is_blank(&self.card.bytes()[..MIB]));
        self.repeat(&[]).assert_code(0);
        assert!(self.card.bytes().starts_with(&self.image));
    }
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn ctrl_c_during_write_and_verify_leaves_the_head_blank() {
    for fault in [DeviceFault::StallsWrite(POSITION), DeviceFault::StallsRead(POSITION)] {
        let mut run = StalledFlash::start(fault);
        run.signal(SignalTo::Group, Signal::INT);
        let outcome = run.finish();
        outcome.assert_code(130);
        outcome.assert_stderr_contains("error: stopped at byte ");
        outcome.assert_stderr_contains("will not boot\nhint: run the same command again");
        assert_eq!(outcome.stderr.matches("error: ").count(), 1, "{outcome:?}");
        run.assert_blank_and_repeatable();
    }
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn an_interrupted_flash_leaves_a_receipt() {
    let mut run = StalledFlash::start(DeviceFault::StallsWrite(POSITION));
    run.signal(SignalTo::Group, Signal::INT);
    run.finish().assert_code(130);
    let history = || run.sandbox.run(&["history"]).assert_code(0).stdout.clone();
    let stdout = history();
    assert!(
        stdout.contains("  flash  -     broken off  -  ") && stdout.contains("; broken off at write, "),
        "{stdout}"
    );
    assert!(stdout.trim_end().ends_with(" of 8.0 MiB, exit code 130"), "{stdout}");
    // The card is not taken for a card that was flashed.
    let error = format!("there is no receipt of this project for {}", run.card.path());
    let verified = run.sandbox.run(&["card", "verify", run.card.path()]);
    verified
        .assert_stderr_contains("warning: the last flash of 2")
        .assert_stderr_contains("broken off at write")
        .assert_stderr_contains(&error)
        .assert_code(3);
    run.repeat(&[]).assert_code(0);
    let verified = run.sandbox.run(&["card", "verify", run.card.path()]);
    assert!(
        verified.assert_code(0).stdout.contains(" holds the image: ")
            && !verified.stderr.contains("broken off")
    );
    assert_eq!(history().lines().filter(|line| line.contains("  done  ")).count(), 1);
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_killed_tool_leaves_a_receipt() {
    let mut run = StalledFlash::start(DeviceFault::StallsWrite(POSITION));
    run.signal(SignalTo::Tool, Signal::KILL);
    run.finish();
    let history = run.sandbox.run(&["history"]);
    assert!(
        history.assert_code(0).stdout.contains("; not finished: it is still running, or was killed"),
        "{}",
        history.stdout
    );
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_signal_to_the_tool_alone_stops_the_worker() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut run = StalledFlash::start(DeviceFault::StallsWrite(POSITION));
        run.signal(SignalTo::Tool, signal);
        // The tool passes the signal on to the worker, which still waits for the card. A busy machine takes its time.
        std::thread::sleep(Duration::from_secs(2));
        let outcome = run.finish();
        outcome.assert_code(130);
        outcome.assert_stderr_contains("stopped at byte");
        run.assert_blank_and_repeatable();
    }
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn the_worker_stops_when_the_tool_is_killed() {
    let mut run = StalledFlash::start(DeviceFault::StallsWrite(POSITION));
    run.signal(SignalTo::Tool, Signal::KILL);
    assert_eq!(run.run.child.wait().unwrap().code(), None);
    std::thread::sleep(Duration::from_millis(300));
    run.card.release();
    run.wait_for_worker_end();
    let content = run.card.bytes();
    assert!(content[7 * MIB..8 * MIB] == garbage(12 * MIB)[7 * MIB..8 * MIB], "the worker went on");
    run.assert_blank_and_repeatable();
}

/// The image is replaced before the worker opens it, and while the worker reads it.
#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn an_image_that_is_replaced_during_the_flash_is_refused() {
    for (position, doing) in [(0, "opening the image "), (MIB + BEHIND_PROBE, "reading the image")] {
        for format in ["img.zst", "img"] {
            let mut run = StalledFlash::start_with_format(format, DeviceFault::StallsWrite(position));
            let mut other = run.image.clone();
            other[7 * MIB..].reverse();
            pack(&run.sandbox.path("home"), format, &other);
            let outcome = run.finish();
            outcome.assert_code(4);
            outcome.assert_stderr_contains(format!("error: {doing}"));
            outcome.assert_stderr_contains(": the file has changed since it was opened");
            assert!(is_blank(&run.card.bytes()[..MIB]));
        }
    }
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_killed_worker_leaves_the_head_blank() {
    // The position 0 is that of the first write, before the first progress event.
    for position in [POSITION, 0] {
        let mut run = StalledFlash::start(DeviceFault::StallsWrite(position));
        kill_process(run.worker(), Signal::KILL).unwrap();
        let outcome = run.finish();
        outcome.assert_code(5);
        outcome.assert_stderr_contains("before the card was complete\nhint: run the same command again");
        run.wait_for_worker_end();
        run.assert_blank_and_repeatable();
    }
}

/// The worker that `tool` has started; `None` where there is none.
pub fn worker_of(tool: &Child) -> Option<Pid> {
    let id = tool.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
    let is_worker = |child: &&str| {
        let line = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == b"write-card")
    };
    let child = children.split_whitespace().find(is_worker)?;
    Pid::from_raw(child.parse().ok()?)
}

impl StalledFlash {
    /// The process id of the worker.
    #[track_caller]
    pub fn worker(&self) -> Pid {
        worker_of(&self.run.child).expect("a worker")
    }

    /// Waits until the worker, which claims the card as long as it lives, has ended.
    #[track_caller]
    pub fn wait_for_worker_end(&self) {
        wait_for_worker_end(self.card.path());
    }
}

/// Waits until no worker claims the card at `path`.
#[track_caller]
pub fn wait_for_worker_end(path: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let exclusive = rustix::fs::OFlags::EXCL.bits().cast_signed();
    let start = Instant::now();
    while std::fs::OpenOptions::new().read(true).custom_flags(exclusive).open(path).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "the worker still claims the card");
        std::thread::sleep(Duration::from_millis(50));
    }
}
