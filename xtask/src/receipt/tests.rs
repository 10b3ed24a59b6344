use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::base::failure::ExitKind;
use crate::base::fuzz::cpu_time;
use crate::base::{FlakeRef, HostName, Silent};
use crate::card::disk::Roots;
use crate::card::flash::{Mode, Plan, Report};
use crate::card::image::{self, Depth, Source};

/// The plan and the report of a flash. The image and the card, a plain file, are in `dir`.
pub(super) fn flash(dir: &Path) -> (Plan, Report) {
    let file = dir.join("an image.img");
    let card = dir.join("card");
    let mut bytes = crate::card::inspect::mbr(&[(0x83, true, 2048, 2048)]).to_vec();
    bytes.resize(2 << 20, 7);
    std::fs::write(&file, bytes).unwrap();
    std::fs::write(&card, vec![0; 4 << 20]).unwrap();
    let image = image::examine(Source::open(&file).unwrap(), Depth::Whole, &Silent).unwrap();
    let size = image.size;
    let hash = image.hash.unwrap();
    let plan = Plan::new(image, Disk::load(&Roots::default(), &card).unwrap(), Mode::Auto, None);
    let report = serde_json::json!({
        "bytes": size, "hash": hash.to_hex().as_str(), "mode": "auto", "retries": 1,
        "map": [{"state": "written", "mib": 1}, {"state": "unchanged", "mib": 1}],
        "seconds": {"capacity": 0.25, "write": 1.5, "verify": 0.5}, "bytes_per_second": {"read": 90, "write": 30}, "boards": [],
    });
    (plan, serde_json::from_value(report).unwrap())
}

/// The readable receipts in `folder`, the newest first, and the warning of the others.
fn read(folder: &Path) -> (Vec<Receipt>, Option<String>) {
    let mut receipts = store::newest_first(folder).unwrap();
    (receipts.by_ref().collect(), receipts.unreadable_warning())
}

/// The sorted names of the files in `folder`.
fn file_names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>();
    names.sort();
    names
}

/// A host and its flake, the source of an image.
fn stinky() -> (HostName, FlakeRef) {
    ("stinky".into(), FlakeRef::of_url("/src"))
}

/// The receipt of a deploy that ended at the time `when`.
pub(super) fn deploy(host: &str, when: &str) -> Receipt {
    let json = serde_json::json!({"when": when, "host": host, "flake": "/src", "from": null, "to": "/nix/store/x-new",
        "verdict": "rolled_back", "exit_code": 10, "seconds": [{"phase": "copy", "seconds": 1.5}]});
    serde_json::from_value::<Deployed>(json).unwrap().into()
}

#[test]
fn receipts_are_numbered_kept_private_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let state = tempfile::tempdir().unwrap();
    let (plan, report) = flash(dir.path());
    let when = Timestamp::at(1_795_608_000);
    let flashed = Flashed {
        when,
        ..Flashed::new(Some((&"stinky".into(), &FlakeRef::of_url("/src/cluster"))), &plan, &report)
    };
    assert_eq!((flashed.written, flashed.retries, flashed.subject().as_str()), (1 << 20, 1, "stinky"));
    let folder = state.path().join("state/receipts");
    assert_eq!(read(&folder), (vec![], None));
    let old = Flashed { host: None, ..flashed.clone() };
    assert_eq!(old.subject(), "an image.img");
    for flashed in [&old, &old, &flashed] {
        store::write(&folder, &flashed.clone().into()).unwrap();
    }
    let expected = [
        "000001-2026-11-25T120000Z-flash-an-image.img.json",
        "000002-2026-11-25T120000Z-flash-an-image.img.json",
        "000003-2026-11-25T120000Z-flash-stinky.json",
    ];
    assert_eq!(file_names(&folder), expected);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join(expected[0]))), (0o700, 0o600));
    let (found, warning) = read(&folder);
    assert_eq!(found, [&flashed, &old, &old].map(|receipt| Receipt::from(receipt.clone())));
    assert_eq!((last_flash_of(found, &plan.disk).flashed, warning), (Some(flashed), None));
    let text = std::fs::read_to_string(folder.join(expected[0])).unwrap();
    assert!(text.starts_with("{\n  \"version\": 2,\n  \"kind\": \"flash\",\n  \"time\":"), "{text}");
}

#[test]
fn unreadable_receipts_are_reported() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path();
    store::write(folder, &deploy("stinky", "2026-11-25T12:00:00Z")).unwrap();
    std::fs::write(folder.join("2.json"), "{}").unwrap();
    std::fs::write(folder.join("3.json"), r#"{"version": 3, "kind": "flash"}"#).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("4.json"), 0o600.into()).unwrap();
    std::fs::File::create(folder.join("5.json")).unwrap().set_len(1 << 40).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.join("6.json")).unwrap();
    std::fs::write(folder.join(".7.json.x.part"), "{}").unwrap();
    let (found, warning) = read(folder);
    assert_eq!(found.len(), 1);
    let dir = folder.display();
    let expected = format!(
        "5 receipts in {dir} could not be read: {dir}/6.json is not a regular file; move it away; {dir}/5.json is larger \
         than the limit of 16.0 MiB; move it away; {dir}/4.json is not a regular file; move it away; and 2 more"
    );
    assert_eq!(warning, Some(expected));
    for name in ["4", "5", "6"] {
        std::fs::remove_file(folder.join(format!("{name}.json"))).unwrap();
    }
    let expected = format!(
        "2 receipts in {dir} could not be read: {dir}/3.json has version 3, written by a newer version of this tool; \
         move it away; {dir}/2.json is not a receipt (missing field `kind` at line 1 \
         column 2); move it away"
    );
    assert_eq!(read(folder).1, Some(expected));
}

/// The clock was once in 2100, before there were sequence numbers and after.
#[test]
fn receipts_have_the_order_of_the_operations() {
    let state = tempfile::tempdir().unwrap();
    let old = deploy("first", "2100-01-01T00:00:00Z");
    let text = serde_json::to_string(&old).unwrap();
    std::fs::write(state.path().join("2100-01-01T000000Z-deploy-first.json"), text).unwrap();
    let times =
        ["2026-01-01T00:00:00Z", "2100-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "1970-01-01T00:00:00Z"];
    for (count, when) in times.iter().enumerate() {
        store::write(state.path(), &deploy(&count.to_string(), when)).unwrap();
    }
    let (receipts, _) = read(state.path());
    let hosts = receipts.iter().filter_map(Receipt::host).collect::<Vec<_>>();
    assert_eq!(hosts, ["3", "2", "1", "0", "first"]);
    // A number with too many digits is no sequence number.
    std::fs::write(state.path().join(format!("{}-x.json", u64::MAX)), "{}").unwrap();
    let last = store::write(state.path(), &deploy("last", times[0])).unwrap();
    assert!(last.file_name().unwrap().to_str().unwrap().starts_with("000005-2026"), "{}", last.display());
}

#[test]
fn parallel_writers_lose_no_receipt() {
    let state = tempfile::tempdir().unwrap();
    let receipt = deploy("stinky", "2026-11-25T12:00:00Z");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..8).for_each(|_| drop(store::write(state.path(), &receipt).unwrap())));
        }
    });
    assert_eq!((read(state.path()).0.len(), file_names(state.path()).len()), (64, 64));
}

#[test]
fn ten_thousand_receipts_are_read_in_a_moment() {
    let state = tempfile::tempdir().unwrap();
    let text = serde_json::to_string(&deploy("stinky", "2026-11-25T12:00:00Z")).unwrap();
    for count in 1..=10_000 {
        std::fs::write(state.path().join(format!("{count:06}-x.json")), &text).unwrap();
    }
    let begin = cpu_time();
    assert_eq!(read(state.path()).0.len(), 10_000);
    let whole = cpu_time().saturating_sub(begin);
    assert!(whole.as_secs() < 5, "{whole:?}");
    // The newest one is found without reading the others.
    let begin = cpu_time();
    store::newest_first(state.path()).unwrap().next().unwrap();
    let newest = cpu_time().saturating_sub(begin);
    assert!(newest < whole / 4, "{newest:?} of {whole:?}");
}

#[test]
fn only_a_failed_flash_after_the_last_successful_one_is_returned() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, report) = flash(dir.path());
    let broken = BrokenFlash {
        when: Timestamp::at(1_795_608_000),
        ..BrokenFlash::new(Some((&"stinky".into(), &FlakeRef::of_url("/src"))), &plan)
    };
    let good = Flashed::new(None, &plan, &report);
    let receipts = [Receipt::from(broken.clone()), good.clone().into(), broken.clone().into()];
    let last = LastFlash { flashed: Some(good.clone()), broken: Some(broken) };
    assert_eq!(last_flash_of(receipts.clone(), &plan.disk), last);
    let last = LastFlash { flashed: Some(good), broken: None };
    assert_eq!(last_flash_of(receipts.into_iter().skip(1), &plan.disk), last);
}

#[test]
fn the_receipt_of_a_broken_flash_says_where_it_broke_off() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, _) = flash(dir.path());
    let broken = BrokenFlash {
        when: Timestamp::at(1_795_608_000),
        ..BrokenFlash::new(Some((&"stinky".into(), &FlakeRef::of_url("/src"))), &plan)
    };
    let text = serde_json::to_vec(&Receipt::from(broken.clone())).unwrap();
    assert!(
        String::from_utf8_lossy(&text).starts_with(r#"{"kind":"broken_flash","time":"2026-11-25T12:00:00Z""#)
    );
    assert_eq!(store::parse(&text), Ok(broken.clone().into()));
    let prefix = "flash of 2026-11-25 12:00 UTC with the image of stinky:";
    assert_eq!(broken.to_string(), format!("{prefix} not finished: it is still running, or was killed"));
    let end = broken_flash::End { exit_code: 130, ..broken_flash::End::default() };
    let at = |end| BrokenFlash { end: Some(end), ..broken.clone() }.to_string();
    assert_eq!(at(end.clone()), format!("{prefix} broken off before its first phase, exit code 130"));
    let end = broken_flash::End {
        phase: Some("write".into()),
        done: 1 << 20,
        total: Some(8 << 20),
        is_in_bytes: true,
        ..end
    };
    assert_eq!(at(end), format!("{prefix} broken off at write, 1.0 MiB of 8.0 MiB, exit code 130"));
}

#[test]
fn fuzz() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, report) = flash(dir.path());
    let (host, flake) = stinky();
    let source = Some((&host, &flake));
    let receipts = [
        Flashed::new(source, &plan, &report).into(),
        BrokenFlash { end: Some(broken_flash::End::default()), ..BrokenFlash::new(source, &plan) }.into(),
        deploy("stinky", "2026-11-25T12:00:00Z"),
    ];
    let samples = receipts.map(|receipt: Receipt| serde_json::to_vec(&receipt).unwrap());
    crate::base::fuzz::check(&samples.each_ref().map(Vec::as_slice), |bytes| {
        let receipt = store::parse(bytes).ok()?;
        let name = receipt.name_in_file();
        // Only a time that is no time of this tool makes a longer name.
        assert!(name.len() < 200 || receipt.when().for_file_name().len() > 20, "{name}");
        let last = last_flash_of([receipt.clone()], &plan.disk);
        Some((receipt.to_string(), receipt.summary(), receipt.host().map(str::len), last))
    });
}

#[test]
fn a_deploy_has_a_receipt_unless_it_was_refused() {
    let state = tempfile::tempdir().unwrap();
    let receipt = deploy("stinky", "2026-11-25T12:00:00Z");
    store::write(state.path(), &receipt).unwrap();
    assert_eq!(read(state.path()).0, std::slice::from_ref(&receipt));
    let Receipt::Deploy(deployed) = &receipt else { panic!("{receipt:?}") };
    assert_eq!(deployed.to_string(), "deployed 2026-11-25 12:00 UTC: rolled back, /nix/store/x-new");
    assert_eq!(receipt.summary(), "deployed 2026-11-25: rolled back");
    assert_eq!((receipt.host(), deployed.seconds.total()), (Some("stinky"), 1.5));
    // A deploy that lost its host leaves a receipt; one that was refused does not.
    for (kind, expected) in [
        (ExitKind::Unreachable, Some(("unreachable", 12))),
        (ExitKind::Undecided, Some(("undecided", 14))),
        (ExitKind::Refused, None),
    ] {
        let ended = deployed.clone().with_result(&Err(kind.error("no")));
        let found = ended.as_ref().map(|ended| (ended.verdict.as_str(), ended.exit_code));
        assert_eq!(found, expected);
    }
}

#[test]
fn the_file_name_has_the_time_the_operation_and_the_subject() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, report) = flash(dir.path());
    let when = Timestamp::at(1_795_608_000);
    let flashed = |source| Flashed { when: when.clone(), ..Flashed::new(source, &plan, &report) };
    let deployed = |host: &str| deploy(host, "2026-11-25T12:00:00Z");
    let (host, flake) = stinky();
    for (receipt, expected) in [
        (flashed(Some((&host, &flake))).into(), "2026-11-25T120000Z-flash-stinky"),
        (flashed(None).into(), "2026-11-25T120000Z-flash-an-image.img"),
        (deployed("stinky"), "2026-11-25T120000Z-deploy-stinky"),
        (deployed("a/b c\0"), "2026-11-25T120000Z-deploy-a-b-c-"),
    ] {
        assert_eq!(receipt.name_in_file(), expected);
    }
    let long = deployed(&"x".repeat(300)).name_in_file();
    assert!(long.ends_with(&format!("-deploy-{}", "x".repeat(80))), "{long}");
}

#[test]
fn a_flash_is_described_with_its_image() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, report) = flash(dir.path());
    let when = Timestamp::at(1_795_608_000);
    let (host, flake) = stinky();
    let flashed = Flashed { when, ..Flashed::new(Some((&host, &flake)), &plan, &report) };
    let sum = plan.image.file_sha256.clone().unwrap();
    let of_stinky = "flashed 2026-11-25 12:00 UTC with the image of stinky";
    assert_eq!(flashed.to_string(), format!("{of_stinky}, SHA-256 of the image file {sum}"));
    assert_eq!(Receipt::from(flashed.clone()).summary(), "flashed 2026-11-25");
    let words =
        format!("with the image {}, SHA-256 of the image file {sum}", plan.image.source.path.display());
    assert!(Flashed { host: None, ..flashed.clone() }.to_string().ends_with(&words));
    // A receipt that an earlier version of the tool has written.
    let image = flashed::ImageId { file_sha256: None, ..flashed.image.clone() };
    assert_eq!(Flashed { image, ..flashed }.to_string(), format!("{of_stinky}, hash {}", report.hash));
}
