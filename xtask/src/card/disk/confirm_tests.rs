//! Confirming a disk: on the terminal, or by options of the command line.

use super::fake::FakeMachine;
use super::tests::{assert_refusals, request};
use super::*;

/// The confirmation of a command line with the given expectations.
fn expected(size: Option<u64>, serial: Option<&str>) -> Confirmation {
    Confirmation::Expected { size, serial: serial.map(str::to_owned) }
}

#[test]
fn without_a_terminal_options_must_identify_the_card() {
    let machine = FakeMachine::new();
    let card = machine.with_card(&[]).disk("mmcblk0");
    for (confirmation, refusal) in [
        (expected(Some(32_000_000_000), Some("1b534d45")), None),
        (
            Confirmation::Missing,
            Some(
                "cannot ask whether /dev/mmcblk0 may be overwritten: there is no terminal; \
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
        assert_refusals(&card, &Request { confirmation, ..request() }, refusal.as_slice());
    }
}

#[test]
fn the_size_alone_does_not_identify_a_large_card() {
    let machine = FakeMachine::new();
    let large = Disk { size: 300 << 30, ..machine.with_card(&[]).disk("mmcblk0") };
    assert_refusals(
        &large,
        &Request { confirmation: expected(Some(300 << 30), None), ..request() },
        &["/dev/mmcblk0 is large for a card (300.0 GiB): its size alone does not identify it; \
           add --expect-serial 1b534d45 if /dev/mmcblk0 is the right card"],
    );
}

#[test]
fn a_card_is_confirmed_by_its_name() {
    let machine = FakeMachine::new();
    let phrase = machine.with_card(&[]).disk("mmcblk0").confirm_phrase();
    assert!(phrase.accepts("mmcblk0") && phrase.accepts("/dev/mmcblk0 ") && !phrase.accepts("mmcblk1"));
}

#[test]
fn a_large_disk_is_not_confirmed_by_its_name() {
    let machine = FakeMachine::new();
    let large = Disk { size: 300 << 30, ..machine.with_card(&[]).disk("mmcblk0") };
    assert_eq!(large.confirm_phrase(), ConfirmPhrase::Serial("1b534d45".to_owned()));
    let phrase = Disk { serial: None, ..large }.confirm_phrase();
    assert!(phrase.accepts("322122547200") && !phrase.accepts("mmcblk0"));
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

#[test]
fn a_disk_survives_json() {
    let machine = FakeMachine::new();
    let card = machine.with_card(&[]).disk("mmcblk0");
    let received = serde_json::from_str::<Disk>(&serde_json::to_string(&card).unwrap()).unwrap();
    assert_eq!(received, card);
}
