//! Without a device: the card that is inserted next, and no other. Each test has cards of a size of its
//! own, because whatever else is attached on this machine meanwhile is passed over by its size.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::card::{Card, MIB};
use crate::image::{image, pack};
use crate::support::terminal::Terminal;
use crate::support::{Outcome, Sandbox, content_hash};

const PROMPT: &str = "insert the card (Ctrl-C stops); a card that is already in is ignored";

/// `flash --image FILE` for a card of `mib` MiB.
fn command(sandbox: &Sandbox, mib: usize, more: &[&str]) -> Command {
    let file = pack(&sandbox.path("home"), "img.zst", &image(6));
    let size = format!("{mib}MiB");
    let args = ["flash", "--image", file.to_str().expect("a plain path"), "--expect-size", &size];
    sandbox.command(&[&args[..], more].concat())
}

/// A run that is listened to while it waits.
struct Waiting {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Waiting {
    fn begin(sandbox: &Sandbox, mib: usize) -> Self {
        let mut command = command(sandbox, mib, &["--allow-virtual", "--yes"]);
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("running the binary");
        let stderr = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        let mut run = Self { child, stderr, said: String::new() };
        run.wait_for(PROMPT);
        run
    }

    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        while !self.said.contains(text) {
            assert!(self.hear(), "not said: {text:?}\n{}", self.said);
        }
    }

    fn hear(&mut self) -> bool {
        self.stderr.read_line(&mut self.said).expect("reading stderr") > 0
    }

    fn end(mut self) -> Outcome {
        while self.hear() {}
        let output = self.child.wait_with_output().expect("waiting for the binary");
        Outcome { stderr: self.said, ..Outcome::of(&output) }
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn the_inserted_card_is_written_and_not_the_one_that_was_in() {
    let sandbox = Sandbox::new();
    let old = Card::new(21);
    let run = Waiting::begin(&sandbox, 21);
    let new = Card::new(21);
    let outcome = run.end();
    let hash = content_hash(&image(6));
    let expected = format!("{} holds the image: 6.0 MiB read back, hash {hash}\n", new.device.device());
    outcome.assert_code(0).assert_stdout(expected);
    new.holds(&image(6));
    old.is_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_of_another_size_is_ignored() {
    let sandbox = Sandbox::new();
    let mut run = Waiting::begin(&sandbox, 22);
    let other = Card::new(23);
    run.wait_for(&format!(
        "{} has {} bytes, but {} are expected; still waiting",
        other.device.device(),
        23 * MIB,
        22 * MIB
    ));
    let card = Card::new(22);
    run.end().assert_code(0);
    card.holds(&image(6));
    other.is_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_loop_device_is_ignored_without_the_flag() {
    let sandbox = Sandbox::new();
    let mut command = command(&sandbox, 24, &["--yes"]);
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("running the binary");
    let stderr = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
    let mut run = Waiting { child, stderr, said: String::new() };
    run.wait_for(PROMPT);
    let card = Card::new(24);
    run.wait_for(&format!("{} is a loop device, not a card; still waiting", card.device.device()));
    kill_process_group(Pid::from_child(&run.child), Signal::INT).unwrap();
    run.end().assert_stderr_contains("error: stopped; nothing was written").assert_code(130);
    card.is_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn on_a_terminal_the_inserted_card_is_confirmed_by_its_name() {
    let sandbox = Sandbox::new();
    for (answer, code) in [("mmcblk9", 3), ("", 0)] {
        let mut terminal = Terminal::run(command(&sandbox, 25, &["--allow-virtual"]));
        terminal.wait_for(PROMPT);
        let card = Card::new(25);
        let name = card.device.device().trim_start_matches("/dev/");
        let answer = if answer.is_empty() { name } else { answer };
        terminal.answer(&format!("Type the name of the device ({name}) to go on:"), answer);
        terminal.finish().assert_code(code);
        if code == 0 { card.holds(&image(6)) } else { card.is_unchanged() }
    }
}

/// Nobody is kept waiting who cannot say which card is meant.
#[test]
fn waiting_without_a_terminal_needs_a_description_of_the_card() {
    let sandbox = Sandbox::new();
    let file = pack(&sandbox.path("home"), "img", &image(6));
    let file = file.to_str().unwrap();
    let hint = "pass --yes with --expect-size SIZE or --expect-serial SERIAL";
    for (more, words) in [
        (&[][..], "there is no terminal to confirm the card on"),
        (&["--yes"], "--yes alone does not identify the card"),
    ] {
        let outcome = sandbox.run(&[&["flash", "--image", file][..], more].concat());
        assert_eq!(outcome.stderr, format!("error: {words}\nhint: {hint}\n"));
        outcome.assert_code(3);
    }
}
