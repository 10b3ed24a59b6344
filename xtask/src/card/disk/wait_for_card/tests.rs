//! Media that come and go on a fake machine.

use super::super::fake::FakeMachine;
use super::super::tests::request;
use super::super::{Confirmation, VirtualCards};
use super::*;

const CARD: &str = "platform/soc/fe340000.mmc/mmc_host/mmc0/mmc0:59b4/block/mmcblk0";

/// Looks once; the name of the card and what was passed over.
#[track_caller]
fn look(arrivals: &mut Arrivals) -> (Option<String>, Vec<String>) {
    let Look { passed_over, card } = arrivals.look().unwrap();
    (card.map(|card| card.name), passed_over)
}

/// Asserts that one more look brings nothing, and the next one the card `name`.
#[track_caller]
fn comes(arrivals: &mut Arrivals, name: &str) {
    assert_eq!(look(arrivals), (None, vec![]));
    assert_eq!(look(arrivals), (Some(name.to_owned()), vec![]));
}

fn silent(arrivals: &mut Arrivals) {
    for _ in 0..3 {
        assert_eq!(look(arrivals), (None, vec![]));
    }
}

#[test]
fn only_what_comes_after_the_prompt() {
    let machine = FakeMachine::new();
    let (roots, request) = (machine.with_sata().with_stick().roots(), request());
    let mut arrivals = Arrivals::begin(&roots, &request).unwrap();
    silent(&mut arrivals);
    machine.with_card(&[]);
    comes(&mut arrivals, "mmcblk0");
}

#[test]
fn a_card_that_is_put_into_a_reader_or_changed() {
    let place = "pci/usb1/1-2/host7/block/sdd";
    for (diskseq, size, comes_at) in [
        (&["", "", ""], ["0", "0", "800"], 2),
        (&["4", "4", "5"], ["0", "0", "800"], 2),
        (&["4", "4", "5"], ["800", "800", "800"], 2),
        (&["", "", ""], ["800", "0", "800"], 2),
        (&["4", "4", "4"], ["800", "800", "900"], 9),
    ] {
        let machine = FakeMachine::new();
        machine.device(place, "8:48", &[("size", size[0]), ("diskseq", diskseq[0])]);
        let (roots, request) = (machine.roots(), request());
        let mut arrivals = Arrivals::begin(&roots, &request).unwrap();
        for step in 1..3 {
            machine.file(&format!("sys/devices/{place}/diskseq"), diskseq[step]);
            machine.file(&format!("sys/devices/{place}/size"), size[step]);
            if step == comes_at {
                comes(&mut arrivals, "sdd");
            } else {
                silent(&mut arrivals);
            }
        }
    }
}

#[test]
fn a_card_that_is_pulled_out_and_inserted_again() {
    let machine = FakeMachine::new();
    let (roots, request) = (machine.device(CARD, "179:0", &[("device/type", "SD")]).roots(), request());
    let mut arrivals = Arrivals::begin(&roots, &request).unwrap();
    machine.without("mmcblk0");
    silent(&mut arrivals);
    machine.device(CARD, "179:0", &[("device/type", "SD")]);
    assert_eq!(look(&mut arrivals), (None, vec![]));
    // Out again before it has settled.
    machine.without("mmcblk0");
    silent(&mut arrivals);
    machine.device(CARD, "179:0", &[("device/type", "SD")]);
    comes(&mut arrivals, "mmcblk0");
}

#[test]
fn what_is_no_card_is_named_once_and_passed_over() {
    let machine = FakeMachine::new();
    let (roots, request) = (machine.roots(), request());
    let mut arrivals = Arrivals::begin(&roots, &request).unwrap();
    machine.with_sata().device("virtual/block/loop4", "7:4", &[]);
    let words = [
        "/dev/loop4 is a loop device, not a card; still waiting",
        "/dev/sda is an internal SATA disk, not a card; still waiting",
    ];
    assert_eq!(look(&mut arrivals), (None, words.map(str::to_owned).to_vec()));
    silent(&mut arrivals);
    machine.with_card(&[]);
    comes(&mut arrivals, "mmcblk0");
}

#[test]
fn a_card_that_was_described_beforehand() {
    let machine = FakeMachine::new();
    let confirmation = Confirmation::Expected { size: Some(512 * 1000), serial: None };
    let request = Request { confirmation, virtual_cards: VirtualCards::Allowed, ..request() };
    let roots = machine.roots();
    let mut arrivals = Arrivals::begin(&roots, &request).unwrap();
    machine.with_card(&[]);
    let words = "/dev/mmcblk0 holds 32000000000 bytes, not the 512000 that are expected; still waiting";
    assert_eq!(look(&mut arrivals), (None, vec![words.to_owned()]));
    machine.device("virtual/block/loop4", "7:4", &[("size", "1000")]);
    comes(&mut arrivals, "loop4");
}

#[test]
fn a_card_that_is_too_small_for_the_image() {
    let machine = FakeMachine::new();
    let request = Request { image_size: Some(40_000_000_000), ..request() };
    let roots = machine.roots();
    let mut arrivals = Arrivals::begin(&roots, &request).unwrap();
    machine.with_card(&[]);
    let (card, told) = look(&mut arrivals);
    assert!(card.is_none() && told[0].ends_with("8000000000 bytes too many; still waiting"), "{told:?}");
    silent(&mut arrivals);
    machine.without("mmcblk0");
    silent(&mut arrivals);
    machine.device(CARD, "179:0", &[("device/type", "SD"), ("size", "100000000"), ("diskseq", "9")]);
    comes(&mut arrivals, "mmcblk0");
}

#[test]
fn between_two_nothing_is_chosen() {
    let machine = FakeMachine::new();
    let (roots, request) = (machine.roots(), request());
    let mut arrivals = Arrivals::begin(&roots, &request).unwrap();
    machine.with_card(&[]);
    assert_eq!(look(&mut arrivals), (None, vec![]));
    machine.with_stick();
    let words = "/dev/mmcblk0 and /dev/sdb have come at once, and only you know which one is meant; \
        nothing was written; leave the other one out, or name the device";
    let error = arrivals.look().unwrap_err();
    assert_eq!((error.to_string().as_str(), crate::base::failure::kind(&error)), (words, Failure::Refused));
}

#[test]
fn a_card_settles_first() {
    let machine = FakeMachine::new();
    let (roots, request) = (machine.file("run/udev/control", "").roots(), request());
    let mut arrivals = Arrivals::begin(&roots, &request).unwrap();
    machine.device(CARD, "179:0", &[("device/type", "SD")]);
    silent(&mut arrivals);
    machine.file("run/udev/data/b179:0", "I:123\n");
    machine.device(&format!("{CARD}/mmcblk0p1"), "179:1", &[("partition", "1")]);
    comes(&mut arrivals, "mmcblk0");
}

#[test]
fn the_wait_for_udev_has_an_end() {
    let machine = FakeMachine::new();
    let (roots, request) = (machine.file("run/udev/control", "").roots(), request());
    let mut arrivals = Arrivals::begin(&roots, &request).unwrap();
    machine.device(CARD, "179:0", &[("device/type", "SD")]);
    let looks = (1..=2 * MAX_SCANS).find(|_| look(&mut arrivals).0.is_some());
    assert_eq!(looks, Some(MAX_SCANS + 1));
}
