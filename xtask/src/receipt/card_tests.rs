//! Receipts recognize their card.

use super::tests::flash;
use super::*;
use crate::card::disk::DiskKind;
use crate::card::flash::Plan;

/// Whether the receipt of a flash of the disk `then` is that of the disk `now`.
fn is_same_card(then: &Disk, now: &Disk) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let (plan, report) = flash(dir.path());
    let plan = Plan { disk: then.clone(), ..plan };
    let receipt = Receipt::from(Flashed::new(None, &plan, &report));
    last_flash_of([receipt], now).flashed.is_some()
}

/// A virtual card, which is a plain file.
fn file() -> Disk {
    let dir = tempfile::tempdir().unwrap();
    flash(dir.path()).0.disk
}

#[test]
fn a_virtual_card_is_identified_by_its_file_whatever_loop_device_it_has() {
    let file = file();
    let kind = DiskKind::Loop { backing: Some(file.path.clone()) };
    let looped = Disk { path: "/dev/loop7".into(), kind, ..file.clone() };
    for now in [&file, &looped, &Disk { path: "/dev/loop8".into(), ..looped.clone() }] {
        assert!(is_same_card(&file, now));
        assert!(is_same_card(&looped, now));
    }
    assert!(!is_same_card(&file, &Disk { size: 5 << 20, ..file.clone() }));
    assert!(!is_same_card(&file, &Disk { path: "/other".into(), ..file.clone() }));
}

#[test]
fn a_card_with_a_serial_number_is_recognized_in_another_reader() {
    let file = file();
    let card =
        Disk { path: "/dev/sdb".into(), kind: DiskKind::Usb, serial: Some("1".into()), ..file.clone() };
    assert!(is_same_card(&card, &Disk { path: "/dev/sdc".into(), diskseq: Some(9), ..card.clone() }));
    // Another card in the same reader is not recognized.
    assert!(!is_same_card(&card, &Disk { serial: Some("2".into()), ..card.clone() }));
    assert!(!is_same_card(&card, &Disk { serial: None, ..card.clone() }));
    assert!(!is_same_card(&file, &card));
}

/// Names of fields in version 1 that version 2 has renamed.
#[test]
fn receipts_of_version_1_are_read() {
    let text = r#"{"version": 1, "kind": "broken_flash", "when": "2026-11-25T12:00:00Z", "host": null, "flake": null,
        "image": {"path": "/a.img", "store_path": null, "size": 4096, "hash": null},
        "card": {"path": "/dev/sdb", "kind": {"type": "usb"}, "size": 8192, "serial": null, "diskseq": 7, "vendor": null,
            "model": null},
        "end": {"doing": "write", "done": 1048576, "total": null, "bytes": true, "exit_code": 130, "error": "stopped"}}"#;
    let Receipt::BrokenFlash(broken) = store::parse(text.as_bytes()).unwrap() else { panic!("{text}") };
    let words = "broken off at write, 1.0 MiB, exit code 130";
    assert_eq!(broken.to_string(), format!("flash of 2026-11-25 12:00 UTC with the image /a.img: {words}"));
    assert_eq!((broken.image.size, broken.card.size), (4096, 8192));
    let renamed = serde_json::to_value(&*broken).unwrap();
    assert_eq!((&renamed["end"]["unit"], &renamed["end"]["message"]), (&"bytes".into(), &"stopped".into()));
}
