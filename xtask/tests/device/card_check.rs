//! `card check`: honest cards pass and keep every byte, counterfeit ones do not pass.

use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::card::{Card, MIB};
use crate::faulty::FaultyCard;
use crate::image::garbage;
use crate::medium::Fault;
use crate::support::{Outcome, Sandbox};

/// The options that agree to the check of a card of `size`.
fn agreed<'a>(device: &'a str, size: &'a str) -> [&'a str; 7] {
    ["card", "check", device, "--allow-virtual", "--yes", "--expect-size", size]
}

fn check(device: &str, size: &str) -> Outcome {
    Sandbox::new().run(&agreed(device, size))
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn an_honest_card_passes_and_is_unchanged() {
    let card = Card::new(40);
    let outcome = check(card.device.device(), "40MiB");
    let stdout = &outcome.assert_code(0).stdout;
    let places = stdout.strip_prefix(&format!("{}: capacity ok: 40.0 MiB, ", card.device.device()));
    let places = places.and_then(|rest| rest.strip_suffix(" probes read back\n")).expect(stdout);
    assert!((30..=110).contains(&places.parse::<u32>().unwrap()), "{stdout}");
    card.is_unchanged();
    let args = [&["--json"][..], &agreed(card.device.device(), "40MiB")].concat();
    let result = Sandbox::new().run(&args);
    let result = serde_json::from_str::<serde_json::Value>(&result.assert_code(0).stdout).unwrap();
    assert_eq!((&result["size"], result["places"].to_string().as_str()), (&(40 * MIB).into(), places));
    card.is_unchanged();
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn counterfeit_cards_are_suspect_and_restored() {
    for fault in [Fault::Wraps(8 * MIB), Fault::Wraps(4 * MIB), Fault::Drops(8 * MIB), Fault::Drops(11 * MIB)]
    {
        let card = FaultyCard::new(12, fault);
        let outcome = check(card.path(), "12MiB");
        outcome.assert_stderr_contains(
            "error: the card is suspect: it claims 12.0 MiB (12582912 bytes), but does not keep what is",
        );
        outcome
            .assert_stderr_contains(
                " probes failed); the card holds again what it held before\nhint: counterfeit cards do this",
            )
            .assert_code(4);
        assert!(card.medium() == garbage(12 * MIB), "{fault:?}");
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn card_check_writes_only_after_confirmation() {
    let card = Card::new(12);
    let device = card.device.device();
    for (options, text) in [
        (
            &["--yes", "--expect-size", "12MiB"][..],
            "is a loop device, not a card\nhint: pass --allow-virtual to accept it",
        ),
        (&["--allow-virtual"], "there is no terminal to confirm on that "),
        (
            &["--allow-virtual", "--yes"],
            "--yes alone does not identify the card\nhint: add --expect-size 12582912",
        ),
        (
            &["--allow-virtual", "--yes", "--expect-size", "13MiB"],
            "has 12582912 bytes, but 13631488 are expected",
        ),
    ] {
        Sandbox::new()
            .run(&[&["card", "check", device], options].concat())
            .assert_stderr_contains(text)
            .assert_code(3);
    }
    let question = "Capacity probes overwrite blocks all over this card and restore them afterwards. Type the name of the device (";
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.xtask(&["card", "check", device, "--allow-virtual"]).on_terminal();
    terminal.wait_for(question).answer(" to go on:", "no");
    terminal.finish().assert_stderr_contains("error: not confirmed; nothing was written").assert_code(3);
    card.is_unchanged();
    let mut terminal = sandbox.xtask(&["card", "check", device, "--allow-virtual"]).on_terminal();
    terminal.answer(" to go on:", device);
    let outcome = terminal.finish();
    assert!(outcome.assert_code(0).stdout.contains("capacity ok: 12.0 MiB"));
    card.is_unchanged();
}

/// A check that hangs where it writes the probe at 5 MiB.
fn hanging() -> (FaultyCard, Child) {
    let card = FaultyCard::new(12, Fault::StallsWrite(5 * MIB));
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&agreed(card.path(), "12MiB"));
    command.stderr(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    let child = command.spawn().expect("running the binary");
    card.wait_for_stall();
    (card, child)
}

fn end(card: &FaultyCard, child: Child) -> (Option<i32>, String) {
    card.release();
    let output = child.wait_with_output().expect("waiting for the binary");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn ctrl_c_restores_the_card() {
    let (card, child) = hanging();
    assert!(card.medium() != garbage(12 * MIB), "no probe was written yet");
    kill_process_group(Pid::from_child(&child), Signal::INT).unwrap();
    let (code, said) = end(&card, child);
    let text = "error: stopped during the capacity check; the card holds again what it held before\n";
    assert!(code == Some(130) && said.ends_with(text), "{code:?}: {said}");
    assert!(card.medium() == garbage(12 * MIB), "probes were left on the card");
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_killed_worker_is_reported() {
    let (card, child) = hanging();
    let id = child.id();
    let children =
        std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("listing children");
    let worker = Pid::from_raw(children.trim().parse().expect("one child")).expect("a process");
    kill_process(worker, Signal::KILL).unwrap();
    let (code, said) = end(&card, child);
    let text = "before it had restored the card: up to 110 blocks of 4 KiB may hold capacity probes\n\
                hint: flash the card before you use it\n";
    assert!(code == Some(5) && said.ends_with(text), "{code:?}: {said}");
}
