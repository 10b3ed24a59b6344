//! Cards to which the image cannot be written whole or at once: too small, read-only, smaller than they claim, or with
//! short writes.

use crate::card::{Card, MIB, is_blank};
use crate::faults::POSITION;
use crate::faulty::FaultyCard;
use crate::flash::{flash, report};
use crate::fuse_card::DeviceFault;
use crate::image::{garbage, image, pack};
use crate::support::Sandbox;
use crate::support::loops::{Loop, Mounted};

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_smaller_than_the_image_is_refused() {
    let sandbox = Sandbox::new();
    let image = image(40);
    for missing in [512, 64 << 10, 32 * MIB] {
        let card = Card::of_size(image.len() - missing);
        for format in ["img", "sized.zst", "img.zst", "img.xz", "img.gz"] {
            let file = pack(&sandbox.path("home"), format, &image);
            let size = (image.len() - missing).to_string();
            let outcome = flash(&sandbox, &file, card.device.device(), &size, &[]);
            outcome.assert_stderr_contains("the image is larger than ");
            outcome
                .assert_stderr_contains(format!(", {missing} bytes too few\nhint: use a larger card"))
                .assert_code(3);
            card.assert_unchanged();
        }
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_write_protected_card_is_refused() {
    let sandbox = Sandbox::new();
    let image = image(6);
    let file = pack(&sandbox.path("home"), "img.zst", &image);
    let medium = sandbox.path("medium");
    std::fs::write(&medium, garbage(9 * MIB)).unwrap();
    let card = Loop::over(&medium, &["--read-only"]);
    let outcome = flash(&sandbox, &file, card.device(), "9MiB", &[]);
    outcome.assert_stderr_contains(format!("{} is read-only\nhint: ", card.device())).assert_code(3);
    assert!(std::fs::read(&medium).unwrap() == garbage(9 * MIB));
    drop(card);
    let card = Loop::over(&medium, &[]);
    flash(&sandbox, &file, card.device(), "9MiB", &[]).assert_code(0);
    assert!(card.bytes().starts_with(&image));
}

/// The card is a sparse file of 12 MiB in a file system of 8 MiB: the capacity probes fit, and the file system is
/// full in the middle of the image. There the loop device reports a write as complete of which only a part was
/// written, because the blocks of a probe exist; only the verification finds that the rest is missing.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_that_fills_up_fails_the_verification() {
    let sandbox = Sandbox::new();
    let image = image(10);
    let file = pack(&sandbox.path("home"), "img.zst", &image);
    let tmpfs = Mounted::tmpfs("8m");
    let medium = tmpfs.mount_point().join("card");
    std::fs::File::create(&medium).unwrap().set_len(12 << 20).unwrap();
    let card = Loop::over(&medium, &[]);
    let outcome = flash(&sandbox, &file, card.device(), "12MiB", &[]);
    // The position at which the card is full depends on the metadata of the file system.
    let (_, rest) =
        outcome.stderr.split_once(" of 10 MiB differ from the image, at byte ").expect("a position");
    let (position, _) = rest.split_once(", ").expect("several positions");
    assert!((6..10).contains(&(position.parse::<usize>().unwrap() / MIB)), "{position}");
    outcome
        .assert_stderr_contains("after 3 retries; the first MiB of the card is blank, so it will not boot")
        .assert_code(4);
    assert!(is_blank(&card.bytes()[..MIB]));
    tmpfs.remount("size=20m");
    flash(&sandbox, &file, card.device(), "12MiB", &[]).assert_code(0);
    assert!(card.bytes().starts_with(&image));
    drop(card);
}

/// A file over FUSE reports short writes to the tool; a loop device over such a file completes the writes itself.
#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn short_writes_are_continued() {
    let sandbox = Sandbox::new();
    let image = image(8);
    let file = pack(&sandbox.path("home"), "img.zst", &image);
    for make_card in [FaultyCard::without_loop_device, FaultyCard::new] {
        let card = make_card(12, DeviceFault::Short(POSITION));
        let outcome = flash(&sandbox, &file, card.path(), "12MiB", &["--json"]);
        assert_eq!(report(&outcome).retries, 0, "{}", card.path());
        assert!(card.occurrences() > 0 && card.bytes().starts_with(&image), "{}", card.path());
    }
}
