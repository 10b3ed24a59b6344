//! `flash` without a device on a terminal: a card that is in already is picked from a list. The cards of each test have
//! a size of their own, so that the cards of other tests cannot be picked.

use crate::card::{Card, MIB};
use crate::image::{image, pack};
use crate::support::Sandbox;
use crate::support::loops::Loop;
use crate::support::terminal::Terminal;

const QUESTION: &str = "Type 1 for this card, or press Enter to insert another one later:";
const PROMPT: &str = "insert the card (Ctrl-C stops)";

/// Starts a flash on a terminal for a card of `mib` MiB, and waits for the list.
#[track_caller]
fn start(sandbox: &Sandbox, mib: usize) -> Terminal {
    let file = pack(&sandbox.path("home"), "img.zst", &image(6));
    let size = format!("{mib}MiB");
    let args = ["flash", "--image", file.to_str().expect("a plain path"), "--expect-size", &size];
    let mut terminal = sandbox.xtask(&[&args[..], &["--allow-virtual"]].concat()).on_terminal();
    terminal.wait_for(QUESTION);
    terminal
}

/// The question for the name of `card`, and the name.
fn confirmation(card: &Loop) -> (String, String) {
    let name = card.device().trim_start_matches("/dev/").to_owned();
    (format!("Type the name of the device ({name}) to go on:"), name)
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_that_is_in_is_picked_by_its_number() {
    let sandbox = Sandbox::new();
    let card = Card::new(41);
    let other = Card::new(42);
    let mut terminal = start(&sandbox, 41);
    terminal.answer(QUESTION, "1");
    let (question, name) = confirmation(&card.device);
    terminal.answer(&question, &name);
    let outcome = terminal.finish();
    outcome.assert_code(0);
    let row = format!("1  {}", card.device.device());
    outcome.assert_stderr_contains(row).assert_stderr_contains(format!(
        "not offered: {} has {} bytes, but {} are expected",
        other.device.device(),
        42 * MIB,
        41 * MIB
    ));
    card.assert_holds(&image(6));
    other.assert_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_wrong_number_may_be_corrected_once() {
    let sandbox = Sandbox::new();
    let card = Card::new(43);
    for (second, code) in [("0", 3), ("1", 3)] {
        let mut terminal = start(&sandbox, 43);
        terminal.answer(QUESTION, "7").wait_for("\"7\" is no number of a card.");
        terminal.type_keys_at_next(QUESTION, &format!("{second}\n"));
        if second == "1" {
            let (question, _) = confirmation(&card.device);
            terminal.answer(&question, "no");
        }
        terminal.finish().assert_code(code);
        card.assert_unchanged();
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn without_a_number_the_card_that_is_inserted_next_is_written() {
    let sandbox = Sandbox::new();
    let old = Card::new(44);
    let mut terminal = start(&sandbox, 44);
    terminal.answer(QUESTION, "").wait_for(PROMPT);
    let new = Card::new(44);
    let (question, name) = confirmation(&new.device);
    terminal.answer(&question, &name);
    terminal.finish().assert_code(0);
    new.assert_holds(&image(6));
    old.assert_unchanged();
}

/// The card is the one that was listed, not the one that is at its place when the user answers.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_that_is_exchanged_after_the_list_is_refused() {
    let sandbox = Sandbox::new();
    let card = Card::new(45);
    let mut terminal = start(&sandbox, 45);
    card.device.reattach();
    terminal.answer(QUESTION, "1");
    let (question, name) = confirmation(&card.device);
    terminal.answer(&question, &name);
    terminal.finish().assert_stderr_contains("is not the card that was confirmed").assert_code(3);
    card.assert_unchanged();
}
