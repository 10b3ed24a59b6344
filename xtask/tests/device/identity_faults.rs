//! The card fails, or the worker ends, while the host key is written to a card that already holds the image:
//! the card does not boot, and the same command completes the flash.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::process::Stdio;
use std::time::Instant;

use fuser::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::card::{Card, MIB, is_blank};
use crate::faulty::FaultyCard;
use crate::flash::{flash, report};
use crate::fuse_card::{ALWAYS, DeviceFault};
use crate::host_image::{
    CARD_MIB, assert_differs_only_in, assert_sound, debugfs, host_image, payload_chunks, private_key,
};
use crate::image::{garbage, pack};
use crate::interrupt::{wait_for_worker_end, worker_of};
use crate::support::xtask::{Running, SignalTo};
use crate::support::{Outcome, Sandbox};

/// A flash of an image with the key of `pi` to a card that already holds the image.
struct PreparedFlash {
    sandbox: Sandbox,
    image: Vec<u8>,
    /// The content of the card before the flash.
    before: Vec<u8>,
    /// The numbers of the chunks that the host key changes.
    changed: Vec<usize>,
}

impl PreparedFlash {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let card = Card::new(CARD_MIB);
        let image = host_image(4096);
        let file = pack(&sandbox.path("home"), "img.zst", &image);
        let outcome =
            flash(&sandbox, &file, card.device.device(), "48MiB", &["--identity-of", "pi", "--json"]);
        let changed = payload_chunks(&outcome.assert_code(0).stdout);
        let before = [&image[..], &garbage(CARD_MIB * MIB)[image.len()..]].concat();
        Self { sandbox, image, before, changed }
    }

    /// A position that is written only for the host key, behind the capacity probe of its MiB.
    fn position(&self) -> usize {
        self.changed[0] * MIB + 77 * 512
    }

    /// A card that holds the image and has `fault`.
    fn card(&self, fault: DeviceFault) -> FaultyCard {
        FaultyCard::holding(self.before.clone(), fault)
    }

    /// Flashes `card`.
    fn flash(&self, card: &FaultyCard) -> Outcome {
        let file = self.sandbox.path("home").join("nixos-sd-image.img.zst");
        flash(&self.sandbox, &file, card.path(), "48MiB", &["--identity-of", "pi", "--json"])
    }

    /// Asserts that the card does not boot, and that the same command then completes the flash.
    #[track_caller]
    fn assert_blank_and_repeatable(&self, card: &FaultyCard) {
        assert!(is_blank(&card.bytes()[..MIB]));
        card.repair();
        self.assert_image_and_key(card, &self.flash(card));
    }

    /// Asserts that the flash succeeded, and that the card holds the image and the key of `pi`.
    #[track_caller]
    fn assert_image_and_key(&self, card: &FaultyCard, outcome: &Outcome) {
        let changed = payload_chunks(&outcome.assert_code(0).stdout);
        assert_differs_only_in(&card.bytes(), &self.image, &changed);
        let key = debugfs(card.path(), "cat /persist/etc/ssh/ssh_host_ed25519_key");
        assert_eq!(key, private_key(&self.sandbox, "pi"));
        assert_sound(card.path());
    }
}

#[test]
#[ignore = "needs root, FUSE, loop devices and e2fsprogs: run `cargo xtask test`"]
fn a_fault_at_the_payload_leaves_the_head_blank() {
    let prepared = PreparedFlash::new();
    let position = prepared.position();
    let at = prepared.changed[0] * MIB;
    for (fault, code, text) in [
        (
            DeviceFault::WriteFails(position, Errno::EIO),
            5,
            format!("writing the card at byte {at}: Input/output error"),
        ),
        (
            DeviceFault::ReadFails(position, Errno::EIO),
            5,
            format!("reading the card at byte {at}: Input/output error, after 3 retries"),
        ),
        (
            DeviceFault::Flipped(position, ALWAYS),
            4,
            format!("the card does not hold the bytes written at byte {at}, after 3 retries"),
        ),
        (
            DeviceFault::Lost(position, ALWAYS),
            4,
            format!("the card does not hold the bytes written at byte {at}, after 3 retries"),
        ),
    ] {
        let card = prepared.card(fault);
        let outcome = prepared.flash(&card);
        outcome
            .assert_stderr_contains(&text)
            .assert_stderr_contains("the first MiB of the card is blank, so it will not boot")
            .assert_code(code);
        prepared.assert_blank_and_repeatable(&card);
    }
}

#[test]
#[ignore = "needs root, FUSE, loop devices and e2fsprogs: run `cargo xtask test`"]
fn a_transient_fault_at_the_payload_is_healed() {
    let prepared = PreparedFlash::new();
    for fault in [DeviceFault::Flipped(prepared.position(), 2), DeviceFault::Lost(prepared.position(), 2)] {
        let card = prepared.card(fault);
        let outcome = prepared.flash(&card);
        assert_eq!(report(&outcome).retries, 2, "{fault:?}");
        prepared.assert_image_and_key(&card, &outcome);
    }
}

/// Runs a flash, and calls `stop` with the run and its worker while the card stalls.
fn stop_at_stall(prepared: &PreparedFlash, card: &FaultyCard, stop: impl FnOnce(&Running, Pid)) -> Outcome {
    let file = prepared.sandbox.path("home").join("nixos-sd-image.img.zst");
    let args = ["flash", "--image", file.to_str().unwrap(), card.path(), "--identity-of", "pi"];
    let args = [&args[..], &["--allow-virtual", "--yes", "--expect-size", "48MiB"]].concat();
    let mut run = prepared.sandbox.xtask(&args).spawn();
    card.wait_for_stall();
    stop(&run, worker_of(&run.child).unwrap());
    card.release();
    run.finish()
}

#[test]
#[ignore = "needs root, FUSE, loop devices and e2fsprogs: run `cargo xtask test`"]
fn a_worker_that_ends_before_the_head_leaves_the_head_blank() {
    let prepared = PreparedFlash::new();
    let key = private_key(&prepared.sandbox, "pi");
    let card = prepared.card(DeviceFault::StallsWrite(prepared.position()));
    let outcome = stop_at_stall(&prepared, &card, |_, worker| kill_process(worker, Signal::KILL).unwrap());
    outcome.assert_code(5);
    outcome.assert_stderr_contains("before the card was complete\nhint: run the same command again");
    std::thread::sleep(std::time::Duration::from_millis(500));
    prepared.assert_blank_and_repeatable(&card);

    let card = prepared.card(DeviceFault::StallsWrite(prepared.position()));
    let outcome = stop_at_stall(&prepared, &card, |run, _| run.signal(SignalTo::Group, Signal::INT));
    outcome.assert_code(130);
    outcome.assert_stderr_contains("stopped at byte ").assert_stderr_contains("run the same command again");
    prepared.assert_blank_and_repeatable(&card);
    assert_eq!(private_key(&prepared.sandbox, "pi"), key, "the key of the first flash is kept");
}

#[test]
#[ignore = "needs root, FUSE, loop devices and e2fsprogs: run `cargo xtask test`"]
fn a_new_key_replaces_the_old_one_once_a_card_has_it() {
    let prepared = PreparedFlash::new();
    let key = private_key(&prepared.sandbox, "pi");
    let known_hosts = || std::fs::read(prepared.sandbox.path("state/identity/known_hosts")).unwrap();
    let line = known_hosts();
    let card = prepared.card(DeviceFault::WriteFails(prepared.position(), Errno::EIO));
    let file = prepared.sandbox.path("home").join("nixos-sd-image.img.zst");
    let more = ["--identity-of", "pi", "--identity", "new"];
    flash(&prepared.sandbox, &file, card.path(), "48MiB", &more).assert_code(5);
    assert_eq!((private_key(&prepared.sandbox, "pi"), known_hosts()), (key.clone(), line.clone()));
    card.repair();
    flash(&prepared.sandbox, &file, card.path(), "48MiB", &more).assert_code(0);
    assert!(private_key(&prepared.sandbox, "pi") != key && known_hosts() != line);
}

/// Kills the worker at moments all over its work, as a power cut would: only a complete card has a partition table.
#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn a_worker_killed_at_any_moment_leaves_a_blank_or_a_whole_card() {
    let sandbox = Sandbox::new();
    let card = Card::new(CARD_MIB);
    let file = pack(&sandbox.path("home"), "img.zst", &host_image(4096));
    let device = card.device.device();
    let args = ["flash", "--image", file.to_str().unwrap(), device, "--identity-of", "pi", "--mode", "full"];
    let args = [&args[..], &["--allow-virtual", "--yes", "--expect-size", "48MiB"]].concat();
    let begin = Instant::now();
    sandbox.run(&args).assert_code(0);
    // The time of a run varies on a busy machine: the last run that was not killed counts.
    let mut whole_run = begin.elapsed();
    let steps = 24;
    let mut blank_count = 0;
    for step in (0..steps).cycle().take(6 * steps as usize) {
        let begin = Instant::now();
        let mut tool = sandbox.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole_run * step / steps);
        let killed = worker_of(&tool).is_some_and(|worker| kill_process(worker, Signal::KILL).is_ok());
        let ended = tool.wait().unwrap();
        if !killed {
            whole_run = begin.elapsed();
        }
        // The pending writes of the kernel are complete when another process can claim the card.
        wait_for_worker_end(device);
        let is_blank = is_blank(&card.device.bytes()[..4096]);
        blank_count += u32::from(is_blank);
        assert!(is_blank || !killed || is_whole(&sandbox, device), "step {step}");
        assert!(killed || (ended.success() && is_whole(&sandbox, device)), "step {step}: {ended}");
        if blank_count > steps / 4 && step == steps - 1 {
            break;
        }
    }
    assert!(blank_count > steps / 4, "only {blank_count} kills left a blank card");
    sandbox.run(&args).assert_code(0);
    assert!(is_whole(&sandbox, device));
}

/// Whether the card has the key of the host. Asserts that its file system has no errors.
fn is_whole(sandbox: &Sandbox, device: &str) -> bool {
    assert_sound(device);
    debugfs(device, "cat /persist/etc/ssh/ssh_host_ed25519_key") == private_key(sandbox, "pi")
}
