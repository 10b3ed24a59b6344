//! Flashes of several cards at once: each card holds its image, and gets its own identity.

use std::path::Path;

use rustix::process::Signal;

use crate::card::{Card, MIB};
use crate::fake_flake::{FLAKE, FakeFlake, derivation};
use crate::host_image::{assert_differs_only_in, assert_sound, host_image, payload_chunks, private_key};
use crate::image::{image, pack};
use crate::payload::KEY;
use crate::support::xtask::{SignalTo, Xtask};
use crate::support::{Outcome, Sandbox};
use crate::user::{User, give_to_user};

/// The arguments of a flash of `file` to the cards `to`, confirmed by flags for cards of `size`.
pub fn args<'a>(file: &'a Path, to: &[&'a str], size: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["flash", "--image", file.to_str().expect("a plain path")];
    args.extend(to.iter().flat_map(|to| ["--to", *to]));
    args.extend(["--allow-virtual", "--yes", "--expect-size", size]);
    [&args[..], more].concat()
}

/// Runs the tool with [`args`].
pub fn flash(sandbox: &Sandbox, file: &Path, to: &[&str], size: &str, more: &[&str]) -> Outcome {
    sandbox.run(&args(file, to, size, more))
}

/// The devices of `cards`.
fn devices(cards: &[Card]) -> Vec<&str> {
    cards.iter().map(|card| card.device.device()).collect()
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn one_image_is_written_to_three_cards() {
    let sandbox = Sandbox::new();
    let image = image(20);
    for (format, mode) in [("img.zst", "auto"), ("img", "full"), ("img.xz", "delta")] {
        let cards = [Card::new(28), Card::new(28), Card::new(28)];
        let file = pack(&sandbox.path("home"), format, &image);
        let outcome = flash(&sandbox, &file, &devices(&cards), "28MiB", &["--mode", mode]);
        outcome.assert_code(0);
        assert_eq!(outcome.stdout.matches("  verified  ").count(), 3, "{}", outcome.stdout);
        // The plan names the image once and each card, and each card has lines of its own.
        assert_eq!(outcome.stderr.matches("image   ").count(), 1, "{}", outcome.stderr);
        for card in &cards {
            let device = card.device.device();
            let label = device.trim_start_matches("/dev/");
            outcome
                .assert_stderr_contains(format!("card    {device} ("))
                .assert_stderr_contains(format!("{label}: {device} holds the image: 20.0 MiB read back"));
            card.assert_holds(&image);
        }
        let history = sandbox.run(&["history"]);
        for card in &cards {
            history.assert_stdout_contains(card.device.backing_file().display().to_string());
        }
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn the_result_lists_the_cards_and_events_name_them() {
    let sandbox = Sandbox::new();
    let cards = [Card::new(12), Card::new(12)];
    let file = pack(&sandbox.path("home"), "img.zst", &image(8));
    let outcome = flash(&sandbox, &file, &devices(&cards), "12MiB", &["--json"]);
    let result = outcome.assert_code(0).json();
    let listed = result["cards"].as_array().unwrap();
    let of = |field: &str| listed.iter().map(|card| card[field].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(of("device"), devices(&cards));
    assert!(listed.iter().all(|card| card["error"].is_null() && card["report"]["bytes"] == 8 * MIB));
    for device in devices(&cards) {
        let events = outcome.events().into_iter().filter(|event| event["device"] == device);
        let kinds = events.map(|event| event["event"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert!(
            ["plan", "phase", "map"].iter().all(|kind| kinds.iter().any(|other| other == kind)),
            "{kinds:?}"
        );
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn cards_that_hold_the_image_are_only_read() {
    let sandbox = Sandbox::new();
    let image = image(20);
    let file = pack(&sandbox.path("home"), "img.zst", &image);
    let cards = [Card::new(28), Card::new(28)];
    flash(&sandbox, &file, &devices(&cards)[..1], "28MiB", &[]).assert_code(0);
    let outcome = flash(&sandbox, &file, &devices(&cards), "28MiB", &["--json"]);
    let result = outcome.assert_code(0).json();
    let written = |card: usize| {
        let runs = result["cards"][card]["report"]["map"].as_array().unwrap().iter();
        let runs = runs.filter(|run| run["state"] == "written").map(|run| run["mib"].as_u64().unwrap());
        runs.sum::<u64>()
    };
    // The head is written in any case.
    assert_eq!(written(0), 1);
    assert!(written(1) > 5, "{}", written(1));
    for card in &cards {
        card.assert_holds(&image);
    }
}

#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn each_card_gets_the_identity_of_its_host() {
    let sandbox = Sandbox::new();
    let image = host_image(4096);
    let cards = [Card::new(48), Card::new(48), Card::new(48)];
    let file = pack(&sandbox.path("home"), "img.zst", &image);
    let [first, second, third] = &cards;
    let to = [
        format!("{}=one", first.device.device()),
        format!("{}=two", second.device.device()),
        third.device.device().to_owned(),
    ];
    let to = to.iter().map(String::as_str).collect::<Vec<_>>();
    let outcome = flash(&sandbox, &file, &to, "48MiB", &["--json"]);
    let result = outcome.assert_code(0).json();
    for (index, host) in ["one", "two"].into_iter().enumerate() {
        let card = &result["cards"][index];
        assert_eq!(card["identity"]["host"], host);
        let device = cards[index].device.device();
        assert_sound(device);
        let changed = payload_chunks(&card.to_string());
        assert_differs_only_in(&cards[index].device.bytes(), &image, &changed);
        let key = private_key(&sandbox, host);
        assert_eq!(crate::host_image::debugfs(device, &format!("cat {KEY}")), key, "{host}");
    }
    assert_ne!(private_key(&sandbox, "one"), private_key(&sandbox, "two"));
    third.assert_holds(&image);
    let known = std::fs::read_to_string(sandbox.path("state/identity/known_hosts")).unwrap();
    assert!(known.contains("one ") && known.contains("two "), "{known}");
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn one_refused_card_keeps_all_from_being_written() {
    let sandbox = Sandbox::new();
    let file = pack(&sandbox.path("home"), "img.zst", &image(8));
    let cards = [Card::new(12), Card::new(12)];
    let small = Card::new(4);
    let [one, two] = &cards;
    let [one, two] = [one.device.device(), two.device.device()];
    let refused = |to: &[&str], text: &str, more: &[&str]| {
        let outcome = flash(&sandbox, &file, to, "12MiB", more);
        outcome.assert_code(3).assert_stderr_contains(text);
        cards.iter().for_each(Card::assert_unchanged);
        small.assert_unchanged();
    };
    let expected = format!("{} has {} bytes, but {} are expected", small.device.device(), 4 * MIB, 12 * MIB);
    refused(&[one, small.device.device()], &expected, &[]);
    // Both culprits are named at once.
    refused(&[small.device.device(), "/dev/null"], &expected, &[]);
    refused(&[small.device.device(), "/dev/null"], "/dev/null", &[]);
    let link = sandbox.path("home/link");
    std::os::unix::fs::symlink(one, &link).unwrap();
    refused(&[one, two, link.to_str().unwrap()], "is named for two cards", &[]);
    let outcome = flash(&sandbox, &file, &[one, two], "12MiB", &["--dry-run"]);
    outcome.assert_code(0).assert_stdout_contains(format!("dry run: {one} would get the image: 8.0 MiB"));
    cards.iter().for_each(Card::assert_unchanged);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn one_confirmation_names_all_devices() {
    let sandbox = Sandbox::new();
    let image = image(8);
    let file = pack(&sandbox.path("home"), "img.zst", &image);
    let cards = [Card::new(12), Card::new(12)];
    let names = cards.iter().map(|card| card.device.device().trim_start_matches("/dev/").to_owned());
    let names = names.collect::<Vec<_>>();
    let question = format!("Type the names of all devices ({}) to go on:", names.join(" "));
    let devices = devices(&cards);
    let args = [
        "flash",
        "--image",
        file.to_str().unwrap(),
        "--to",
        devices[0],
        "--to",
        devices[1],
        "--allow-virtual",
    ];
    let mut terminal = sandbox.xtask(&args).on_terminal();
    // A part of the names does not suffice.
    terminal.answer(&question, &names[0]).type_keys_at_next(&question, "no\n");
    terminal.finish().assert_code(3).assert_stderr_contains("Everything on these cards will be lost.");
    cards.iter().for_each(Card::assert_unchanged);
    let mut terminal = sandbox.xtask(&args).on_terminal();
    terminal.answer(&question, &format!("{} {}", names[1], names[0]));
    terminal.finish().assert_code(0);
    for card in &cards {
        card.assert_holds(&image);
    }
}

/// The workers are elevated one after the other, and read their feeds with the rights of the user.
#[test]
#[ignore = "needs root and sudo: run `cargo xtask test`"]
fn a_user_writes_several_cards_by_sudo() {
    let user = User::with_image(image(20), 28);
    let _rule = user.install_sudo();
    let other = Card::new(28);
    give_to_user(&other.device.backing_file());
    let file = user.sandbox.path("home").join("nixos-sd-image.img.zst");
    let to = [user.card(), other.device.device()];
    let outcome = user.run(&args(&file, &to, "28MiB", &[]));
    outcome.assert_code(0);
    assert_eq!(outcome.stderr.matches("writing needs root: sudo -- ").count(), 2, "{}", outcome.stderr);
    other.assert_holds(&image(20));
    assert_eq!(outcome.stdout.matches("  verified  ").count(), 2, "{}", outcome.stdout);
}

/// The picker offers each card once, and names the host that it is for.
#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn hosts_without_cards_get_those_that_are_picked_or_inserted() {
    let flake = FakeFlake::of_hosts(&["one", "two"], &image(8));
    let first = Card::new(45);
    let args = ["--flake", FLAKE, "flash", "one", "two", "--allow-virtual", "--expect-size", "45MiB"];
    let mut terminal = flake.sandbox.xtask(&[&args[..], &["--identity", "none"]].concat()).on_terminal();
    terminal.wait_for("the card of one:").answer("Type 1 for this card", "1");
    terminal.wait_for("two: insert the card (Ctrl-C stops)");
    let second = Card::new(45);
    let names = [&first, &second].map(|card| card.device.device().trim_start_matches("/dev/").to_owned());
    terminal.answer("Type the names of all devices", &names.join(" "));
    let outcome = terminal.finish();
    outcome.assert_code(0);
    for (host, name) in ["one", "two"].iter().zip(&names) {
        outcome.assert_stderr_contains(format!("{name} {host}: write"));
    }
    outcome.assert_stderr_contains("next: put the cards into the Pis, then: ");
    let joint = ["one", "two"].map(|host| format!("{}^*", derivation(host)));
    let is_joint = |call: &&Vec<String>| joint.iter().all(|each| call.contains(each));
    let calls = flake.sandbox.calls("nix");
    let builds = calls.iter().filter(is_joint).filter(|call| !call.contains(&"--dry-run".to_owned())).count();
    assert_eq!(builds, 1, "one run of Nix builds both images");
    first.assert_holds(&image(8));
    second.assert_holds(&image(8));
}

/// Nobody is asked for the password of a second worker after Ctrl-C at the first.
#[test]
#[ignore = "needs root: run `cargo xtask test`"]
fn an_interrupt_before_the_workers_begin_starts_no_further_worker() {
    let user = User::with_image(image(20), 28);
    // As sudo that waits for its password.
    user.sandbox.fake("sudo", "cat >/dev/null; exit 1");
    let other = Card::new(28);
    give_to_user(&other.device.backing_file());
    let file = user.sandbox.path("home").join("nixos-sd-image.img.zst");
    let to = [user.card(), other.device.device()];
    let mut run = Xtask::new(user.command(&args(&file, &to, "28MiB", &[]))).spawn();
    run.wait_for("writing needs root: sudo -- ");
    run.signal(SignalTo::Tool, Signal::INT);
    let outcome = run.finish();
    outcome.assert_code(130);
    assert_eq!(
        outcome.stderr.matches("warning: stopped; no card was written").count(),
        2,
        "{}",
        outcome.stderr
    );
    assert_eq!(user.sandbox.calls("sudo").len(), 1);
    user.assert_card_unchanged();
    other.assert_unchanged();
}
