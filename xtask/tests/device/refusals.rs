//! The refusals of `flash`, which name the cause and change nothing, and the list of `devices`.

use std::path::{Path, PathBuf};

use crate::support::loops::{Loop, Mounted, make_ext4};
use crate::support::{Outcome, Sandbox};

pub const MIB: u64 = 1 << 20;

/// Flashes an image of 1 MiB to `device` with `options`, without a terminal.
pub fn flash(device: &str, options: &[&str]) -> Outcome {
    let sandbox = Sandbox::new();
    let image = sandbox.path("card.img");
    std::fs::write(&image, small_image()).expect("writing an image");
    let image = image.to_str().expect("a plain path").to_owned();
    sandbox.run(&[&["flash", "--image", &image, device], options].concat())
}

/// The bytes of an image of 1 MiB with one Linux partition of 1000 sectors, which begins at sector 8.
pub fn small_image() -> Vec<u8> {
    let mut image = vec![7; 1 << 20];
    image[440..510].fill(0);
    image[446 + 4] = 0x83;
    image[446 + 8..446 + 16].copy_from_slice(&[8, 0, 0, 0, 0xe8, 3, 0, 0]);
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    image
}

/// The options that confirm a virtual card of 64 MiB.
pub const CONFIRMED: &[&str] = &["--allow-virtual", "--yes", "--expect-size", "64MiB"];

/// Asserts that a flash to `device` with `options` is refused with a message that contains `text`.
#[track_caller]
pub fn assert_refused(device: &str, options: &[&str], text: &str) {
    flash(device, options).assert_stderr_contains(text).assert_code(3);
}

/// The path of a disk with a mounted file system, found in another way than the tool does.
fn system_disk() -> PathBuf {
    let names = std::fs::read_dir("/sys/block").expect("listing disks");
    let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mounts = std::fs::read_to_string("/proc/mounts").expect("reading the mounts");
    let is_mounted = |name: &String| !name.starts_with("loop") && mounts.contains(&format!("/dev/{name}"));
    Path::new("/dev").join(names.into_iter().find(is_mounted).expect("a disk with a mount"))
}

#[test]
fn an_absent_device_is_not_created() {
    let path = "/dev/no-such-card";
    assert_refused(path, CONFIRMED, "there is no /dev/no-such-card\nhint: is the card plugged in?");
    assert!(!Path::new(path).exists());
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_device_name_without_dev_is_suggested_with_it() {
    let card = Loop::new(1 << 20);
    let name = card.device().strip_prefix("/dev/").unwrap();
    assert_refused(name, CONFIRMED, &format!("there is no {name}\nhint: did you mean {}?", card.device()));
}

#[test]
fn a_character_device_and_a_folder_are_no_disks() {
    assert_refused("/dev/null", CONFIRMED, "/dev/null is a character device, not a disk");
    assert_refused("/dev", CONFIRMED, "/dev is a folder, not a disk");
}

#[test]
#[ignore = "needs a machine with a disk under /: run `cargo xtask test`"]
fn the_disk_of_the_running_system_is_refused() {
    let disk = system_disk();
    let path = disk.to_str().unwrap();
    assert_refused(path, CONFIRMED, &format!("{path} is a disk of the running system: "));
    for options in [&[][..], &["--yes"]] {
        let outcome = flash(path, options);
        outcome.assert_stderr_contains("is a disk of the running system: ").assert_code(3);
        // No option is offered that would accept the disk.
        assert!(!outcome.stderr.contains("--"), "{}", outcome.stderr);
    }
}

#[test]
fn a_plain_file_needs_allow_virtual() {
    let sandbox = Sandbox::new();
    let card = sandbox.path("virtual-card");
    std::fs::File::create(&card).unwrap().set_len(4 * MIB).unwrap();
    let path = card.to_str().unwrap();
    assert_refused(
        path,
        &["--yes", "--expect-size", "4MiB"],
        "is a plain file, not a card\nhint: pass --allow-virtual",
    );
    assert!(std::fs::read(&card).unwrap().iter().all(|byte| *byte == 0));
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_loop_device_needs_allow_virtual_and_a_size() {
    let card = Loop::new(64 * MIB);
    assert_refused(
        card.device(),
        &["--yes", "--expect-size", "64MiB"],
        "is a loop device, not a card\nhint: pass --allow-virtual",
    );
    assert_refused(card.device(), &["--allow-virtual", "--yes"], "--yes alone does not identify the card");
    assert_refused(card.device(), &["--allow-virtual"], "may be overwritten: there is no terminal");
    let other = ["--allow-virtual", "--yes", "--expect-size", "65MiB"];
    assert_refused(card.device(), &other, "has 67108864 bytes, but 68157440 are expected");
    assert!(std::fs::read(card.backing_file()).unwrap().iter().all(|byte| *byte == 0));
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_refusal_names_the_device_behind_a_link() {
    let card = Loop::new(64 * MIB);
    let sandbox = Sandbox::new();
    let link = sandbox.path("by-id-usb-card");
    std::os::unix::fs::symlink(card.device(), &link).unwrap();
    assert_refused(link.to_str().unwrap(), &[], &format!("{} is a loop device, not a card", card.device()));
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn an_image_on_the_card_itself_is_refused() {
    let card = Loop::attach(64 * MIB, &[], make_ext4);
    let mounted = Mounted::new(card.device());
    let image = mounted.mount_point().join("own.img");
    std::fs::write(&image, vec![7; 1 << 20]).unwrap();
    let sandbox = Sandbox::new();
    let image = image.to_str().unwrap();
    let args = [&["flash", "--image", image, card.device()], CONFIRMED].concat();
    sandbox.run(&args).assert_stderr_contains("is mounted at").assert_code(3);
    drop(mounted);
    let backing = card.backing_file();
    let backing = backing.to_str().unwrap();
    let args = [&["flash", "--image", backing, card.device()], CONFIRMED].concat();
    let text = format!("the image {backing} is on {}, which would be overwritten", card.device());
    sandbox.run(&args).assert_stderr_contains(&text).assert_code(3);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_read_only_card_is_refused() {
    let card = Loop::attach(64 * MIB, &["--read-only"], |_| ());
    assert_refused(card.device(), CONFIRMED, "is read-only\nhint: attach it without `losetup --read-only`");
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_with_large_sectors_is_refused() {
    let card = Loop::attach(64 * MIB, &["--sector-size", "4096"], |_| ());
    let text = "has sectors of 4096 bytes, but a card needs 512";
    assert_refused(card.device(), CONFIRMED, text);
    let args = [&["card", "check", card.device()], CONFIRMED].concat();
    Sandbox::new().run(&args).assert_stderr_contains(text).assert_code(3);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn devices_lists_the_partitions_of_a_card() {
    let card = Loop::attach(64 * MIB, &[], make_ext4);
    let outcome = Sandbox::new().run(&["devices", "--json", "--allow-virtual"]);
    let disks = outcome.assert_code(0).json();
    let mut disks = disks["devices"].as_array().expect("a list").iter();
    let disk = disks.find(|disk| disk["device"] == card.device()).unwrap();
    assert_eq!(disk["partitions"][0]["filesystem"], "ext4");
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn devices_lists_virtual_cards_on_request() {
    let card = Loop::new(64 * MIB);
    let sandbox = Sandbox::new();
    let listed = |args: &[&str]| {
        let outcome = sandbox.run(args);
        let disks = outcome.assert_code(0).json();
        let disks = disks["devices"].as_array().expect("a list").clone();
        disks.into_iter().find(|disk| disk["device"] == card.device())
    };
    assert_eq!(listed(&["devices", "--json"]), None);
    let disk = listed(&["devices", "--json", "--allow-virtual"]).unwrap();
    assert_eq!((&disk["accepted"], &disk["bytes"]), (&true.into(), &(64 * MIB).into()));
    assert_eq!(disk["kind"]["backing"], card.backing_file().to_str().unwrap());
    let disk = listed(&["devices", "--json", "--all"]).unwrap();
    assert_eq!(disk["accepted"], false);
    let message = format!("{} is a loop device, not a card", card.device());
    let refusal = serde_json::json!({
        "kind": "not_a_card", "message": message, "hint": "pass --allow-virtual to accept it"
    });
    assert_eq!(disk["refusals"], serde_json::json!([refusal]));
}

/// The kinds of the reasons for which `args` are refused.
#[track_caller]
fn reason_kinds(args: &[&str]) -> Vec<Option<String>> {
    let outcome = Sandbox::new().run(&[&["--json"], args].concat());
    let error = outcome.assert_code(3).json_error();
    let reasons = error["reasons"].as_array().expect("a list of reasons");
    if let [only] = &reasons[..] {
        assert_eq!((&only["message"], &only["hint"]), (&error["message"], &error["hint"]));
    }
    reasons.iter().map(|reason| reason["kind"].as_str().map(str::to_owned)).collect()
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn each_refusal_of_a_card_has_a_reason_with_a_word_for_programs() {
    let mounted = Loop::attach(64 * MIB, &[], make_ext4);
    let _mounted = Mounted::new(mounted.device());
    let [card, tiny, read_only] =
        [Loop::new(64 * MIB), Loop::new(512), Loop::attach(64 * MIB, &["--read-only"], |_| ())];
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("card.img");
    std::fs::write(&image, small_image()).unwrap();
    let image = image.to_str().unwrap();
    for (device, options, kinds) in [
        ("/dev/null", CONFIRMED, &["not_a_card"][..]),
        (dir.path().to_str().unwrap(), CONFIRMED, &["not_a_card"]),
        ("/dev/nope", CONFIRMED, &["no_such_disk"]),
        ("nope", CONFIRMED, &["no_such_disk"]),
        (card.device(), &CONFIRMED[1..], &["not_a_card"]),
        (card.device(), &["--allow-virtual", "--yes"], &["not_confirmed"]),
        (card.device(), &["--allow-virtual"], &["not_confirmed"]),
        (card.device(), &["--allow-virtual", "--yes", "--expect-size", "1GiB"], &["not_expected"]),
        (mounted.device(), CONFIRMED, &["in_use"]),
        (read_only.device(), CONFIRMED, &["read_only"]),
        (tiny.device(), &["--allow-virtual", "--yes", "--expect-size", "512"], &["too_small"]),
        (
            read_only.device(),
            &["--allow-virtual", "--yes", "--expect-size", "1GiB"],
            &["read_only", "not_expected"],
        ),
    ] {
        let args = [&["flash", "--image", image, device], options].concat();
        assert_eq!(
            reason_kinds(&args),
            kinds.iter().map(|kind| Some((*kind).to_owned())).collect::<Vec<_>>()
        );
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn the_commands_about_cards_have_the_same_words_for_programs() {
    let mounted = Loop::attach(64 * MIB, &[], make_ext4);
    let _mounted = Mounted::new(mounted.device());
    for (command, device, kind) in [
        ("inspect", "/dev/nope", "no_such_disk"),
        ("verify", "/dev/zero", "not_a_card"),
        ("inspect", "/", "not_a_card"),
    ] {
        assert_eq!(reason_kinds(&["card", command, device]), [Some(kind.to_owned())], "{command} {device}");
    }
    let check = |device| reason_kinds(&[&["card", "check", device], CONFIRMED].concat());
    assert_eq!(check("/dev/nope"), [Some("no_such_disk".to_owned())]);
    assert_eq!(check(mounted.device()), [Some("in_use".to_owned())]);
    let missing = [&["flash", "--image", "/no/image.img", "/dev/null"], CONFIRMED].concat();
    assert_eq!(reason_kinds(&missing), [Some("not_a_card".to_owned()), None]);
}
