//! Cards that fail: each fault ends in an error that says what and where, and in a card that does not boot.

use crate::card::{MIB, is_blank};
use crate::faulty::{Fault, FaultyCard};
use crate::flash::flash;
use crate::image::{image, pack};
use crate::support::Sandbox;

/// A place in the sixth MiB of the image.
const PLACE: usize = 5 * MIB + 77 * 512;

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn every_fault_is_told_and_leaves_a_blank_head() {
    let (sandbox, image) = (Sandbox::new(), image(8));
    let file = pack(&sandbox.path("home"), "img.zst", &image);
    for (fault, code, text) in [
        (Fault::WriteFails(PLACE), 5, "writing the card at byte 5242880: Input/output error"),
        (Fault::ReadFails(PLACE), 5, "reading the card at byte 5242880: Input/output error"),
        (Fault::Lost(PLACE), 4, "1 of 7 MiB read back wrong, at byte 5242880"),
        (Fault::Flipped(PLACE), 4, "1 of 7 MiB read back wrong, at byte 5242880"),
        (Fault::Wraps(4 * MIB), 4, "read back wrong, at byte 1048576"),
    ] {
        let card = FaultyCard::new(12, fault);
        let outcome = flash(&sandbox, &file, card.path(), "12MiB", &[]);
        outcome.says(text).says("is blank, so it will not boot").exits(code);
        assert!(is_blank(&card.medium()[..MIB]), "{fault:?}");
        card.mend();
        flash(&sandbox, &file, card.path(), "12MiB", &[]).exits(0);
        assert!(card.medium().starts_with(&image), "{fault:?}");
    }
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_card_that_is_pulled_out() {
    let (sandbox, card) = (Sandbox::new(), FaultyCard::new(12, Fault::Unplugged(PLACE)));
    let file = pack(&sandbox.path("home"), "img.zst", &image(8));
    let outcome = flash(&sandbox, &file, card.path(), "12MiB", &[]);
    outcome
        .says("writing the card at byte 5242880")
        .says("could not be blanked: do not boot from it")
        .exits(5);
    // Blank all the same: it was blanked before anything else was written.
    assert!(is_blank(&card.medium()[..MIB]));
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn a_head_that_does_not_stay() {
    let (sandbox, card) = (Sandbox::new(), FaultyCard::new(12, Fault::Lost(3 * 512)));
    let file = pack(&sandbox.path("home"), "img.zst", &image(8));
    let outcome = flash(&sandbox, &file, card.path(), "12MiB", &[]);
    outcome.says("the card does not hold what was written at byte 0").says("do not boot from it").exits(4);
}
