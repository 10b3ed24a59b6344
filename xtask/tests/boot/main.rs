//! Boots the demo's card, flashed by the tool itself, in QEMU.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

mod desk;
mod ssh;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use support::Sandbox;
use xtask::Launcher;
use xtask::dev::demo::later_boot;
use xtask::qemu::{Machine, Setup, boot};

/// The lock of the card of this checkout, which all tests share.
static CARD_LOCK: Mutex<()> = Mutex::new(());

/// The state folder of all runs, so that packages are fetched only once.
const STATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.xtask");

/// Runs `cargo xtask --json ARGS`, and returns the exit code and the result.
fn xtask(args: &[&str]) -> (i32, Value) {
    let outcome = Sandbox::new().env("XTASK_STATE", STATE).run(&[&["--json"], args].concat());
    let result = serde_json::from_str(&outcome.stdout);
    (outcome.code, result.unwrap_or_else(|error| panic!("{error} in {outcome:?}")))
}

/// Runs `cargo xtask demo ARGS`, and returns the result and the path of a copy of its card in `dir`.
#[track_caller]
fn demo(args: &[&str], dir: &Path) -> (Value, PathBuf) {
    let _lock = CARD_LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let (code, result) = xtask(&[&["demo"], args].concat());
    assert_eq!(code, 0, "{result}");
    let copy = dir.join("card.img");
    read("cp", &["--sparse=always", result["file"].as_str().unwrap(), copy.to_str().unwrap()]);
    (result, copy)
}

/// Runs `program`, and returns its stdout. An exit code other than 0 fails the test.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn read(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The root file system of `card`, which begins at 48 MiB, in the notation of e2fsprogs.
fn root_argument(card: &Path) -> String {
    format!("{}?offset={}", card.display(), 48 << 20)
}

/// The path of the U-Boot for QEMU's own machine, which the demo fetches.
fn virt_uboot() -> PathBuf {
    Path::new(STATE).join("demo/flake/inputs/emulator/u-boot.bin")
}

/// The value `key` that the host printed in the line `name` during the boot `boot`, 0 or 1.
fn observed<'a>(result: &'a Value, boot: usize, name: &str, key: &str) -> &'a str {
    let value = &result["booted"]["boots"][boot]["observations"][name][key];
    value.as_str().unwrap_or_else(|| panic!("no {name} {key} of boot {boot} in {result}"))
}

/// Asserts that the partition ends with the card, and the file system with the partition.
fn assert_grown(card: &Path) {
    let size = card.metadata().unwrap().len();
    let table: Value = serde_json::from_str(&read("sfdisk", &["-J", card.to_str().unwrap()])).unwrap();
    let partition = &table["partitiontable"]["partitions"][1];
    let sectors = ["start", "size"].map(|key| partition[key].as_u64().unwrap());
    assert_eq!((sectors[0] + sectors[1]) * 512, size);
    assert_eq!(partition["bootable"], true);
    let header = read("dumpe2fs", &["-h", &root_argument(card)]);
    let blocks = header.lines().find_map(|line| line.strip_prefix("Block count:")).unwrap();
    // A block of 4096 bytes has 8 sectors.
    assert_eq!(blocks.trim().parse::<u64>().unwrap() * 8, sectors[1]);
    assert!(header.contains("Filesystem state:         clean"), "{header}");
    read("e2fsck", &["-f", "-n", &root_argument(card)]);
}

/// Boots the card twice in `machine` by the tool, checks the card by other programs, and returns the result of the
/// tool.
fn boot_twice(machine: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let (result, card) = demo(&["--boot", machine], dir.path());
    assert_eq!(result["booted"]["machine"], machine);
    let [boot, total] = ["boot", "total"].map(|part| result["seconds"][part].as_f64().unwrap());
    assert!(boot > 0.0 && boot < total, "{boot} of {total} s");
    let size = card.metadata().unwrap().len();
    assert!(size.is_power_of_two() && size > result["report"]["bytes"].as_u64().unwrap(), "{size}");
    for boot in [0, 1] {
        assert_eq!(observed(&result, boot, "root", "type"), "tmpfs");
        assert_eq!(observed(&result, boot, "root", "size"), "2097152k");
        assert_eq!(observed(&result, boot, "memory", "marker"), "absent");
    }
    assert_eq!([0, 1].map(|boot| observed(&result, boot, "persisted", "marker")), ["absent", "present"]);

    assert_grown(&card);

    // The identity of the host was known before it booted.
    let fingerprint = result["identity"]["fingerprint"].as_str().unwrap();
    assert!(fingerprint.starts_with("SHA256:"), "{fingerprint}");
    assert_eq!([0, 1].map(|boot| observed(&result, boot, "identity", "fingerprint")), [fingerprint; 2]);

    // The card has the persistent data of the first boot, and the menu with the generation of the second boot.
    let id = read("debugfs", &["-R", "cat /persist/etc/machine-id", &root_argument(&card)]);
    assert_eq!(id.trim(), observed(&result, 1, "machine-id", "id"));
    let old = observed(&result, 0, "generation", "system");
    let new = observed(&result, 1, "generation", "system");
    assert_ne!(old, new);
    let menu = read("debugfs", &["-R", "cat /boot/extlinux/extlinux.conf", &root_argument(&card)]);
    let inits = menu.lines().filter_map(|line| line.split_once("init=")?.1.split_once("/init "));
    let systems = inits.map(|(system, _)| system).collect::<Vec<_>>();
    assert_eq!(systems, [new, new, old], "{menu}");
    let (code, inspected) = xtask(&["card", "inspect", card.to_str().unwrap()]);
    assert_eq!((code, &inspected["verdict"]["contents"]["boot"]["init"]), (0, &format!("{new}/init").into()));
    result
}

#[test]
#[ignore = "needs Nix, AArch64 emulation and QEMU: run `cargo xtask test`"]
fn a_card_boots_grows_keeps_its_files_and_starts_the_next_generation() {
    let result = boot_twice("virt");
    assert_eq!(observed(&result, 0, "nix", "device"), "/dev/vda2");
}

#[test]
#[ignore = "needs Nix, AArch64 emulation and QEMU: run `cargo xtask test`"]
fn a_card_boots_on_an_emulated_raspberry_pi_3() {
    let result = boot_twice("raspi3b");
    assert_eq!(observed(&result, 0, "nix", "device"), "/dev/mmcblk0p2");
    // The computed end of the kernel is the one of U-Boot.
    let computed = &result["contents"]["uboots"][0];
    assert_eq!(computed["file"], "u-boot.bin");
    assert!(computed["kernel_end"].is_u64());
    assert_eq!(result["booted"]["boots"][0]["kernel_end"], computed["kernel_end"]);
}

#[test]
#[ignore = "needs Nix, AArch64 emulation and QEMU: run `cargo xtask test`"]
fn a_bootable_flag_on_the_wrong_partition_fails_the_boot() {
    let dir = tempfile::tempdir().unwrap();
    let (_, card) = demo(&[], dir.path());
    read("sfdisk", &["--quiet", "--activate", card.to_str().unwrap(), "1"]);
    let (code, inspected) = xtask(&["card", "inspect", card.to_str().unwrap()]);
    assert_eq!(code, 4);
    assert_eq!(
        inspected["verdict"]["message"],
        "partition 1 (FIRMWARE, FAT32) is marked bootable, so U-Boot looks for its menu there, not on ext4"
    );
    let hint = "run `sfdisk --activate DEVICE 2` to mark partition 2 (NIXOS_SD)";
    assert_eq!(inspected["verdict"]["hint"], hint);
    let uboot = virt_uboot();
    for (machine, output) in [(Machine::Virt, "No more bootdevs"), (Machine::Raspi3b, "U-Boot>")] {
        let setup = Setup::new(machine, &card, &uboot).unwrap();
        let error = boot(&Launcher::new("/"), &setup, &mut later_boot(), |_| ()).unwrap_err().to_string();
        let name = machine.name();
        let expected = format!(
            "booting in {name}: U-Boot found nothing to boot on the card: the console printed \"{output}\" before"
        );
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
#[ignore = "needs Nix, AArch64 emulation and QEMU: run `cargo xtask test`"]
fn ctrl_c_ends_the_emulator() {
    let _lock = CARD_LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let mut sandbox = Sandbox::new();
    sandbox.env("XTASK_STATE", STATE);
    let outcome = sandbox.xtask(&["demo", "--boot", "--json"]).interrupt_at(r#""name":"boot 1""#);
    assert_eq!(outcome.code, 130, "{outcome:?}");
    outcome.assert_stderr_contains("qemu-system-aarch64 was stopped");
}
