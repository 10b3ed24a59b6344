//! End to end: a real image, built by Nix under `AArch64` emulation and written to a virtual card.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::support::image::{Image, stdout_of};
use crate::support::{Sandbox, content_hash};

/// The lock of the card of this checkout, which all tests share.
static CARD_LOCK: Mutex<()> = Mutex::new(());

fn lock_card() -> MutexGuard<'static, ()> {
    CARD_LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state folder of all runs, so that each download happens once.
const STATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.xtask");

/// A sandbox with the state folder of this checkout.
fn sandbox_with_state() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.env("XTASK_STATE", STATE);
    sandbox
}

/// Runs `cargo xtask demo --json`, and returns its result.
#[track_caller]
fn run_demo() -> Value {
    run_demo_in(&sandbox_with_state())
}

/// Runs `cargo xtask demo --json` in `sandbox`, and returns its result.
#[track_caller]
fn run_demo_in(sandbox: &Sandbox) -> Value {
    let outcome = sandbox.run(&["demo", "--json"]);
    let text = &outcome.assert_code(0).stdout;
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// The text at `pointer` in `result`.
fn text<'a>(result: &'a Value, pointer: &str) -> &'a str {
    result.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {result}"))
}

/// The hash of the first `size` bytes of `file`, computed without the tool's own code.
fn hash_of(file: &Path, size: u64) -> String {
    let mut bytes = Vec::new();
    fs::File::open(file).unwrap().take(size).read_to_end(&mut bytes).unwrap();
    content_hash(&bytes)
}

#[test]
#[ignore = "needs Nix and AArch64 emulation: run `cargo xtask test`"]
fn the_demo_builds_flashes_and_verifies_a_card() {
    let _lock = lock_card();
    let result = run_demo();
    let file = Path::new(text(&result, "/file"));
    let size = result["report"]["bytes"].as_u64().unwrap();
    assert_eq!(hash_of(file, size), text(&result, "/report/payload/hash"));
    assert_eq!(text(&result, "/image/hash"), text(&result, "/report/hash"));
    assert_eq!(stdout_of("losetup", &["-j", file.to_str().unwrap()]), "", "the loop device is still there");
    assert_eq!(text(&result, "/contents/volumes/0/label"), "FIRMWARE");
    assert_eq!(text(&result, "/contents/volumes/1/label"), "NIXOS_SD");
    assert_eq!(result["contents"]["boot"]["store_paths"], 4);
    assert!(result["seconds"]["boot"].is_null(), "the demo booted the card");

    let dir = tempfile::tempdir().unwrap();
    let compressed = Path::new(text(&result, "/image/image"));
    let name = compressed.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("nixos-sd-image-demo-") && name.ends_with("-aarch64-linux.img.zst"), "{name}");
    let image = Image::decompress(compressed, dir.path(), 40);
    image.assert_sound();
    assert_bootable(&image, text(&result, "/contents/boot/init"));
}

#[test]
#[ignore = "needs Nix and AArch64 emulation: run `cargo xtask test`"]
fn a_second_demo_fetches_and_builds_nothing() {
    let _lock = lock_card();
    let result = run_demo();
    let compressed = Path::new(text(&result, "/image/image"));
    let inode_numbers = || {
        let files = [compressed.to_owned(), Path::new(STATE).join("demo/flake/inputs/manifest.json")];
        files.map(|file| file.metadata().unwrap().ino())
    };
    let before = inode_numbers();
    let again = run_demo();
    assert_eq!(text(&again, "/image/image"), compressed.to_str().unwrap());
    assert_eq!(text(&again, "/report/hash"), text(&result, "/report/hash"));
    assert_eq!(inode_numbers(), before, "the second run fetched or built something");
}

/// Asserts that `image` contains the files that a Pi boots, with `init` as the first program.
fn assert_bootable(image: &Image, init: &str) {
    assert_eq!(image.sorted_names("/"), ["boot", "lost+found", "persist", "store", "var"]);
    let config = image.text("/boot/extlinux/extlinux.conf");
    assert!(config.contains(&format!("APPEND init={init} ")), "{config}");
    let script = image.text(init.strip_prefix("/nix").unwrap());
    let shell = script.lines().next().unwrap().strip_prefix("#!/nix").unwrap();
    let busybox = image.debugfs(&format!("stat {}/busybox", shell.rsplit_once('/').unwrap().0));
    assert!(busybox.contains("Mode:  0555") || busybox.contains("Mode:  0755"), "{busybox}");
    let firmware = image.firmware_paths();
    for file in ["config.txt", "u-boot.bin", "bcm2711-rpi-4-b.dtb", "bcm2837-rpi-3-b.dtb"] {
        assert!(firmware.iter().any(|name| name == file), "{file} in {firmware:?}");
    }
}

#[test]
#[ignore = "needs Nix and AArch64 emulation: run `cargo xtask test`"]
fn a_rebuild_gives_the_same_bytes() {
    let _lock = lock_card();
    run_demo();
    let flake = Path::new(STATE).join("demo/flake").canonicalize().unwrap();
    let image = format!("path:{}#packages.aarch64-linux.demo-sdImage", flake.display());
    let features = ["--extra-experimental-features", "nix-command flakes"];
    stdout_of("nix", &[&features[..], &["build", "--no-link", "--rebuild", &image]].concat());
}

#[test]
#[ignore = "needs Nix and AArch64 emulation: run `cargo xtask test`"]
fn without_loop_devices_the_demo_uses_a_plain_file() {
    let _lock = lock_card();
    let sandbox = sandbox_with_state();
    sandbox.fake("losetup", "echo 'cannot find an unused loop device' >&2; exit 1");
    let result = run_demo_in(&sandbox);
    assert_eq!(text(&result, "/device"), text(&result, "/file"));
    assert_eq!(result["contents"]["boot"]["store_paths"], 4);
}

#[test]
#[ignore = "needs Nix and AArch64 emulation: run `cargo xtask test`"]
fn ctrl_c_leaves_no_loop_device_and_a_blank_head() {
    let _lock = lock_card();
    let result = run_demo();
    let file = Path::new(text(&result, "/file"));
    let mut run = sandbox_with_state().command(&["demo", "--json"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(run.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains(r#""event":"phase","name":"write""#)));
    let id = rustix::process::Pid::from_child(&run);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let rest = lines.collect::<Vec<_>>().join("\n");
    assert_eq!(run.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("the first MiB of the card is blank"), "{rest}");
    assert_eq!(stdout_of("losetup", &["-j", file.to_str().unwrap()]), "");
    let mut head = vec![1; 1 << 20];
    fs::File::open(file).unwrap().read_exact(&mut head).unwrap();
    assert!(head.iter().all(|&byte| byte == 0), "the head is not blank");
}

/// Runs `card inspect` on `card`, and returns its exit code and stdout.
fn inspect(card: &Path) -> (i32, String) {
    let outcome = sandbox_with_state().run(&["card", "inspect", card.to_str().unwrap()]);
    (outcome.code, outcome.stdout)
}

/// Overwrites `copy` with `bytes` at `offset`, and then restores it. Returns the reason of `card inspect` why the
/// overwritten copy does not boot.
#[track_caller]
fn reason_with_bytes(copy: &Path, offset: u64, bytes: &[u8]) -> String {
    use std::os::unix::fs::FileExt;
    let disk = fs::File::options().read(true).write(true).open(copy).unwrap();
    let mut before = vec![0; bytes.len()];
    disk.read_exact_at(&mut before, offset).unwrap();
    disk.write_all_at(bytes, offset).unwrap();
    let (code, text) = inspect(copy);
    disk.write_all_at(&before, offset).unwrap();
    assert_eq!(code, 4, "{text}");
    text.lines().find_map(|line| line.strip_prefix("boots   not: ")).expect(&text).to_owned()
}

#[test]
#[ignore = "needs Nix and AArch64 emulation: run `cargo xtask test`"]
fn card_inspect_shows_what_a_card_boots_and_its_origin() {
    let _lock = lock_card();
    let result = run_demo();
    let file = Path::new(text(&result, "/file"));
    let (code, report) = inspect(file);
    assert_eq!(code, 0, "{report}");
    let lines = report.lines().collect::<Vec<_>>();
    let kernel = text(&result, "/contents/boot/kernel");
    let init = text(&result, "/contents/boot/init");
    assert!(lines[1].starts_with("holds   1: FIRMWARE, FAT32, "), "{report}");
    assert!(
        lines[2].starts_with("        2: NIXOS_SD, ext4, ") && lines[2].ends_with(", bootable"),
        "{report}"
    );
    assert_eq!(lines[3], format!("boots   {kernel}, then {init}"));
    let origin = lines.last().unwrap();
    assert!(origin.starts_with("origin  flashed 2"), "{report}");
    assert!(
        origin.contains(" UTC with the image of demo, SHA-256 of the image file ")
            && origin.ends_with(", and the identity of demo"),
        "{report}"
    );
    let dir = tempfile::tempdir().unwrap();
    let (code, report) = inspect(&copy_card(file, dir.path()));
    assert_eq!((code, report.lines().last()), (0, Some("origin  no receipt of this project for this card")));
}

/// Copies the card `file` to `dir`, and returns the path of the copy.
fn copy_card(file: &Path, dir: &Path) -> PathBuf {
    let copy = dir.join("copy.img");
    stdout_of("cp", &[file.to_str().unwrap(), copy.to_str().unwrap()]);
    copy
}

#[test]
#[ignore = "needs Nix and AArch64 emulation: run `cargo xtask test`"]
fn card_inspect_explains_why_a_card_does_not_boot() {
    let _lock = lock_card();
    let result = run_demo();
    let kernel = text(&result, "/contents/boot/kernel");
    let dir = tempfile::tempdir().unwrap();
    let copy = copy_card(Path::new(text(&result, "/file")), dir.path());
    // The flags `bootable` of the two partitions are changed. U-Boot scans only bootable partitions.
    let why = reason_with_bytes(&copy, 462, &[0]);
    assert!(why.starts_with("partition 1 (FIRMWARE, FAT32) is marked bootable"), "{why}");
    let mut table = fs::read(&copy).unwrap()[446..478].to_vec();
    table[0] = 0;
    table[16] = 0;
    assert_eq!(reason_with_bytes(&copy, 446, &table), "no partition is marked bootable");
    let why = reason_with_bytes(&copy, 0, &vec![0; 1 << 20]);
    assert!(why.ends_with("a flash of this card was broken off"), "{why}");
    let root =
        format!("{}?offset={}", copy.display(), result["contents"]["volumes"][1]["partition"]["start_bytes"]);
    stdout_of("debugfs", &["-w", "-R", &format!("rm {kernel}"), &root]);
    let (code, report) = inspect(&copy);
    assert!(code == 4 && report.contains("linux-Image: file not found"), "{report}");
}
