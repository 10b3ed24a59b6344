//! The growth of the partition `NIXOS_SD` at boot: it grows up to the end of the disk or to the next partition, and
//! then stays the same. The suite `boot` shows that the file system grows, too.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use xtask::base::program_file;

use crate::support::loops::Loop;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../hosts/raspberry-pi/grow.sh");

const MIB: u64 = 1 << 20;
/// The number of sectors in a MiB.
const SECTORS_PER_MIB: u64 = MIB / 512;

/// The first sector of `NIXOS_SD`, at 48 MiB.
const START: u64 = 48 * SECTORS_PER_MIB;
/// The size of `NIXOS_SD` in sectors: 128 MiB, as in a small image.
const SIZE: u64 = 128 * SECTORS_PER_MIB;

#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
/// Runs `program` with the variable PATH set to `path` if there is one.
fn run<S: AsRef<OsStr>>(program: &str, args: &[S], path: Option<&str>) -> Output {
    let mut command = Command::new(program);
    command.args(args);
    if let Some(path) = path {
        command.env("PATH", path);
    }
    command.output().expect(program)
}

/// Runs `program`, asserts that it succeeds, and returns its stdout.
#[track_caller]
fn stdout_of<S: AsRef<OsStr>>(program: &str, args: &[S]) -> String {
    let output = run(program, args, None);
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A card whose partitions the kernel knows.
struct Card {
    card: Loop,
    dir: tempfile::TempDir,
}

impl Card {
    /// Makes a card of `size` bytes. `third_start` is the first sector of a third partition of 16 MiB, if there is
    /// one.
    fn new(size: u64, third_start: Option<u64>) -> Self {
        let third =
            third_start.map(|start| format!("start={start}, size={}, type=83\n", 16 * SECTORS_PER_MIB));
        let table = format!(
            "label: dos\nunit: sectors\nstart={}, size={}, type=b\nstart={START}, size={SIZE}, type=83, bootable\n{}",
            8 * SECTORS_PER_MIB,
            40 * SECTORS_PER_MIB,
            third.unwrap_or_default()
        );
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("table"), table).unwrap();
        let script = format!("sfdisk --quiet \"$0\" <{}/table", dir.path().display());
        let card = Loop::attach(size, &[], |file| {
            stdout_of("sh", &["-c", &script, file.to_str().unwrap()]);
        });
        // Not every kernel reads the table by itself.
        stdout_of("partx", &["--update", card.device()]);
        let card = Self { card, dir };
        card.fake("sfdisk", "PATH=${PATH#*:} exec sfdisk \"$@\"");
        // resize2fs asks the kernel for more than this machine may allow.
        card.fake("resize2fs", "exit 0");
        card
    }

    /// Replaces `program` by the shell script `script`, and records its calls.
    fn fake(&self, program: &str, script: &str) {
        let file = self.dir.path().join("bin").join(program);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let log = self.dir.path().join("log");
        let script = format!("#!/bin/sh\necho {program} \"$@\" >>{}\n{script}\n", log.display());
        program_file::write(&file, script, 0o755).unwrap();
    }

    /// Runs the script of each boot, and returns the commands that it called.
    #[track_caller]
    fn boot(&self) -> Vec<String> {
        let log = self.dir.path().join("log");
        fs::write(&log, "").unwrap();
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}/bin:{path}:/usr/sbin:/sbin", self.dir.path().display());
        let partition = self.partition();
        let output = run("sh", &[SCRIPT, &partition], Some(&path));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let log = fs::read_to_string(log).unwrap();
        log.lines().map(|line| line.replace(self.card.device(), "DISK")).collect()
    }

    /// The path of `NIXOS_SD`.
    fn partition(&self) -> String {
        format!("{}p2", self.card.device())
    }

    /// The start and the end of `NIXOS_SD` in sectors: first as in the partition table, then as the kernel knows them.
    fn extents(&self) -> [(u64, u64); 2] {
        let table: Value = serde_json::from_str(&stdout_of("sfdisk", &["-J", self.card.device()])).unwrap();
        let partition = &table["partitiontable"]["partitions"][1];
        assert_eq!((&partition["type"], &partition["bootable"]), (&"83".into(), &true.into()));
        let [start, size] = ["start", "size"].map(|key| partition[key].as_u64().unwrap());
        let name = self.partition();
        let sys = Path::new("/sys/class/block").join(name.trim_start_matches("/dev/"));
        let read = |file: &str| fs::read_to_string(sys.join(file)).unwrap().trim().parse::<u64>().unwrap();
        [(start, start + size), (read("start"), read("start") + read("size"))]
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        let _ = run("partx", &["--delete", self.card.device()], None);
    }
}

/// Asserts that the first boot grows the partition to the sector `end`, and that the second boot does not change it.
#[track_caller]
fn assert_grows(card: &Card, end: u64) {
    let resize = "resize2fs DISKp2".to_owned();
    let table = "sfdisk --no-reread --no-tell-kernel --quiet -N 2 DISK".to_owned();
    assert_eq!(card.boot(), [table, resize.clone()]);
    assert_eq!(card.extents(), [(START, end); 2]);
    assert_eq!(card.boot(), [resize]);
    assert_eq!(card.extents(), [(START, end); 2]);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn the_partition_grows_to_the_end_of_the_card() {
    assert_grows(&Card::new(512 * MIB, None), 512 * SECTORS_PER_MIB);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn the_partition_grows_up_to_the_next_one() {
    assert_grows(&Card::new(512 * MIB, Some(300 * SECTORS_PER_MIB)), 300 * SECTORS_PER_MIB);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn the_partition_grows_to_the_limit_of_its_table() {
    // A larger number of sectors does not fit into a partition table.
    let limit = 1 << 32;
    for tebibytes in [2, 3] {
        assert_grows(&Card::new(tebibytes * MIB * MIB, None), limit);
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn the_partition_does_not_grow_without_room() {
    // The script leaves less than 8 MiB free.
    let end = START + SIZE;
    for (size, third_start) in
        [(176, None), (183, None), (512, Some(end)), (512, Some(end + 7 * SECTORS_PER_MIB))]
    {
        let card = Card::new(size * MIB, third_start);
        assert_eq!(card.boot(), ["resize2fs DISKp2"]);
        assert_eq!(card.extents(), [(START, end); 2]);
    }
}
