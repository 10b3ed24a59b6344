//! Confirming a disk: on the terminal, or by options of the command line.

use super::fake::FakeMachine;
use super::tests::{check, request};
use super::*;

fn expected(size: Option<u64>, serial: Option<&str>) -> Confirmation {
    Confirmation::Expected { size, serial: serial.map(str::to_owned) }
}

#[test]
fn confirmation_without_a_terminal() {
    let machine = FakeMachine::new();
    let card = machine.with_card(&[]).disk("mmcblk0");
    for (confirmation, refusal) in [
        (expected(Some(32_000_000_000), Some("1b534d45")), None),
        (
            Confirmation::Missing,
            Some(
                "there is no terminal to confirm on that /dev/mmcblk0 may be overwritten; \
                  pass --yes --expect-size 32000000000",
            ),
        ),
        (
            expected(None, None),
            Some(
                "--yes alone does not identify the card; \
                  add --expect-size 32000000000 if /dev/mmcblk0 is the right card",
            ),
        ),
        (
            expected(Some(7), None),
            Some(
                "/dev/mmcblk0 has 32000000000 bytes, but 7 are expected; \
                  check that /dev/mmcblk0 is the right card",
            ),
        ),
        (
            expected(None, Some("x")),
            Some(
                "the serial number of /dev/mmcblk0 is 1b534d45, but x is expected; \
                  check that /dev/mmcblk0 is the right card",
            ),
        ),
    ] {
        check(&card, &Request { confirmation, ..request() }, refusal.as_slice());
    }
}

#[test]
fn the_size_alone_does_not_identify_a_large_card() {
    let machine = FakeMachine::new();
    let large = Disk { size: 300 << 30, ..machine.with_card(&[]).disk("mmcblk0") };
    check(
        &large,
        &Request { confirmation: expected(Some(300 << 30), None), ..request() },
        &["/dev/mmcblk0 is large for a card (300.0 GiB): its size alone does not identify it; \
           add --expect-serial 1b534d45 if /dev/mmcblk0 is the right card"],
    );
}

#[test]
fn confirm_phrases() {
    let machine = FakeMachine::new();
    let card = machine.with_card(&[]).disk("mmcblk0");
    let name = card.confirm_phrase();
    assert!(name.accepts("mmcblk0") && name.accepts("/dev/mmcblk0 ") && !name.accepts("mmcblk1"));
    let large = Disk { size: 300 << 30, ..card };
    assert_eq!(large.confirm_phrase(), ConfirmPhrase::Serial("1b534d45".to_owned()));
    let unnamed = Disk { serial: None, ..large };
    assert!(unnamed.confirm_phrase().accepts("322122547200") && !unnamed.confirm_phrase().accepts("mmcblk0"));
}

#[test]
fn a_disk_that_is_larger_than_a_card_is_warned_of() {
    let machine = FakeMachine::new();
    let card = machine.with_card(&[]).disk("mmcblk0");
    for (size, words) in [
        (32_000_000_000, None),
        (256 << 30, None),
        (
            500_107_862_016,
            Some("/dev/mmcblk0 is large for a card (465.8 GiB): check that it is not a disk with your data"),
        ),
        (
            8_001_563_222_016,
            Some(
                "/dev/mmcblk0 is larger than any SD card (7452.0 GiB, and cards have up to 2 TiB): \
                 check that it is not a disk with your data",
            ),
        ),
    ] {
        assert_eq!(Disk { size, ..card.clone() }.size_warning().as_deref(), words, "{size}");
    }
}
