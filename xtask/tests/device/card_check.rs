//! `card check`: honest cards pass and are unchanged, counterfeit cards are suspect.

use rustix::process::{Pid, Signal, kill_process};

use crate::card::{Card, MIB};
use crate::faulty::FaultyCard;
use crate::fuse_card::DeviceFault;
use crate::image::garbage;
use crate::support::xtask::{Running, SignalTo};
use crate::support::{Outcome, Sandbox};

/// The arguments of a check of the card `device` of `size` that is confirmed by flags.
fn confirmed_check_args<'a>(device: &'a str, size: &'a str) -> [&'a str; 7] {
    ["card", "check", device, "--allow-virtual", "--yes", "--expect-size", size]
}

/// Runs a check of the card `device` of `size`.
fn check(device: &str, size: &str) -> Outcome {
    Sandbox::new().run(&confirmed_check_args(device, size))
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn an_honest_card_passes_and_is_unchanged() {
    let card = Card::new(40);
    let outcome = check(card.device.device(), "40MiB");
    let stdout = &outcome.assert_code(0).stdout;
    let probes = stdout.strip_prefix(&format!("{}: capacity ok: 40.0 MiB, ", card.device.device()));
    let probes = probes.and_then(|rest| rest.strip_suffix(" probes read back\n")).expect(stdout);
    // No card gets more than 110 probes, and one of 40 MiB gets at least 30.
    assert!((30..=110).contains(&probes.parse::<u32>().unwrap()), "{stdout}");
    card.assert_unchanged();
    let args = [&["--json"][..], &confirmed_check_args(card.device.device(), "40MiB")].concat();
    let result = Sandbox::new().run(&args);
    let result = result.assert_code(0).json();
    assert_eq!(result["bytes"], 40 * MIB);
    assert_eq!(result["probes"].to_string(), probes);
    card.assert_unchanged();
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn counterfeit_cards_are_suspect_and_restored() {
    for fault in [
        DeviceFault::Wraps(8 * MIB),
        DeviceFault::Wraps(4 * MIB),
        DeviceFault::Drops(8 * MIB),
        DeviceFault::Drops(11 * MIB),
    ] {
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
        assert!(card.bytes() == garbage(12 * MIB), "{fault:?}");
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
        (&["--allow-virtual"], "cannot ask whether "),
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
    let notice = "Capacity probes overwrite blocks all over this card";
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.xtask(&["card", "check", device, "--allow-virtual"]).on_terminal();
    terminal.wait_for(notice).answer(" to go on:", "no");
    terminal.finish().assert_stderr_contains("error: not confirmed; no card was written").assert_code(3);
    card.assert_unchanged();
    let mut terminal = sandbox.xtask(&["card", "check", device, "--allow-virtual"]).on_terminal();
    terminal.answer(" to go on:", device);
    let outcome = terminal.finish();
    assert!(outcome.assert_code(0).stdout.contains("capacity ok: 12.0 MiB"));
    card.assert_unchanged();
}

/// Starts a check, and waits until its card stalls at the probe at 5 MiB.
fn start_stalled_check() -> (FaultyCard, Running) {
    let card = FaultyCard::new(12, DeviceFault::StallsWrite(5 * MIB));
    let run = Sandbox::new().xtask(&confirmed_check_args(card.path(), "12MiB")).spawn();
    card.wait_for_stall();
    (card, run)
}

/// Ends the stall, and waits for the end of the check.
fn release_and_finish(card: &FaultyCard, mut run: Running) -> Outcome {
    card.release();
    run.finish()
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn ctrl_c_restores_the_card() {
    let (card, run) = start_stalled_check();
    assert!(card.bytes() != garbage(12 * MIB), "no probe was written yet");
    run.signal(SignalTo::Group, Signal::INT);
    let outcome = release_and_finish(&card, run);
    let text = "error: stopped during the capacity check; the card holds again what it held before\n";
    assert!(outcome.stderr.ends_with(text), "{outcome:?}");
    outcome.assert_code(130);
    assert!(card.bytes() == garbage(12 * MIB), "probes were left on the card");
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_killed_worker_is_reported() {
    let (card, run) = start_stalled_check();
    let id = run.child.id();
    let children =
        std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("listing children");
    let worker = Pid::from_raw(children.trim().parse().expect("one child")).expect("a process");
    kill_process(worker, Signal::KILL).unwrap();
    let outcome = release_and_finish(&card, run);
    let text = "before it had restored the card: up to 110 blocks of 4 KiB may hold capacity probes\n\
                hint: flash the card before you use it\n";
    assert!(outcome.stderr.ends_with(text), "{outcome:?}");
    outcome.assert_code(5);
}
