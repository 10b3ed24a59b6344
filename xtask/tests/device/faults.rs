//! Cards that fail: the error names the fault and the byte, and the card does not boot. On the repaired card
//! the same command completes the flash.

use fuser::Errno;

use crate::card::{MIB, is_blank};
use crate::faulty::FaultyCard;
use crate::flash::{flash, report};
use crate::fuse_card::{ALWAYS, DeviceFault};
use crate::image::{image, pack};
use crate::support::Sandbox;

/// A position in the sixth MiB of the image, without a capacity probe.
pub const POSITION: usize = 5 * MIB + 77 * 512;

const MODES: &[&str] = &["auto", "full", "delta"];
/// The end of an error where the head is blank.
const BLANK_HEAD: &str = "the first MiB of the card is blank, so it will not boot";
/// The end of an error where the head could not be blanked.
const HEAD_NOT_BLANKED: &str = "the first MiB of the card could not be blanked: do not boot from it";

/// Flashes 8 MiB to a card of `mib` MiB with `fault`, in each of `modes`. Asserts that the flash exits with `code`,
/// prints `text` and the `state` of the card, and leaves the head blank; and that the same command succeeds on the
/// repaired card.
#[track_caller]
fn assert_fails_and_can_be_repeated(
    modes: &[&str],
    mib: usize,
    fault: DeviceFault,
    code: i32,
    text: &str,
    state: &str,
) {
    let sandbox = Sandbox::new();
    let image = image(8);
    let size = format!("{mib}MiB");
    let file = pack(&sandbox.path("home"), "img.zst", &image);
    for mode in modes {
        let card = FaultyCard::new(mib, fault);
        let run = || flash(&sandbox, &file, card.path(), &size, &["--mode", mode]);
        run().assert_stderr_contains(text).assert_stderr_contains(state).assert_code(code);
        assert!(is_blank(&card.bytes()[..MIB]), "{fault:?} {mode}: the head is not blank");
        card.repair();
        run().assert_code(0);
        assert!(card.bytes().starts_with(&image), "{fault:?} {mode}: repaired, and not the image");
    }
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn errors_of_the_card_name_the_byte() {
    for (fault, text) in [
        (
            DeviceFault::WriteFails(POSITION, Errno::EIO),
            "writing the card at byte 5242880: Input/output error",
        ),
        (
            DeviceFault::WriteFails(POSITION, Errno::ENOSPC),
            "writing the card at byte 5242880: No space left on device; the first MiB of the card is \
             blank, so it will not boot\nhint: the card holds less than it claims",
        ),
        (
            DeviceFault::ReadFails(POSITION, Errno::EIO),
            "reading the card at byte 5242880: Input/output error, after 3 retries",
        ),
        (
            DeviceFault::ReadFails(POSITION, Errno::ENODATA),
            "reading the card at byte 5242880: No data available, after 3 retries",
        ),
        // The position of a capacity probe.
        (
            DeviceFault::ReadFails(5 * MIB, Errno::EIO),
            "reading the card at byte 5242880: Input/output error, though the card was written there twice",
        ),
    ] {
        assert_fails_and_can_be_repeated(MODES, 12, fault, 5, text, BLANK_HEAD);
    }
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn lost_and_flipped_bytes_fail_the_verification() {
    let error = "verification failed: 1 of 8 MiB differ from the image, at byte 5242880, after 3 retries";
    for fault in [
        DeviceFault::Lost(POSITION, ALWAYS),
        DeviceFault::Flipped(POSITION, ALWAYS),
        DeviceFault::Flipped(POSITION, 4),
    ] {
        assert_fails_and_can_be_repeated(MODES, 12, fault, 4, error, BLANK_HEAD);
    }
    // The last MiB of the card, where a GPT has its backup.
    let error_at_end = "the card does not hold the bytes written at byte 11534336, after 3 retries";
    assert_fails_and_can_be_repeated(
        MODES,
        12,
        DeviceFault::Flipped(11 * MIB + 9000, ALWAYS),
        4,
        error_at_end,
        BLANK_HEAD,
    );
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn counterfeit_cards_are_suspect() {
    let half = MIB / 2;
    for (mib, fault, size, at) in [
        // Within the image and beyond it, at whole MiB and between them; with the MiB of the first failed
        // probe.
        (12, DeviceFault::Wraps(4 * MIB), "12.0 MiB (12582912 bytes)", 1),
        (12, DeviceFault::Wraps(4 * MIB + half), "12.0 MiB (12582912 bytes)", 1),
        (12, DeviceFault::Wraps(10 * MIB), "12.0 MiB (12582912 bytes)", 1),
        (96, DeviceFault::Wraps(64 * MIB), "96.0 MiB (100663296 bytes)", 1),
        (12, DeviceFault::Drops(6 * MIB), "12.0 MiB (12582912 bytes)", 6),
        (12, DeviceFault::Drops(6 * MIB + half), "12.0 MiB (12582912 bytes)", 7),
        (12, DeviceFault::Drops(10 * MIB), "12.0 MiB (12582912 bytes)", 10),
        (96, DeviceFault::Drops(80 * MIB), "96.0 MiB (100663296 bytes)", 95),
    ] {
        let text = format!(
            "the card is suspect: it claims {size}, but does not keep what is written at byte {}",
            at * MIB
        );
        assert_fails_and_can_be_repeated(&["auto"], mib, fault, 4, &text, BLANK_HEAD);
    }
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn an_unplugged_card_fails_the_flash() {
    for (fault, text) in [
        (
            DeviceFault::Unplugged(POSITION, Errno::EIO),
            "writing the card at byte 5242880: Input/output error",
        ),
        (DeviceFault::Unplugged(POSITION, Errno::ENODEV), "writing the card at byte 5242880: No such device"),
        (DeviceFault::Unplugged(3 * MIB, Errno::ENODEV), "writing the card at byte 3145728: No such device"),
        (
            DeviceFault::UnpluggedReading(POSITION, Errno::EIO),
            "writing the card at byte 5242880: Input/output error",
        ),
        (
            DeviceFault::UnpluggedReading(POSITION, Errno::ENODEV),
            "reading the card at byte 5242880: No such device; the first MiB of the card is blank, so it \
             will not boot\nhint: check whether the card was unplugged; then flash the card again",
        ),
    ] {
        // The head was blanked before the card was unplugged.
        assert_fails_and_can_be_repeated(MODES, 12, fault, 5, text, BLANK_HEAD);
    }
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_head_that_cannot_be_blanked_ends_the_flash() {
    let sandbox = Sandbox::new();
    let card = FaultyCard::new(12, DeviceFault::Lost(3 * 512, ALWAYS));
    let file = pack(&sandbox.path("home"), "img.zst", &image(8));
    let outcome = flash(&sandbox, &file, card.path(), "12MiB", &[]);
    outcome
        .assert_stderr_contains("the card does not hold the bytes written at byte 0, after 3 retries")
        .assert_stderr_contains(HEAD_NOT_BLANKED)
        .assert_code(4);
    // The rest of the card is unchanged.
    assert!(card.bytes()[MIB..] == crate::image::garbage(12 * MIB)[MIB..]);
}

/// Flashes to a card whose `fault` is transient. Asserts that the card holds the image after the number of `retries`,
/// and that the chunk `chunk` has the `state`.
#[track_caller]
fn assert_healed(fault: DeviceFault, mode: &str, retries: u32, chunk: usize, state: &str) {
    let sandbox = Sandbox::new();
    let image = image(8);
    let file = pack(&sandbox.path("home"), "img.zst", &image);
    let card = FaultyCard::new(12, fault);
    let outcome = flash(&sandbox, &file, card.path(), "12MiB", &["--mode", mode, "--json"]);
    let report = report(&outcome);
    assert!(card.bytes().starts_with(&image), "{fault:?} {mode}");
    assert_eq!(report.retries, retries, "{fault:?} {mode}");
    assert_eq!(report.chunks[chunk], state, "{fault:?} {mode}: {:?}", report.chunks);
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn transient_faults_are_healed_by_retries() {
    for mode in MODES {
        for (fault, retries, chunk, state) in [
            (DeviceFault::Flipped(POSITION, 1), 1, 5, "healed"),
            (DeviceFault::Flipped(POSITION, 3), 3, 5, "healed"),
            (DeviceFault::Lost(POSITION, 1), 1, 5, "healed"),
            // The head when it is blanked, the end of the card, and a capacity probe.
            (DeviceFault::Flipped(900, 1), 1, 0, "written"),
            (DeviceFault::Lost(11 * MIB + 9000, 1), 1, 7, "written"),
            (DeviceFault::Lost(5 * MIB, 1), 0, 5, "written"),
        ] {
            assert_healed(fault, mode, retries, chunk, state);
        }
    }
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn unreadable_old_content_does_not_matter() {
    for mode in MODES {
        for at in [POSITION, 5 * MIB] {
            for errno in [Errno::EIO, Errno::ENODATA] {
                assert_healed(DeviceFault::OldReadFails(at, errno), mode, 0, 5, "written");
            }
        }
    }
}
