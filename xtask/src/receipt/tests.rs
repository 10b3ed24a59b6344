use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::disk::{Kind, Roots};
use crate::flash::{Mode, Plan, Report};
use crate::image::{self, Depth, Source};
use crate::ui::Silent;

/// A plan and the report of a flash of an image onto a plain file, both in `dir`.
fn flash(dir: &Path) -> (Plan, Report) {
    let (file, card) = (dir.join("an image.img"), dir.join("card"));
    let mut bytes = image::mbr(&[(0x83, true, 2048, 2048)]).to_vec();
    bytes.resize(2 << 20, 7);
    std::fs::write(&file, bytes).unwrap();
    std::fs::write(&card, vec![0; 4 << 20]).unwrap();
    let image = image::examine(Source::open(&file).unwrap(), Depth::Whole, &Silent).unwrap();
    let (size, hash) = (image.size, image.hash.unwrap());
    let plan = Plan::new(image, Disk::load(&Roots::default(), &card).unwrap(), Mode::Auto, None);
    let report = serde_json::json!({
        "size": size, "hash": hash.to_hex().as_str(), "mode": "auto", "retries": 1,
        "map": [{"fate": "written", "mib": 1}, {"fate": "unchanged", "mib": 1}],
        "seconds": {"capacity": 0.25, "write": 1.5, "verify": 0.5}, "rates": {"read": 90, "write": 30},
    });
    (plan, serde_json::from_value(report).unwrap())
}

#[test]
fn a_receipt_is_kept_and_found_again() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (plan, report) = flash(dir.path());
    let flashed = Flashed::new(Some(("stinky", "/src/cluster")), &plan, &report);
    assert_eq!((flashed.written, flashed.retries, flashed.about().as_str()), (1 << 20, 1, "stinky"));
    let folder = state.path().join("state/receipts");
    assert_eq!(store::newest_first(&folder).unwrap(), []);
    let old = Flashed { host: None, ..flashed.clone() };
    assert_eq!(old.about(), "an image.img");
    for (name, flashed) in [("2026-01-01", &old), ("2026-01-02", &old), ("2026-01-02", &flashed)] {
        store::write(&folder, name, &Receipt::Flash(flashed.clone().into())).unwrap();
    }
    std::fs::write(folder.join("9.json"), "{}").unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("8.json"), 0o600.into()).unwrap();
    let mut names = std::fs::read_dir(&folder).unwrap().map(|it| it.unwrap().file_name()).collect::<Vec<_>>();
    names.sort();
    assert_eq!(names, ["2026-01-01.json", "2026-01-02.json", "2026-01-02_2.json", "8.json", "9.json"]);
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let found = store::newest_first(&folder).unwrap();
    assert_eq!(found, [&flashed, &old, &old].map(|it| Receipt::Flash(it.clone().into())));
    assert_eq!(last_of(found, &plan.disk), Some(flashed));
}

#[test]
fn a_receipt_of_a_deploy() {
    let state = tempfile::tempdir().unwrap();
    let text = r#"{"kind":"deploy","when":"2026-11-25T12:00:00Z","host":"stinky","flake":"/src","from":null,
        "to":"/nix/store/x-new","verdict":"rolled_back","exit_code":10,"seconds":[{"phase":"copy","seconds":1.5}]}"#;
    let receipt: Receipt = serde_json::from_str(text).unwrap();
    store::write(state.path(), "2026", &receipt).unwrap();
    assert_eq!(store::newest_first(state.path()).unwrap(), std::slice::from_ref(&receipt));
    let Receipt::Deploy(deployed) = &receipt else { panic!("{receipt:?}") };
    assert_eq!(deployed.to_string(), "deployed 2026-11-25 12:00 UTC: rolled back, /nix/store/x-new");
    assert_eq!((receipt.host(), deployed.seconds.total()), (Some("stinky"), 1.5));
    // A deploy that lost its host is one of those that were done; one that was refused is not.
    for (kind, expected) in [
        (crate::failure::Kind::Unreachable, Some(("unreachable", 12))),
        (crate::failure::Kind::Undecided, Some(("undecided", 14))),
        (crate::failure::Kind::Refused, None),
    ] {
        let ended = deployed.clone().ended(&Err(kind.error("no")));
        assert_eq!(ended.as_ref().map(|it| (it.verdict.as_str(), it.exit_code)), expected);
    }
}

#[test]
fn names_of_files() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, report) = flash(dir.path());
    let when = Moment::at(1_795_608_000);
    let flashed = |source| Flashed { when: when.clone(), ..Flashed::new(source, &plan, &report) };
    let deployed = |host: &str| {
        let json = serde_json::json!({"when": when, "host": host, "flake": "/src", "from": null, "to": "/nix/store/x",
            "verdict": "done", "exit_code": 0, "seconds": []});
        Receipt::from(serde_json::from_value::<Deployed>(json).unwrap())
    };
    for (receipt, expected) in [
        (flashed(Some(("stinky", "/src"))).into(), "2026-11-25T120000Z-flash-stinky"),
        (flashed(None).into(), "2026-11-25T120000Z-flash-an-image.img"),
        (deployed("stinky"), "2026-11-25T120000Z-deploy-stinky"),
        (deployed("a/b c\0"), "2026-11-25T120000Z-deploy-a-b-c-"),
    ] {
        assert_eq!(receipt.name(), expected);
    }
    assert!(deployed(&"x".repeat(300)).name().ends_with(&format!("-deploy-{}", "x".repeat(80))));
}

#[test]
fn which_card_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, report) = flash(dir.path());
    let file = plan.disk.clone();
    let over = Kind::Loop { backing: Some(file.path.clone()) };
    let looped = Disk { path: "/dev/loop7".into(), kind: over, ..file.clone() };
    let reader = Disk { path: "/dev/sdb".into(), kind: Kind::Usb, serial: Some("1".into()), ..file.clone() };
    let was = |disk: &Disk| {
        let plan = Plan { disk: disk.clone(), ..plan.clone() };
        let receipt = Receipt::Flash(Flashed::new(None, &plan, &report).into());
        move |now: &Disk| last_of([receipt.clone()], now).is_some()
    };
    // A virtual card is its file, whatever loop device is over it.
    for now in [&file, &looped, &Disk { path: "/dev/loop8".into(), ..looped.clone() }] {
        assert!(was(&file)(now) && was(&looped)(now), "{now:?}");
    }
    for now in
        [&Disk { size: 5 << 20, ..file.clone() }, &Disk { path: "/other".into(), ..file.clone() }, &reader]
    {
        assert!(!was(&file)(now), "{now:?}");
    }
    // A card with a serial number is known in another reader; another card in the same one is not.
    assert!(was(&reader)(&Disk { path: "/dev/sdc".into(), diskseq: Some(9), ..reader.clone() }));
    for now in [Disk { serial: Some("2".into()), ..reader.clone() }, Disk { serial: None, ..reader.clone() }]
    {
        assert!(!was(&reader)(&now), "{now:?}");
    }
}

#[test]
fn in_words() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, report) = flash(dir.path());
    let when = Moment::at(1_795_608_000);
    let flashed = Flashed { when, ..Flashed::new(Some(("stinky", "/src")), &plan, &report) };
    let hash = report.hash;
    let words = format!("flashed 2026-11-25 12:00 UTC with the image of stinky, hash {hash}");
    assert_eq!(flashed.to_string(), words);
    let short =
        format!("flashed 2026-11-25 12:00 UTC with the image of stinky, hash {}", &hash.to_hex()[..12]);
    assert_eq!(format!("{:#}", Receipt::from(flashed.clone())), short);
    let words = format!("with the image {}, hash {hash}", plan.image.source.path.display());
    assert!(Flashed { host: None, ..flashed }.to_string().ends_with(&words));
}
