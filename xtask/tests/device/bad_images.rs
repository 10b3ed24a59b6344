//! Images and cards that are refused: the error, the hint, and that the card is unchanged.

use std::path::Path;

use crate::card::{Card, MIB, is_blank};
use crate::damage::{Damage, Disk};
use crate::flash::flash;
use crate::image::{image, pack};
use crate::support::loops::{Loop, Mounted, make_ext4};
use crate::support::{Outcome, Sandbox, content_hash};

/// Flashes an image file in `format` with `damage`.
#[track_caller]
fn flash_damaged(sandbox: &Sandbox, card: &Card, format: &str, damage: Damage, options: &[&str]) -> Outcome {
    let file = pack(&sandbox.path("home"), format, &image(6));
    damage.apply_to(&file);
    flash(sandbox, &file, card.device.device(), "20MiB", options)
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn bad_images_are_refused_and_the_card_is_unchanged() {
    let sandbox = Sandbox::new();
    let card = Card::new(20);
    for (format, damage, text) in [
        ("img.zst", Damage::Cut, "(zstd) is truncated or damaged"),
        ("sized.zst", Damage::Cut, "(zstd) is truncated or damaged"),
        ("img.xz", Damage::Cut, "(xz) is truncated or damaged"),
        ("img.gz", Damage::Cut, "(gzip) is truncated or damaged"),
        ("img.bz2", Damage::Cut, "(bzip2) is truncated or damaged"),
        ("img.zst", Damage::Flip, "(zstd) is truncated or damaged"),
        ("img.xz", Damage::Flip, "(xz) is truncated or damaged"),
        ("img.gz", Damage::Flip, "(gzip) is truncated or damaged"),
        ("img.bz2", Damage::Flip, "(bzip2) is truncated or damaged"),
        ("img.zst", Damage::Checksum, "(zstd) is truncated or damaged"),
        ("img.xz", Damage::Checksum, "(xz) is truncated or damaged"),
        ("img.gz", Damage::Checksum, "(gzip) is truncated or damaged"),
        ("img.zst", Damage::Append, "(zstd) is truncated or damaged"),
        ("sized.zst", Damage::Append, "(zstd) is truncated or damaged"),
        ("img.xz", Damage::Append, "(xz) is truncated or damaged"),
        ("img.gz", Damage::Append, "(gzip) is truncated or damaged"),
        ("img.bz2", Damage::Append, "(bzip2) is truncated or damaged"),
        ("img", Damage::Cut, "beyond the end of the disk or image at byte "),
        ("img", Damage::Append, "not a multiple of 512-byte sectors"),
        ("img", Damage::NoTable, "no partition table"),
        ("sized.zst", Damage::Text, "not a multiple of 512-byte sectors"),
        ("img.zst", Damage::Empty, "is empty"),
        ("sized.zst", Damage::EmptyFrame, "is no disk image"),
        ("sized.zst", Damage::Flip, "(zstd) is truncated or damaged"),
        ("sized.zst", Damage::Checksum, "(zstd) is truncated or damaged"),
    ] {
        let outcome = flash_damaged(&sandbox, &card, format, damage, &[]);
        outcome
            .assert_stderr_contains(text)
            .assert_stderr_contains(format!("nixos-sd-image.{format}"))
            .assert_code(3);
        card.assert_unchanged();
    }
}

/// An image that was checked once is not checked again, although its disk may damage it later.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn damage_to_a_checked_image_is_found_while_writing() {
    let sandbox = Sandbox::new();
    for mode in ["auto", "full", "delta"] {
        // Each of the three frames of 2 MiB ends in a checksum of the frame; the decoder holds the last bytes
        // before the checksum back.
        for (damage, mib) in [(Damage::Flip, 3), (Damage::Checksum, 5)] {
            let card = Card::new(20);
            let disk = Disk::new();
            let run_flash = |options: &[&str]| {
                let mounted = disk.mount();
                let file = mounted.mount_point().join("nixos-sd-image.sized.zst");
                flash(&sandbox, &file, card.device.device(), "20MiB", &[&["--mode", mode], options].concat())
            };
            let packed = std::fs::read(pack(disk.mount().mount_point(), "sized.zst", &image(6))).unwrap();
            // The check of a file that has just changed is not cached.
            std::thread::sleep(std::time::Duration::from_millis(200));
            run_flash(&[]).assert_stderr_contains("check  ").assert_code(0);
            disk.damage_file(&packed, damage);
            let outcome = run_flash(&[]);
            let outcome = outcome
                .assert_stderr_contains("the image was checked before, and the file has not changed since");
            let rest =
                outcome.stderr.split_once("error: the image is damaged at byte ").expect("a position").1;
            let position =
                rest.split_once(": Restored data doesn't match checksum; the first MiB").expect(rest).0;
            assert_eq!(position.parse::<usize>().unwrap() / MIB, mib, "{damage:?}: {position}");
            outcome.assert_stderr_contains(
                "the first MiB of the card is blank, so it will not boot\nhint: build or download the image",
            );
            outcome.assert_code(4);
            let blank = card.device.bytes();
            assert!(is_blank(&blank[..MIB]), "{mode} {damage:?}");
            // The next run refuses the image before it changes the card.
            run_flash(&[]).assert_stderr_contains("(zstd) is truncated or damaged").assert_code(3);
            assert!(card.device.bytes() == blank, "{mode} {damage:?}");
        }
    }
}

/// A wrong entry in the check cache fails the verification, and the next flash replaces the entry.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_wrong_hash_in_the_check_cache_fails_the_flash_and_is_replaced() {
    let sandbox = Sandbox::new();
    let card = Card::new(20);
    let file = pack(&sandbox.path("home"), "sized.zst", &image(6));
    // The check of a file that has just changed is not cached.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let run_flash = || flash(&sandbox, &file, card.device.device(), "20MiB", &[]);
    run_flash().assert_code(0);
    let cache = sandbox.path("state").join("checked-images.json");
    let text = std::fs::read_to_string(&cache).expect("the check cache");
    let hash = content_hash(&image(6));
    assert!(text.contains(&hash), "{text}");
    std::fs::write(&cache, text.replace(&hash, &content_hash(&image(5)))).expect("a wrong hash");
    run_flash()
        .assert_stderr_contains("the image has changed since it was checked")
        .assert_stderr_contains("hint: run the same command again")
        .assert_code(4);
    assert!(is_blank(&card.device.bytes()[..MIB]));
    run_flash().assert_stderr_contains("check  6.0 MiB").assert_code(0);
    card.assert_holds(&image(6));
}

/// The names and the bytes of image files with `mebi` times 2^20 empty blocks, for which a decoder outputs nothing for
/// minutes.
fn empty_blocks(mebi: usize) -> [(&'static str, Vec<u8>); 2] {
    let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x58][..], &vec![0; (3 * mebi) << 20], &[1, 0, 0]].concat();
    let gzip =
        [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0, 0, 0, 0xff, 0xff].repeat(mebi << 20)].concat();
    [("x.img.zst", zstd), ("x.img.gz", gzip)]
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn millions_of_empty_blocks_are_refused_within_seconds() {
    let sandbox = Sandbox::new();
    let card = Card::new(3);
    for (name, bytes) in empty_blocks(20) {
        let file = sandbox.path("home").join(name);
        let start = std::time::Instant::now();
        std::fs::write(&file, bytes).unwrap();
        flash(&sandbox, &file, card.device.device(), "3MiB", &[]).assert_code(3);
        assert!(start.elapsed().as_secs() < 15, "{name}: {:?}", start.elapsed());
        card.assert_unchanged();
    }
}

/// The file has 3 MiB. The tool refuses it as soon as the first MiB has no partition table, or the content no longer
/// fits on the card.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_hundred_gib_of_zeros_are_refused_within_seconds() {
    let sandbox = Sandbox::new();
    let card = Card::new(20);
    // Each block of 4 bytes repeats a zero 128 Ki times.
    let zeros =
        [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x58][..], &[2, 0, 16, 0].repeat(100 << 13), &[1, 0, 0]].concat();
    let frame = crate::image::zstd_with(&image(6), |_| Ok(()));
    let table = "no partition table";
    for (bytes, text) in
        [(zeros.clone(), table), ([frame, zeros].concat(), "bytes too few\nhint: use a larger card")]
    {
        let file = sandbox.path("home").join("x.img.zst");
        let start = std::time::Instant::now();
        std::fs::write(&file, bytes).unwrap();
        flash(&sandbox, &file, card.device.device(), "20MiB", &[])
            .assert_stderr_contains(text)
            .assert_code(3);
        assert!(start.elapsed().as_secs() < 10, "{text}: {:?}", start.elapsed());
        card.assert_unchanged();
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn folders_and_missing_files_are_no_images() {
    let sandbox = Sandbox::new();
    let card = Card::new(3);
    let dir = sandbox.path("home");
    flash(&sandbox, &dir, card.device.device(), "3MiB", &[])
        .assert_stderr_contains("is not a regular file\nhint: name an image file")
        .assert_code(3);
    let absent = dir.join("absent.img");
    let outcome = flash(&sandbox, &absent, card.device.device(), "3MiB", &[]);
    outcome
        .assert_stderr_contains("opening the image")
        .assert_stderr_contains("there is no such file")
        .assert_code(3);
    card.assert_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn an_image_larger_than_the_card_is_refused() {
    let sandbox = Sandbox::new();
    let card = Card::new(3);
    let file = pack(&sandbox.path("home"), "img.zst", &image(6));
    let outcome = flash(&sandbox, &file, card.device.device(), "3MiB", &[]);
    outcome
        .assert_stderr_contains("the image is larger than")
        .assert_stderr_contains("3145728 bytes too few\nhint: use a larger card")
        .assert_code(3);
    card.assert_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_mounted_card_keeps_its_files() {
    let sandbox = Sandbox::new();
    let card = Card::new(20);
    let file = pack(&sandbox.path("home"), "img", &image(6));
    make_ext4(Path::new(card.device.device()));
    let mounted = Mounted::new(card.device.device());
    std::fs::write(mounted.mount_point().join("kept"), "dear").unwrap();
    let outcome = flash(&sandbox, &file, card.device.device(), "20MiB", &[]);
    let at = mounted.mount_point().display();
    outcome.assert_stderr_contains(format!("is mounted at {at}\nhint: run `umount {at}`")).assert_code(3);
    assert_eq!(std::fs::read_to_string(mounted.mount_point().join("kept")).unwrap(), "dear");
    drop(mounted);
    flash(&sandbox, &file, card.device.device(), "20MiB", &[]).assert_code(0);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_that_is_open_exclusively_is_refused() {
    use std::os::unix::fs::OpenOptionsExt;
    let sandbox = Sandbox::new();
    let card = Card::new(20);
    let file = pack(&sandbox.path("home"), "img", &image(6));
    let exclusive = rustix::fs::OFlags::EXCL.bits().cast_signed();
    let holder = std::fs::OpenOptions::new().read(true).custom_flags(exclusive).open(card.device.device());
    let outcome = flash(&sandbox, &file, card.device.device(), "20MiB", &[]);
    drop(holder.unwrap());
    outcome.assert_stderr_contains("is in use").assert_code(3);
    card.assert_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn all_refusals_are_listed_together() {
    let sandbox = Sandbox::new();
    let card = Card::new(3);
    let file = pack(&sandbox.path("home"), "img", &image(6));
    let file = file.to_str().unwrap();
    let device = card.device.device();
    let outcome = sandbox.run(&["flash", "--image", file, device, "--yes"]);
    outcome
        .assert_stderr_contains("error: refused for 2 reasons:\n  - ")
        .assert_stderr_contains("is a loop device")
        .assert_stderr_contains("not a card\n    hint: pass --allow-virtual to accept it\n")
        .assert_stderr_contains("--yes alone does not identify the card\n    hint: ")
        .assert_code(3);
    let outcome = sandbox.run(&["--json", "flash", "--image", file, device, "--yes"]);
    let error = outcome.assert_code(3).json_error();
    assert_eq!(error["message"], "refused for 2 reasons");
    let reasons = error["reasons"].as_array().expect("a list");
    assert!(reasons.len() == 2 && reasons.iter().all(|reason| reason["hint"].is_string()), "{error}");
    card.assert_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn the_file_behind_the_card_is_refused_as_image() {
    let sandbox = Sandbox::new();
    let bytes = image(6);
    let file = pack(&sandbox.path("home"), "img", &bytes);
    let device = Loop::over(&file, &[]);
    let outcome = flash(&sandbox, &file, device.device(), "6MiB", &[]);
    outcome
        .assert_stderr_contains("which would be overwritten\nhint: use a copy on another disk")
        .assert_code(3);
    assert!(std::fs::read(&file).unwrap() == bytes);
}
