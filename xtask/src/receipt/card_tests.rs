//! Which card a receipt is about.

use super::tests::flash;
use super::*;
use crate::card::disk::DiskKind;
use crate::card::flash::Plan;

#[test]
fn the_same_card_is_recognized() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, report) = flash(dir.path());
    let file = plan.disk.clone();
    let over = DiskKind::Loop { backing: Some(file.path.clone()) };
    let looped = Disk { path: "/dev/loop7".into(), kind: over, ..file.clone() };
    let reader =
        Disk { path: "/dev/sdb".into(), kind: DiskKind::Usb, serial: Some("1".into()), ..file.clone() };
    let was = |disk: &Disk| {
        let plan = Plan { disk: disk.clone(), ..plan.clone() };
        let receipt = Receipt::Flash(Flashed::new(None, &plan, &report).into());
        move |now: &Disk| last_flash_of([receipt.clone()], now).flashed.is_some()
    };
    // A virtual card is identified by its file, whatever loop device it has.
    for now in [&file, &looped, &Disk { path: "/dev/loop8".into(), ..looped.clone() }] {
        assert!(was(&file)(now) && was(&looped)(now), "{now:?}");
    }
    for now in
        [&Disk { size: 5 << 20, ..file.clone() }, &Disk { path: "/other".into(), ..file.clone() }, &reader]
    {
        assert!(!was(&file)(now), "{now:?}");
    }
    // A card with a serial number is recognized in another reader; another card in the same one is not.
    assert!(was(&reader)(&Disk { path: "/dev/sdc".into(), diskseq: Some(9), ..reader.clone() }));
    for now in [Disk { serial: Some("2".into()), ..reader.clone() }, Disk { serial: None, ..reader.clone() }]
    {
        assert!(!was(&reader)(&now), "{now:?}");
    }
}
