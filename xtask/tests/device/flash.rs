//! Flashes that succeed: the card then holds the image.

use std::path::Path;

use crate::card::{Card, MIB};
use crate::image::{FORMATS, garbage, image, pack};
use crate::support::loops::Loop;
use crate::support::{Outcome, Sandbox, content_hash};

/// Runs `flash --image FILE DEVICE` with the options `more`, confirmed by flags for a card of `size`.
pub fn flash(sandbox: &Sandbox, file: &Path, device: &str, size: &str, more: &[&str]) -> Outcome {
    let file = file.to_str().expect("a plain path");
    let args = ["flash", "--image", file, device, "--allow-virtual", "--yes", "--expect-size", size];
    sandbox.run(&[&args[..], more].concat())
}

/// The report of a flash with `--json`.
#[derive(Debug)]
pub struct Report {
    pub retries: u32,
    /// The state of each MiB of the image.
    pub chunks: Vec<String>,
}

/// The report of a flash that succeeded.
#[track_caller]
pub fn report(outcome: &Outcome) -> Report {
    let result = outcome.assert_code(0).json();
    let report = &result["report"];
    let retries = report["retries"].as_u64().and_then(|count| u32::try_from(count).ok());
    let runs = report["map"].as_array().expect("a map").iter();
    let chunks = runs.flat_map(|run| {
        let state = run["state"].as_str().expect("a state");
        let mib = run["mib"].as_u64().expect("a number");
        (0..mib).map(|_| state.to_owned())
    });
    Report { retries: retries.expect("a number"), chunks: chunks.collect() }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn images_of_every_format_are_written() {
    let sandbox = Sandbox::new();
    let image = image(12);
    for format in FORMATS {
        let card = Card::new(20);
        let file = pack(&sandbox.path("home"), format, &image);
        let outcome = flash(&sandbox, &file, card.device.device(), "20MiB", &[]);
        let sum = outcome.file_sum();
        let expected = format!("{} holds the image: 12.0 MiB read back, {sum}\n", card.device.device());
        outcome.assert_code(0).assert_stdout(expected);
        card.assert_holds(&image);
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn an_image_as_large_as_the_card_fits() {
    let sandbox = Sandbox::new();
    let dir = tempfile::tempdir().unwrap();
    let image = [image(5), garbage(512)].concat();
    let file = dir.path().join("card");
    std::fs::write(&file, garbage(image.len())).unwrap();
    let device = Loop::over(&file, &[]);
    let packed = pack(dir.path(), "img.zst", &image);
    flash(&sandbox, &packed, device.device(), &image.len().to_string(), &[]).assert_code(0);
    assert!(device.bytes() == image);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn the_plan_lists_image_card_and_loss_and_the_phases_follow_in_order() {
    let sandbox = Sandbox::new();
    let card = Card::new(20);
    let file = pack(&sandbox.path("home"), "img.xz", &image(12));
    let outcome = flash(&sandbox, &file, card.device.device(), "20MiB", &[]);
    for text in [
        &format!("image   {}", file.display()),
        "12.0 MiB (xz), SHA-256 of the image file ",
        "1: Linux, 11.0 MiB, bootable",
        &format!("card    {} (loop over ", card.device.device()),
        "lost    everything on it",
    ] {
        outcome.assert_stderr_contains(text);
    }
    let phases = [
        "check  12.0 MiB in",
        "capacity  ok: 20 probes read back",
        "write  12.0 MiB in",
        // The head is written last, and read back by itself.
        "verify  11.0 MiB in",
        "card  [████████████]",
        "total  12.0 MiB of 12.0 MiB written in",
    ];
    let positions = phases.map(|phase| outcome.stderr.find(phase));
    assert!(positions.is_sorted() && positions[0].is_some(), "{}", outcome.stderr);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn the_plan_lists_the_partitions_of_a_gpt() {
    let sandbox = Sandbox::new();
    let card = Card::new(20);
    let file = pack(&sandbox.path("home"), "img", &garbage(12 * MIB));
    let table = sandbox.path("table");
    std::fs::write(
        &table,
        "label: gpt\nstart=2048, size=4096, type=U\nstart=8192, size=8192, type=L, attrs=LegacyBIOSBootable\n",
    )
    .unwrap();
    partition(&file, &table);
    let outcome = flash(&sandbox, &file, card.device.device(), "20MiB", &[]);
    outcome
        .assert_stderr_contains(
            "1: EFI system, 2.0 MiB\n        2: Linux, 4.0 MiB, bootable\nlogins  unknown (",
        )
        .assert_code(0);
}

/// Partitions `file` by sfdisk as `table` describes.
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn partition(file: &Path, table: &Path) {
    // Debian has sfdisk in a folder that is not on the PATH of users.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").expect("PATH is set"));
    let mut command = std::process::Command::new("sfdisk");
    command.env("PATH", path).arg("--quiet").arg(file).stdin(std::fs::File::open(table).expect("opening"));
    assert!(command.status().expect("running sfdisk").success());
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn flash_prints_json() {
    let sandbox = Sandbox::new();
    let card = Card::new(20);
    let image = image(12);
    let file = pack(&sandbox.path("home"), "img.gz", &image);
    let outcome = flash(&sandbox, &file, card.device.device(), "20MiB", &["--json"]);
    let result = outcome.assert_code(0).json();
    assert_eq!(result["device"], card.device.device());
    assert_eq!(result["report"]["bytes"], 12 * MIB);
    assert_eq!(result["report"]["hash"], content_hash(&image));
    let events = outcome.events();
    let done = events.iter().filter(|event| event["event"] == "done").map(|event| event["name"].clone());
    assert_eq!(done.collect::<Vec<_>>(), ["check", "write", "verify"]);
}

#[test]
fn a_plain_file_is_written_like_a_card() {
    let sandbox = Sandbox::new();
    let image = image(6);
    let file = pack(&sandbox.path("home"), "img.zst", &image);
    let card = sandbox.path("card");
    std::fs::write(&card, garbage(9 * MIB)).unwrap();
    flash(&sandbox, &file, card.to_str().unwrap(), "9MiB", &[]).assert_code(0);
    let after = std::fs::read(&card).unwrap();
    assert!(after.starts_with(&image) && after.len() == 9 * MIB);
    assert_eq!(after[6 * MIB..8 * MIB], garbage(9 * MIB)[6 * MIB..8 * MIB]);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_file_on_tmpfs_is_written_without_direct_io() {
    let sandbox = Sandbox::new();
    let image = image(6);
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let file = pack(&sandbox.path("home"), "img", &image);
    let card = memory.path().join("card");
    std::fs::write(&card, garbage(9 * MIB)).unwrap();
    flash(&sandbox, &file, card.to_str().unwrap(), "9MiB", &[]).assert_code(0);
    assert!(std::fs::read(&card).unwrap().starts_with(&image));
}
