//! `flash` without a device writes the card that is inserted next. The cards of each test have a size of
//! their own, so that the cards of other tests are ignored.

use rustix::process::Signal;

use crate::card::{Card, MIB};
use crate::image::{image, pack};
use crate::support::Sandbox;
use crate::support::xtask::{Running, SignalTo, Xtask};

const PROMPT: &str = "insert the card (Ctrl-C stops); a card that is already in is ignored";

/// A run of `flash --image FILE` without a device, for a card of `mib` MiB.
fn flash(sandbox: &Sandbox, mib: usize, more: &[&str]) -> Xtask {
    let file = pack(&sandbox.path("home"), "img.zst", &image(6));
    let size = format!("{mib}MiB");
    let args = ["flash", "--image", file.to_str().expect("a plain path"), "--expect-size", &size];
    sandbox.xtask(&[&args[..], more].concat())
}

/// Starts a flash, and waits until the flash waits for a card.
#[track_caller]
fn start_waiting(sandbox: &Sandbox, mib: usize, more: &[&str]) -> Running {
    let mut run = flash(sandbox, mib, more).spawn();
    run.wait_for(PROMPT);
    run
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn the_inserted_card_is_written_and_not_the_one_that_was_in() {
    let sandbox = Sandbox::new();
    let old = Card::new(21);
    let mut run = start_waiting(&sandbox, 21, &["--allow-virtual", "--yes"]);
    let new = Card::new(21);
    let outcome = run.finish();
    let sum = outcome.file_sum();
    let expected = format!("{} holds the image: 6.0 MiB read back, {sum}\n", new.device.device());
    outcome.assert_code(0).assert_stdout(expected);
    new.assert_holds(&image(6));
    old.assert_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_of_another_size_is_ignored() {
    let sandbox = Sandbox::new();
    let mut run = start_waiting(&sandbox, 22, &["--allow-virtual", "--yes"]);
    let other = Card::new(23);
    run.wait_for(&format!(
        "{} has {} bytes, but {} are expected; still waiting",
        other.device.device(),
        23 * MIB,
        22 * MIB
    ));
    let card = Card::new(22);
    run.finish().assert_code(0);
    card.assert_holds(&image(6));
    other.assert_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_loop_device_is_ignored_without_the_flag() {
    let sandbox = Sandbox::new();
    let mut run = start_waiting(&sandbox, 24, &["--yes"]);
    let card = Card::new(24);
    run.wait_for(&format!("{} is a loop device, not a card; still waiting", card.device.device()));
    run.signal(SignalTo::Group, Signal::INT);
    run.finish().assert_stderr_contains("error: stopped; no card was written").assert_code(130);
    card.assert_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn on_a_terminal_the_inserted_card_is_confirmed_by_its_name() {
    let sandbox = Sandbox::new();
    for (answer, code) in [("no", 3), ("", 0)] {
        let mut terminal = flash(&sandbox, 25, &["--allow-virtual"]).on_terminal();
        terminal.wait_for(PROMPT);
        let card = Card::new(25);
        let name = card.device.device().trim_start_matches("/dev/");
        let answer = if answer.is_empty() { name } else { answer };
        terminal.answer(&format!("Type the name of the device ({name}) to go on:"), answer);
        terminal.finish().assert_code(code);
        if code == 0 { card.assert_holds(&image(6)) } else { card.assert_unchanged() }
    }
}

/// The tool waits for a card only if the user can confirm it, or has described it.
#[test]
fn waiting_without_a_terminal_needs_a_description_of_the_card() {
    let sandbox = Sandbox::new();
    let file = pack(&sandbox.path("home"), "img", &image(6));
    let file = file.to_str().unwrap();
    let hint = "pass --yes with --expect-size SIZE or --expect-serial SERIAL";
    for (more, error) in [
        (&[][..], "cannot ask for the confirmation of a card: there is no terminal"),
        (&["--yes"], "--yes alone does not identify the card"),
    ] {
        let outcome = sandbox.run(&[&["flash", "--image", file][..], more].concat());
        assert_eq!(outcome.stderr, format!("error: {error}\nhint: {hint}\n"));
        outcome.assert_code(3);
    }
}
