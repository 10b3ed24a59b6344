//! Stopping a flash midway: the card hangs at a known position, the tool is asked to stop, the card goes on.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::card::{MIB, is_blank};
use crate::faults::PLACE;
use crate::faulty::FaultyCard;
use crate::flash::flash;
use crate::image::{garbage, image, pack};
use crate::medium::Fault;
use crate::support::{Outcome, Sandbox};

/// A position in a MiB, behind the capacity probe.
const PAGE: usize = 4096;

/// A flash of 8 MiB that hangs where its card stalls.
pub struct Run {
    pub card: FaultyCard,
    sandbox: Sandbox,
    child: Child,
    stderr: BufReader<ChildStderr>,
    pub image: Vec<u8>,
}

impl Run {
    #[track_caller]
    pub fn until(fault: Fault) -> Self {
        Self::with("img.zst", fault)
    }

    /// A flash with an image file of this format, until the card stalls.
    #[track_caller]
    fn with(format: &str, fault: Fault) -> Self {
        Self::started(format, fault, |command| command)
    }

    /// A flash that was started with a signal ignored.
    #[track_caller]
    pub fn ignoring(signal: &str, fault: Fault) -> Self {
        Self::started("img.zst", fault, |command| {
            #[expect(
                clippy::disallowed_methods,
                reason = "the suites use the machine's own tools as they are"
            )]
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("trap '' {signal}; exec \"$0\" \"$@\"")]);
            shell.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
            shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            shell
        })
    }

    #[track_caller]
    fn started(format: &str, fault: Fault, wrap: impl FnOnce(Command) -> Command) -> Self {
        let card = FaultyCard::new(12, fault);
        let sandbox = Sandbox::new();
        let image = image(8);
        let file = pack(&sandbox.path("home"), format, &image);
        let words = [file.to_str().expect("a plain path"), card.path()];
        let args =
            ["flash", "--image", words[0], words[1], "--allow-virtual", "--yes", "--expect-size", "12MiB"];
        let mut command = wrap(sandbox.command(&args));
        // A group of its own, as a terminal gives one to each command.
        command.stderr(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().expect("running the binary");
        let stderr = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        card.wait_for_stall();
        Self { card, sandbox, child, stderr, image }
    }

    /// Reads stderr up to the next line that contains `text`, while the card stalls.
    #[track_caller]
    pub fn said_until(&mut self, text: &str) -> String {
        let mut said = String::new();
        loop {
            let mut line = String::new();
            assert!(
                self.stderr.read_line(&mut line).expect("reading stderr") > 0,
                "not said: {text}: {said}"
            );
            if line.contains(text) {
                return line;
            }
            said += &line;
        }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Lets the card go on, and returns the exit code and stderr.
    pub fn end(&mut self) -> (Option<i32>, String) {
        self.card.release();
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).expect("reading stderr");
        (self.child.wait().expect("waiting for the binary").code(), said)
    }

    /// Runs the same command again, with these options added.
    pub fn again(&self, options: &[&str]) -> Outcome {
        let file = self.sandbox.path("home").join("nixos-sd-image.img.zst");
        flash(&self.sandbox, &file, self.card.path(), "12MiB", options)
    }

    /// Asserts that the card does not boot, and that the same command then completes the flash.
    #[track_caller]
    pub fn is_blank_and_can_be_repeated(&self) {
        assert!(is_blank(&self.card.medium()[..MIB]));
        self.again(&[]).assert_code(0);
        assert!(self.card.medium().starts_with(&self.image));
    }
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn ctrl_c_during_write_and_verify_leaves_the_head_blank() {
    for fault in [Fault::StallsWrite(PLACE), Fault::StallsRead(PLACE)] {
        let mut run = Run::until(fault);
        kill_process_group(run.pid(), Signal::INT).unwrap();
        let (code, said) = run.end();
        assert_eq!(code, Some(130), "{fault:?}: {said}");
        assert!(said.contains("error: stopped at byte "), "{fault:?}: {said}");
        assert!(said.contains("will not boot\nhint: run the same command again"), "{fault:?}: {said}");
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
        run.is_blank_and_can_be_repeated();
    }
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn an_interrupted_flash_leaves_a_receipt() {
    let mut run = Run::until(Fault::StallsWrite(PLACE));
    kill_process_group(run.pid(), Signal::INT).unwrap();
    assert_eq!(run.end().0, Some(130));
    let history = || run.sandbox.run(&["history"]).assert_code(0).stdout.clone();
    let told = history();
    assert!(
        told.contains("  flash  -     broken off  -  ") && told.contains("(broken off at write, "),
        "{told}"
    );
    assert!(told.trim_end().ends_with(" of 8.0 MiB, exit code 130)"), "{told}");
    // It is never taken for a flash that was done.
    let words = format!("there is no receipt of this project for {}", run.card.path());
    let verified = run.sandbox.run(&["card", "verify", run.card.path()]);
    verified
        .assert_stderr_contains("warning: the last flash of 2")
        .assert_stderr_contains("broken off at write")
        .assert_stderr_contains(&words)
        .assert_code(3);
    run.again(&[]).assert_code(0);
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
    let mut run = Run::until(Fault::StallsWrite(PLACE));
    kill_process(run.pid(), Signal::KILL).unwrap();
    run.end();
    let told = run.sandbox.run(&["history"]);
    assert!(
        told.assert_code(0).stdout.contains("(not finished: it is still running, or was killed)"),
        "{}",
        told.stdout
    );
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_signal_to_the_tool_alone_stops_the_worker() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut run = Run::until(Fault::StallsWrite(PLACE));
        kill_process(run.pid(), signal).unwrap();
        // The tool passes the signal on to the worker, which still waits for the card.
        std::thread::sleep(Duration::from_millis(300));
        let (code, said) = run.end();
        assert_eq!(code, Some(130), "{signal:?}: {said}");
        assert!(said.contains("stopped at byte"), "{signal:?}: {said}");
        run.is_blank_and_can_be_repeated();
    }
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn the_worker_stops_when_the_tool_is_killed() {
    let mut run = Run::until(Fault::StallsWrite(PLACE));
    kill_process(run.pid(), Signal::KILL).unwrap();
    assert_eq!(run.child.wait().unwrap().code(), None);
    std::thread::sleep(Duration::from_millis(300));
    run.card.release();
    run.wait_until_nobody_writes();
    let medium = run.card.medium();
    assert!(medium[7 * MIB..8 * MIB] == garbage(12 * MIB)[7 * MIB..8 * MIB], "the worker went on");
    run.is_blank_and_can_be_repeated();
}

/// The image is replaced before the worker opens it, and while the worker reads it.
#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn an_image_that_is_replaced_during_the_flash_is_refused() {
    for (place, doing) in [(0, "opening the image "), (MIB + PAGE, "reading the image")] {
        for format in ["img.zst", "img"] {
            let mut run = Run::with(format, Fault::StallsWrite(place));
            let mut other = run.image.clone();
            other[7 * MIB..].reverse();
            pack(&run.sandbox.path("home"), format, &other);
            let (code, said) = run.end();
            assert_eq!(code, Some(4), "{format} {place}: {said}");
            assert!(said.contains(&format!("error: {doing}")), "{said}");
            assert!(said.contains(": the file has changed since it was opened"), "{said}");
            assert!(is_blank(&run.card.medium()[..MIB]));
        }
    }
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_killed_worker_leaves_the_head_blank() {
    // The second one at the very first write, before the first progress event.
    for place in [PLACE, 0] {
        let mut run = Run::until(Fault::StallsWrite(place));
        kill_process(run.worker(), Signal::KILL).unwrap();
        let (code, said) = run.end();
        assert_eq!(code, Some(5), "{place}: {said}");
        assert!(
            said.contains("before the card was complete\nhint: run the same command again"),
            "{place}: {said}"
        );
        run.wait_until_nobody_writes();
        run.is_blank_and_can_be_repeated();
    }
}

/// The worker that the tool has started, if any.
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

impl Run {
    #[track_caller]
    pub fn worker(&self) -> Pid {
        worker_of(&self.child).expect("a worker")
    }

    /// Waits until the worker, which claims the card as long as it lives, has ended.
    #[track_caller]
    pub fn wait_until_nobody_writes(&self) {
        wait_until_nobody_writes(self.card.path());
    }
}

/// Waits until no worker claims the card at `path`.
#[track_caller]
pub fn wait_until_nobody_writes(path: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let exclusive = rustix::fs::OFlags::EXCL.bits().cast_signed();
    let begin = Instant::now();
    while std::fs::OpenOptions::new().read(true).custom_flags(exclusive).open(path).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(20), "the worker is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
}
