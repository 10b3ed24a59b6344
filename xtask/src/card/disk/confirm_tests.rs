//! How a disk is confirmed: typed, or described beforehand.

use super::fake::FakeMachine;
use super::tests::{check, request};
use super::*;

#[test]
fn consent_without_a_terminal() {
    let machine = FakeMachine::new();
    let card = machine.with_card(&[]).disk("mmcblk0");
    let expected =
        |size, serial: Option<&str>| Confirmation::Expected { size, serial: serial.map(str::to_owned) };
    let cases = [
        (expected(Some(32_000_000_000), Some("1b534d45")), None),
        (
            Confirmation::Missing,
            Some(
                "there is no terminal on which to confirm that /dev/mmcblk0 may be overwritten; \
                  confirm with --yes --expect-size 32000000000",
            ),
        ),
        (
            expected(None, None),
            Some(
                "--yes alone does not say which card is meant; \
                  add --expect-size 32000000000 for /dev/mmcblk0, if that is the one",
            ),
        ),
        (
            expected(Some(7), None),
            Some(
                "/dev/mmcblk0 holds 32000000000 bytes, not the 7 that are expected; \
                  check that this is the card that is meant",
            ),
        ),
        (
            expected(None, Some("x")),
            Some(
                "the serial number of /dev/mmcblk0 is 1b534d45, not x as is expected; \
                  check that this is the card that is meant",
            ),
        ),
    ];
    for (confirmation, words) in cases {
        check(&card, &Request { confirmation, ..request() }, words.as_slice());
    }
    let large = Disk { size: 300 << 30, ..card };
    check(
        &large,
        &Request { confirmation: expected(Some(300 << 30), None), ..request() },
        &["/dev/mmcblk0 is large for a card, 300.0 GiB, and its size alone does not name it; \
           add --expect-serial 1b534d45, if that is the one"],
    );
}

#[test]
fn what_is_typed_to_confirm() {
    let machine = FakeMachine::new();
    let card = machine.with_card(&[]).disk("mmcblk0");
    let name = card.confirm_phrase();
    assert!(name.accepts("mmcblk0") && name.accepts("/dev/mmcblk0 ") && !name.accepts("mmcblk1"));
    let large = Disk { size: 300 << 30, ..card };
    assert_eq!(large.confirm_phrase(), ConfirmPhrase::Serial("1b534d45".to_owned()));
    let unnamed = Disk { serial: None, ..large };
    assert!(unnamed.confirm_phrase().accepts("322122547200") && !unnamed.confirm_phrase().accepts("mmcblk0"));
}
