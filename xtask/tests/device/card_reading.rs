//! `card inspect` and `card verify`: what they report about a card; neither writes to it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde_json::Value;

use crate::card::{Card, MIB};
use crate::faulty::FaultyCard;
use crate::flash::flash;
use crate::fuse_card::DeviceFault;
use crate::image::{garbage, image, pack};
use crate::support::loops::{Loop, make_ext4};
use crate::support::{Sandbox, content_hash, file_sum, sha256};

/// The position, in bytes, of a byte that tests change or that cannot be read.
const POSITION: usize = 5 * MIB + 77 * 512;
/// The hint where a card differs from its image.
const BOOTED_HINT: &str =
    "\nhint: a card differs once it has booted, or once another checkout has flashed it\n";

/// A card to which an image was flashed in a sandbox of its own.
struct FlashedCard {
    sandbox: Sandbox,
    card: Card,
    file: PathBuf,
    image: Vec<u8>,
}

impl FlashedCard {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let card = Card::new(20);
        let image = image(12);
        let file = pack(&sandbox.path("home"), "img.zst", &image);
        flash(&sandbox, &file, card.device.device(), "20MiB", &[]).assert_code(0);
        Self { sandbox, card, file, image }
    }

    fn device(&self) -> &str {
        self.card.device.device()
    }

    fn file(&self) -> &str {
        self.file.to_str().expect("a plain path")
    }

    /// Flips one bit of the byte at `offset` of the card.
    fn flip_bit(&self, offset: usize) {
        let card = File::options().read(true).write(true).open(self.device()).expect("opening the card");
        let mut byte = [0];
        card.read_exact_at(&mut byte, offset as u64).expect("reading the card");
        card.write_all_at(&[byte[0] ^ 1], offset as u64).expect("writing the card");
        card.sync_all().expect("writing the card");
    }

    /// Runs `card verify` with `args` and the device, and asserts that the card is unchanged.
    #[track_caller]
    fn verify(&self, args: &[&str]) -> crate::support::Outcome {
        let before = self.card.device.bytes();
        let outcome = self.sandbox.run(&[&["card", "verify"], args, &[self.device()]].concat());
        assert!(self.card.device.bytes() == before, "the card was written");
        outcome
    }

    /// The stdout of a successful `card verify`.
    fn success_line(&self) -> String {
        let (sum, device) = (sha256(&self.image), self.device());
        format!("{device} holds the image: 12.0 MiB compared, SHA-256 of its first 12582912 bytes {sum}\n")
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn card_verify_finds_a_chunk_that_differs() {
    let flashed = FlashedCard::new();
    let file = ["--image", flashed.file()];
    let by_receipt = [""; 0];
    for args in [&file[..], &by_receipt] {
        flashed.verify(args).assert_code(0).assert_stdout(flashed.success_line());
    }
    flashed.flip_bit(POSITION);
    let error = format!(
        "error: {} does not hold the image: 1 of 12 MiB differ, at byte {POSITION}{BOOTED_HINT}",
        flashed.device()
    );
    for args in [&file[..], &by_receipt] {
        let outcome = flashed.verify(args);
        outcome
            .assert_stderr_contains("[░░░░░!░░░░░░]\n            ! 1 MiB failed   ░ 11 MiB unchanged\n")
            .assert_stderr_contains(&error)
            .assert_code(4);
        assert_eq!(outcome.stdout, "");
    }
    let outcome = flashed.verify(&["--json"]);
    let result = outcome.assert_code(4).json();
    assert_eq!(result["comparison"]["equal"], false);
    assert_eq!(result["comparison"]["differences"], serde_json::json!([POSITION]));
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn without_the_image_the_hash_of_the_receipt_is_compared() {
    let flashed = FlashedCard::new();
    std::fs::remove_file(&flashed.file).unwrap();
    let outcome = flashed.verify(&[]);
    outcome.assert_stderr_contains(format!(
        "{} is missing: comparing with the hash of the receipt\n",
        flashed.file()
    ));
    outcome.assert_code(0).assert_stdout(flashed.success_line());
    flashed.flip_bit(POSITION);
    let error =
        format!("error: {} does not hold the image: the hashes differ{BOOTED_HINT}", flashed.device());
    flashed.verify(&[]).assert_stderr_contains(&error).assert_code(4);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn card_verify_uses_the_receipt_of_the_last_flash() {
    let flashed = FlashedCard::new();
    let other = flashed.image.iter().map(|byte| byte ^ 0x40).collect::<Vec<_>>();
    let other = [&flashed.image[..MIB], &other[MIB..]].concat();
    let folder = flashed.sandbox.path("other");
    std::fs::create_dir(&folder).unwrap();
    let second = pack(&folder, "img.xz", &other);
    // The names of receipts have a resolution of one second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    flash(&flashed.sandbox, &second, flashed.device(), "20MiB", &[]).assert_code(0);
    flashed
        .verify(&["--image", flashed.file()])
        .assert_stderr_contains("11 of 12 MiB differ, at byte 1048576, 2097152, 3145728 and more")
        .assert_code(4);
    let outcome = flashed.verify(&[]);
    outcome.assert_stderr_contains(format!(
        " UTC with the image {}, {}\n",
        second.display(),
        file_sum(&second)
    ));
    assert!(outcome.assert_code(0).stdout.ends_with(&format!("bytes {}\n", sha256(&other))));
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn each_flash_leaves_a_receipt() {
    let flashed = FlashedCard::new();
    let folder = flashed.sandbox.path("state").join("receipts");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    assert_eq!(names.len(), 1, "{names:?}");
    let name = names[0].file_name().unwrap().to_str().unwrap();
    assert!(name.ends_with("Z-flash-nixos-sd-image.img.zst.json"), "{name}");
    let receipt = serde_json::from_slice::<Value>(&std::fs::read(&names[0]).unwrap()).unwrap();
    for (pointer, expected) in [
        ("/kind", "flash".into()),
        ("/host", Value::Null),
        ("/image/path", flashed.file().into()),
        ("/image/store_path", Value::Null),
        ("/image/bytes", (12 * MIB).into()),
        ("/image/hash", content_hash(&flashed.image).into()),
        ("/card/device", flashed.device().into()),
        ("/card/kind/type", "loop".into()),
        ("/card/bytes", (20 * MIB).into()),
        ("/mode", "auto".into()),
        ("/retries", 0.into()),
        ("/written_bytes", (12 * MIB).into()),
    ] {
        assert_eq!(receipt.pointer(pointer), Some(&expected), "{pointer} in {receipt:#}");
    }
    assert!(receipt["seconds"]["write"].as_f64().unwrap() > 0.0);
    assert!(receipt["bytes_per_second"]["read"].as_u64().is_some());
    // The flash was too short to measure the write rate.
    assert_eq!(receipt["bytes_per_second"]["write"], Value::Null);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn an_unwritable_receipt_is_a_warning() {
    let sandbox = Sandbox::new();
    let card = Card::new(20);
    std::fs::create_dir(sandbox.path("state")).unwrap();
    std::fs::write(sandbox.path("state/receipts"), "no folder").unwrap();
    let file = pack(&sandbox.path("home"), "img.zst", &image(12));
    flash(&sandbox, &file, card.device.device(), "20MiB", &[])
        .assert_stderr_contains("warning: no receipt of this flash was written: writing a receipt to ")
        .assert_code(0);
}

/// Runs `card inspect`, which must exit with 4. Returns the lines of stdout after the first one, and stderr.
#[track_caller]
fn inspect(sandbox: &Sandbox, device: &str) -> (Vec<String>, String) {
    let outcome = sandbox.run(&["card", "inspect", device]);
    let lines = outcome.assert_code(4).stdout.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(lines[0].starts_with(&format!("card    {device} (loop over ")), "{lines:?}");
    (lines[1..].to_vec(), outcome.stderr)
}

const NO_RECEIPT: &str = "origin  no receipt of this project for this card";

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn cards_without_a_system_do_not_boot() {
    let blank = Loop::new(20 << 20);
    let noise = Card::new(20);
    let whole = Loop::attach(20 << 20, &["--read-only"], make_ext4);
    for (device, reason) in [
        (blank.device(), "the card is blank"),
        (noise.device.device(), "no partition table (no 0x55AA at the end of the first sector)"),
        (whole.device(), "no partition table, only a file system: ext4"),
    ] {
        let (lines, error) = inspect(&Sandbox::new(), device);
        assert_eq!(lines, [format!("boots   not: {reason}"), NO_RECEIPT.to_owned()]);
        assert_eq!(error, format!("error: {device} does not boot: {reason}\n"));
        let error =
            format!("there is no receipt of this project for {device}\nhint: name the host or --image FILE");
        Sandbox::new().run(&["card", "verify", device]).assert_stderr_contains(&error).assert_code(3);
    }
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn card_inspect_shows_how_the_last_flash_ended() {
    let sandbox = Sandbox::new();
    let card = FaultyCard::new(12, DeviceFault::WriteFails(POSITION, fuser::Errno::EIO));
    let file = pack(&sandbox.path("home"), "img.zst", &image(8));
    flash(&sandbox, &file, card.path(), "12MiB", &[]).assert_code(5);
    let broken = "boots   not: the first MiB is blank, but not the rest: a flash of this card was broken off";
    let (lines, error) = inspect(&sandbox, card.path());
    assert_eq!(lines, [broken, NO_RECEIPT]);
    assert!(error.contains("a flash of this card was broken off\nhint: run the flash again\n"), "{error}");
    card.repair();
    flash(&sandbox, &file, card.path(), "12MiB", &[]).assert_code(0);
    let (lines, _) = inspect(&sandbox, card.path());
    let no_system = "boots   not: partition 1 is marked bootable, but has no ext4";
    assert_eq!(lines[..2], ["holds   1: Linux, 7.0 MiB, bootable", no_system]);
    let image = format!(" UTC with the image {}, {}", file.display(), file_sum(&file));
    assert!(lines[2].starts_with("origin  flashed 2") && lines[2].ends_with(&image), "{lines:?}");
    let head = vec![0; MIB];
    File::options().write(true).open(card.path()).and_then(|disk| disk.write_all_at(&head, 0)).unwrap();
    let (lines, _) = inspect(&sandbox, card.path());
    assert!(
        lines[0] == broken && lines[1].ends_with(&format!("{image}; the card holds something else now")),
        "{lines:?}"
    );
    let result = sandbox.run(&["card", "inspect", "--json", card.path()]);
    let result = result.assert_code(4).json();
    assert_eq!(result["origin"]["overwritten"], true);
    assert_eq!(result["origin"]["receipt"]["image"]["path"], file.to_str().unwrap());
    assert_eq!((&result["verdict"]["boots"], &result["layout"]), (&"no".into(), &Value::Null));
    assert_eq!(result["disk"]["device"], card.path());
}

#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn card_verify_reports_unreadable_chunks() {
    let sandbox = Sandbox::new();
    let card = FaultyCard::new(12, DeviceFault::OldReadFails(POSITION, fuser::Errno::EIO));
    let file = pack(&sandbox.path("home"), "img", &garbage(12 * MIB));
    let table = image(12);
    File::options().write(true).open(&file).and_then(|disk| disk.write_all_at(&table[..512], 0)).unwrap();
    let outcome = sandbox.run(&["card", "verify", "--image", file.to_str().unwrap(), card.path()]);
    outcome.assert_stderr_contains("[!░░░░!░░░░░░]");
    outcome
        .assert_stderr_contains(
            "could not be read everywhere: reading the card at byte 5242880: Input/output error",
        )
        .assert_code(5);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_that_is_being_written_is_refused() {
    let flashed = FlashedCard::new();
    let writer = File::open(flashed.device()).unwrap();
    rustix::fs::flock(&writer, FlockOperation::NonBlockingLockExclusive).unwrap();
    for command in ["inspect", "verify"] {
        let outcome = flashed.sandbox.run(&["card", command, flashed.device()]);
        outcome
            .assert_stderr_contains(format!(
                "error: another program holds the lock of {}: device-",
                flashed.device()
            ))
            .assert_code(3);
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_read_only_card_can_be_verified() {
    let flashed = FlashedCard::new();
    let copy = flashed.sandbox.path("copy");
    std::fs::write(&copy, flashed.card.device.bytes()).unwrap();
    let locked = Loop::over(Path::new(&copy), &["--read-only"]);
    let outcome = flashed.sandbox.run(&["card", "verify", "--image", flashed.file(), locked.device()]);
    assert!(outcome.assert_code(0).stdout.starts_with(&format!("{} holds the image", locked.device())));
}
