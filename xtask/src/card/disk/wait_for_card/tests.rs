//! Media that come and go on a fake machine.

use super::super::fake::FakeMachine;
use super::super::tests::request;
use super::super::{Confirmation, VirtualCards};
use super::*;
use crate::base::failure::{ExitKind, kind, with_hint};

const CARD: &str = "platform/soc/fe340000.mmc/mmc_host/mmc0/mmc0:59b4/block/mmcblk0";

/// Scans once, and returns the name of the card and the notes on ignored media.
#[track_caller]
fn scan(scanner: &mut Scanner) -> (Option<String>, Vec<String>) {
    let Scan { ignored, card } = scanner.scan().unwrap();
    (card.map(|card| card.name), ignored)
}

/// Asserts that one more scan finds nothing, and the next one the card `name`.
#[track_caller]
fn assert_finds(scanner: &mut Scanner, name: &str) {
    assert_eq!(scan(scanner), (None, vec![]));
    assert_eq!(scan(scanner), (Some(name.to_owned()), vec![]));
}

/// Asserts that three more scans find nothing.
fn assert_finds_nothing(scanner: &mut Scanner) {
    for _ in 0..3 {
        assert_eq!(scan(scanner), (None, vec![]));
    }
}

#[test]
fn only_a_medium_inserted_after_the_prompt_is_a_candidate() {
    let machine = FakeMachine::new();
    let roots = machine.with_sata().with_stick().roots();
    let request = request();
    let mut scanner = Scanner::begin(&roots, &request).unwrap();
    assert_finds_nothing(&mut scanner);
    machine.with_card(&[]);
    assert_finds(&mut scanner, "mmcblk0");
}

#[test]
fn a_card_that_is_inserted_into_a_reader_or_exchanged_is_found() {
    let device_path = "pci/usb1/1-2/host7/block/sdd";
    // What the reader shows before the prompt and after each of two changes, and whether the last one is a new card.
    for (diskseqs, sizes, is_found) in [
        (["", "", ""], ["0", "0", "800"], true),
        (["4", "4", "5"], ["0", "0", "800"], true),
        (["4", "4", "5"], ["800", "800", "800"], true),
        (["", "", ""], ["800", "0", "800"], true),
        (["4", "4", "4"], ["800", "800", "900"], false),
    ] {
        let machine = FakeMachine::new();
        machine.add_device(device_path, "8:48", &[("size", sizes[0]), ("diskseq", diskseqs[0])]);
        let roots = machine.roots();
        let request = request();
        let mut scanner = Scanner::begin(&roots, &request).unwrap();
        let change_reader = |step: usize| {
            machine.write_file(&format!("sys/devices/{device_path}/diskseq"), diskseqs[step]);
            machine.write_file(&format!("sys/devices/{device_path}/size"), sizes[step]);
        };
        change_reader(1);
        assert_finds_nothing(&mut scanner);
        change_reader(2);
        if is_found {
            assert_finds(&mut scanner, "sdd");
        } else {
            assert_finds_nothing(&mut scanner);
        }
    }
}

#[test]
fn a_card_that_is_removed_and_inserted_again_is_found() {
    let machine = FakeMachine::new();
    let roots = machine.add_device(CARD, "179:0", &[("device/type", "SD")]).roots();
    let request = request();
    let mut scanner = Scanner::begin(&roots, &request).unwrap();
    machine.remove("mmcblk0");
    assert_finds_nothing(&mut scanner);
    machine.add_device(CARD, "179:0", &[("device/type", "SD")]);
    assert_eq!(scan(&mut scanner), (None, vec![]));
    // Removed again before it is ready.
    machine.remove("mmcblk0");
    assert_finds_nothing(&mut scanner);
    machine.add_device(CARD, "179:0", &[("device/type", "SD")]);
    assert_finds(&mut scanner, "mmcblk0");
}

#[test]
fn a_medium_that_is_no_card_is_reported_once_and_ignored() {
    let machine = FakeMachine::new();
    let roots = machine.roots();
    let request = request();
    let mut scanner = Scanner::begin(&roots, &request).unwrap();
    machine.with_sata().add_device("virtual/block/loop4", "7:4", &[]);
    let words = [
        "/dev/loop4 is a loop device, not a card; still waiting",
        "/dev/sda is an internal SATA disk, not a card; still waiting",
    ];
    assert_eq!(scan(&mut scanner), (None, words.map(str::to_owned).to_vec()));
    assert_finds_nothing(&mut scanner);
    machine.with_card(&[]);
    assert_finds(&mut scanner, "mmcblk0");
}

#[test]
fn a_card_other_than_expected_is_ignored() {
    let machine = FakeMachine::new();
    let confirmation = Confirmation::Expected { size: Some(512 * 1000), serial: None };
    let request = Request { confirmation, virtual_cards: VirtualCards::Allowed, ..request() };
    let roots = machine.roots();
    let mut scanner = Scanner::begin(&roots, &request).unwrap();
    machine.with_card(&[]);
    let words = "/dev/mmcblk0 has 32000000000 bytes, but 512000 are expected; still waiting";
    assert_eq!(scan(&mut scanner), (None, vec![words.to_owned()]));
    machine.add_device("virtual/block/loop4", "7:4", &[("size", "1000")]);
    assert_finds(&mut scanner, "loop4");
}

#[test]
fn a_card_that_is_too_small_for_the_image_is_ignored() {
    let machine = FakeMachine::new();
    let request = Request { image_size: Some(40_000_000_000), ..request() };
    let roots = machine.roots();
    let mut scanner = Scanner::begin(&roots, &request).unwrap();
    machine.with_card(&[]);
    let (card, ignored) = scan(&mut scanner);
    assert!(card.is_none() && ignored[0].ends_with("8000000000 bytes too few; still waiting"), "{ignored:?}");
    assert_finds_nothing(&mut scanner);
    machine.remove("mmcblk0");
    assert_finds_nothing(&mut scanner);
    machine.add_device(CARD, "179:0", &[("device/type", "SD"), ("size", "100000000"), ("diskseq", "9")]);
    assert_finds(&mut scanner, "mmcblk0");
}

#[test]
fn two_cards_at_once_are_refused() {
    let machine = FakeMachine::new();
    let roots = machine.roots();
    let request = request();
    let mut scanner = Scanner::begin(&roots, &request).unwrap();
    machine.with_card(&[]);
    assert_eq!(scan(&mut scanner), (None, vec![]));
    machine.with_stick();
    let words = "/dev/mmcblk0 and /dev/sdb were inserted at the same time; nothing was written; \
        insert only one, or name the device";
    let error = scanner.scan().unwrap_err();
    assert_eq!((with_hint(&error).as_str(), kind(&error)), (words, ExitKind::Refused));
}

#[test]
fn a_card_is_taken_once_udev_has_processed_it() {
    let machine = FakeMachine::new();
    let roots = machine.write_file("run/udev/control", "").roots();
    let request = request();
    let mut scanner = Scanner::begin(&roots, &request).unwrap();
    machine.add_device(CARD, "179:0", &[("device/type", "SD")]);
    assert_finds_nothing(&mut scanner);
    machine.write_file("run/udev/data/b179:0", "I:123\n");
    machine.add_device(&format!("{CARD}/mmcblk0p1"), "179:1", &[("partition", "1")]);
    assert_finds(&mut scanner, "mmcblk0");
}

#[test]
fn the_wait_for_udev_has_an_end() {
    let machine = FakeMachine::new();
    let roots = machine.write_file("run/udev/control", "").roots();
    let request = request();
    let mut scanner = Scanner::begin(&roots, &request).unwrap();
    machine.add_device(CARD, "179:0", &[("device/type", "SD")]);
    let scans = (1..=2 * MAX_SCANS).find(|_| scan(&mut scanner).0.is_some());
    assert_eq!(scans, Some(MAX_SCANS + 1));
}
