//! The measuring of a fleet, with few hosts.

use std::collections::BTreeMap;
use std::path::Path;

use xtask::Launcher;
use xtask::dev::bench::{self, Payload};

/// One host is dead, one fails, and one loses its link: all others get the new system.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_fleet_is_measured_and_every_verdict_is_true() {
    let dir = tempfile::tempdir().expect("making a folder");
    let tool = Path::new(env!("CARGO_BIN_EXE_xtask"));
    let note = |text| eprintln!("{text}");
    let measured = bench::measure_fleet(&Launcher::new("/"), tool, dir.path(), 6, Payload::Random, &note);
    let measured = measured.expect("measuring");
    let expected = [("done", 3), ("rolled_back", 2), ("unreachable", 1)];
    let expected = expected.map(|(verdict, count)| (verdict.to_owned(), count));
    assert_eq!(measured.verdicts, BTreeMap::from(expected));
    assert_eq!(measured.unexpected, [""; 0]);
    let summary = "all verdicts are true, 6 of 6: 3 done, 2 rolled back, 1 unreachable";
    assert_eq!(measured.summary(), summary);
    let memory = measured.rows.iter().find(|row| row.case.starts_with("status, with"));
    assert_eq!(memory.expect("a row").kept, Some(true), "{measured:?}");
    // The path that changed was sent once, and not once for each host.
    let sent = measured.rows.iter().find(|row| row.against == "one closure").expect("a row");
    let ratio = sent.ratio.expect("a ratio");
    assert!((1.0..1.1).contains(&ratio), "{sent:?}");
}
