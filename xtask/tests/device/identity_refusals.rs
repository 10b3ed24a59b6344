//! Payloads that are refused before the first byte is written.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::card::Card;
use crate::flash::flash;
use crate::host_image::{CARD_MIB, full_host_image, host_image};
use crate::image::{garbage, image, pack};
use crate::support::{Outcome, Sandbox};

/// Asserts that a flash of `image` with the options `more` is refused with `code` and `text`, and changes neither the
/// card nor `known_hosts`.
#[track_caller]
fn assert_refused(image: &[u8], more: &[&str], code: i32, text: &str) {
    let sandbox = Sandbox::new();
    let card = Card::new(CARD_MIB);
    let file = pack(&sandbox.path("home"), "img.zst", image);
    flash(&sandbox, &file, card.device.device(), "48MiB", more)
        .assert_stderr_contains(text)
        .assert_code(code);
    card.assert_unchanged();
    assert!(!sandbox.path("state/identity/known_hosts").exists());
}

#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn images_without_nixos_sd_or_without_room_are_refused() {
    let of_pi = ["--identity-of", "pi"];
    let text = "has no partition NIXOS_SD with ext4\nhint: pass --identity none: ";
    assert_refused(&image(40), &of_pi, 3, text);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("large"), garbage(2 << 20)).unwrap();
    let files = ["--files", dir.path().to_str().unwrap()];
    assert_refused(&full_host_image(), &files, 3, "the image has no room for 1 file: up to 2.0 MiB and ");
    // The partition begins at 1 MiB, its superblock 1024 bytes later, and the label another 120 bytes later.
    let mut other = host_image(4096);
    other[(1 << 20) + 1024 + 120] = b'X';
    assert_refused(&other, &of_pi, 3, "has no partition NIXOS_SD with ext4");
}

#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn unusable_options_of_the_payload_are_refused() {
    let image = host_image(4096);
    assert_refused(&image, &["--identity", "new"], 2, "name the host with --identity-of HOST");
    assert_refused(
        &image,
        &["--identity-of", "../pi"],
        2,
        "\"../pi\" cannot be the name of a host with a key",
    );
    assert_refused(&image, &["--files", "/dev/null"], 3, "--files /dev/null is not a folder");
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("etc/ssh")).unwrap();
    std::fs::write(dir.path().join("etc/ssh/ssh_host_ed25519_key"), "mine").unwrap();
    let files = dir.path().to_str().unwrap();
    assert_refused(
        &image,
        &["--identity-of", "pi", "--files", files],
        3,
        "--files contains etc/ssh/ssh_host_ed25519_key, which is",
    );
}

/// Asserts the refusal of a flash as [`assert_refused`] does, with `--files` and a folder that `fill` fills.
#[track_caller]
fn assert_files_refused(image: &[u8], fill: impl FnOnce(&Path), more: &[&str], text: &str) {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    assert_refused(image, &[more, &["--files", dir.path().to_str().unwrap()]].concat(), 3, text);
}

#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn files_do_not_replace_folders_nor_folders_files() {
    let image = host_image(4096);
    let of_pi = ["--identity-of", "pi"];
    let file = |dir: &Path| std::fs::write(dir.join("etc"), "").unwrap();
    let text = "error: --files contains etc, a file or link, but the card needs a folder there for etc/ssh";
    assert_files_refused(&image, file, &of_pi, text);
    assert_files_refused(
        &image,
        file,
        &[],
        "error: /persist/etc is a folder in the image, which a file or a link cannot replace\nhint: build an image without it, or rename it",
    );
    let link = |dir: &Path| symlink("nowhere", dir.join("etc")).unwrap();
    assert_files_refused(
        &image,
        link,
        &[],
        "error: /persist/etc is a folder in the image, which a file or a link cannot replace\nhint: build an image without it, or rename it",
    );
    for name in ["link", "etc/old.conf"] {
        let folder = |dir: &Path| std::fs::create_dir_all(dir.join(name)).unwrap();
        let text = format!("error: /persist/{name} must be a folder, but is a file or a link in the image");
        assert_files_refused(&image, folder, &of_pi, &text);
        let within = |dir: &Path| {
            folder(dir);
            std::fs::write(dir.join(name).join("file"), "").unwrap();
        };
        assert_files_refused(&image, within, &of_pi, &text);
    }
}

/// debugfs would run the end of such a path as a command of its own.
#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn paths_that_are_too_long_for_debugfs_are_refused() {
    let deep = |dir: &Path| {
        let mut dir = rustix::fs::open(dir, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
        let name = "\"".repeat(250);
        for _ in 0..15 {
            rustix::fs::mkdirat(&dir, &name, Mode::RWXU).unwrap();
            dir = rustix::fs::openat(&dir, &name, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
        }
    };
    let text = "cannot be written to a card: its path, with the target of a link, is too long\nhint: shorten the names";
    assert_files_refused(&host_image(4096), deep, &[], text);
}

/// Runs the tool where `program` of Debian is hidden.
fn run_without(sandbox: &Sandbox, program: &str, args: &[&str]) -> Outcome {
    let hide = format!("mount --bind /dev/null /usr/sbin/{program} && exec \"$@\"");
    sandbox.xtask(args).wrapped_in(&["unshare", "--mount", "sh", "-c", &hide, "sh"]).run()
}

#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn missing_programs_of_e2fsprogs_are_refused_only_for_a_payload() {
    let sandbox = Sandbox::new();
    let card = Card::new(CARD_MIB);
    let file = pack(&sandbox.path("home"), "img.zst", &host_image(4096));
    let file = file.to_str().unwrap();
    let args = [
        "flash",
        "--image",
        file,
        card.device.device(),
        "--allow-virtual",
        "--yes",
        "--expect-size",
        "48MiB",
    ];
    for program in ["debugfs", "e2image", "e2fsck"] {
        let outcome = run_without(&sandbox, program, &[&args[..], &["--identity-of", "pi"]].concat());
        let text = format!(
            "error: {program}, needed to write the host key and the files to the card, is not on PATH\n"
        );
        outcome
            .assert_stderr_contains(&text)
            .assert_stderr_contains("hint: install e2fsprogs with `cargo xtask setup`")
            .assert_code(3);
    }
    card.assert_unchanged();
    run_without(&sandbox, "debugfs", &args).assert_code(0);
}
