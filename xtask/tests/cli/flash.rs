//! `flash HOST DEVICE`: the image that nix builds ends up on the card, and nothing else does. The card
//! is a plain file, so that this runs without privileges.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::fake_nix::{Answers, FLAKE, FakeNix, fails, prints, system};
use crate::support::{Outcome, content_hash};

const MIB: usize = 1 << 20;

/// An image of 2 MiB with one partition.
pub fn image() -> Vec<u8> {
    let mut bytes = vec![0xa5; 2 * MIB];
    bytes[..512].fill(0);
    bytes[450] = 0x83;
    bytes[455] = 8;
    bytes[459] = 8;
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

/// A build whose output holds [`image`].
pub fn building() -> (Answers, TempDir) {
    let out = tempfile::tempdir().expect("making the output");
    let dir = out.path().join("sd-image");
    std::fs::create_dir(&dir).expect("making the output");
    let packed = zstd::bulk::compress(&image(), 1).expect("compressing");
    std::fs::write(dir.join("nixos-sd-image-stinky.img.zst"), packed).expect("writing an image");
    let built = serde_json::json!([{"drvPath": "/nix/store/a-i.drv", "outputs": {"out": out.path()}}]);
    (Answers { build: prints(&built.to_string()), ..Answers::default() }, out)
}

/// Puts a used card of 4 MiB into the sandbox.
pub fn card(nix: &FakeNix) -> PathBuf {
    let card = nix.path("virtual-card");
    std::fs::write(&card, vec![0xee; 4 * MIB]).expect("making a card");
    card
}

fn flash(nix: &FakeNix, host: &str, size: &str) -> (Outcome, Vec<u8>) {
    let card = card(nix);
    let device = card.to_str().expect("a plain path");
    let args = ["--flake", FLAKE, "flash", host, device, "--allow-virtual", "--yes", "--expect-size", size];
    // The image of these tests has no file system. The suite `device` has some that do.
    let args = [&args[..], &["--identity", "none"]].concat();
    (nix.run(&args), std::fs::read(&card).expect("reading the card"))
}

pub fn is_all(bytes: &[u8], value: u8) -> bool {
    bytes.iter().all(|byte| *byte == value)
}

/// Whether nix was asked to build anything.
fn was_built(nix: &FakeNix) -> bool {
    nix.asked().iter().any(|call| call.starts_with("build "))
}

#[test]
fn a_host_is_built_and_written() {
    let (answers, out) = building();
    let nix = answers.install();
    let (outcome, card) = flash(&nix, "stinky", "4MiB");
    let hash = content_hash(&image());
    let device = nix.path("virtual-card");
    let expected = format!("{} holds the image: 2.0 MiB read back, hash {hash}\n", device.display());
    outcome.assert_code(0).assert_stdout(expected);
    let file = out.path().join("sd-image/nixos-sd-image-stinky.img.zst");
    outcome.assert_stderr_contains(format!("image   {}", file.display()));
    assert!(
        card[..2 * MIB] == image() && is_all(&card[2 * MIB..3 * MIB], 0xee) && is_all(&card[3 * MIB..], 0)
    );
    let build = format!(
        "build --json --no-link --log-format internal-json {FLAKE}#packages.{}.stinky-sdImage",
        system()
    );
    assert!(nix.asked().contains(&build), "{:?}", nix.asked());
}

#[test]
fn a_wrong_card_is_told_before_the_build() {
    let (answers, _out) = building();
    let nix = answers.install();
    let (outcome, card) = flash(&nix, "stinky", "5MiB");
    outcome.assert_stderr_contains("has 4194304 bytes, but 5242880 are expected").assert_code(3);
    assert!(is_all(&card, 0xee) && !was_built(&nix));
}

#[test]
fn without_an_image_nothing_is_written() {
    for (host, build, text, code) in [
        ("stniky", fails("no build was expected"), "did you mean 'stinky'?", 2),
        ("stinky", fails(r#"@nix {"action":"msg","level":0,"msg":"error: no room"}"#), "no room", 1),
    ] {
        let nix = Answers { build, ..Answers::default() }.install();
        let (outcome, card) = flash(&nix, host, "4MiB");
        outcome.assert_stderr_contains(text).assert_code(code);
        assert!(is_all(&card, 0xee), "{host}");
    }
}

/// Nobody sits there with a card in the hand while an image is built.
#[test]
fn without_a_device_the_card_is_waited_for_after_the_build() {
    let (answers, _out) = building();
    let nix = answers.install();
    // No disk has this size, so none that comes by chance is the one.
    let args = ["--flake", FLAKE, "flash", "stinky", "--yes", "--expect-size", "7", "--identity", "none"];
    let outcome = nix.xtask(&args).interrupt_at("insert the card (Ctrl-C stops)");
    assert!(outcome.stderr.ends_with("\nerror: stopped; nothing was written\n"), "{}", outcome.stderr);
    outcome.assert_code(130);
    assert!(was_built(&nix));
}

#[test]
fn without_a_device_the_card_is_described_before_the_build() {
    let (answers, _out) = building();
    let nix = answers.install();
    nix.run(&["flash", "stinky"])
        .assert_stderr_contains("there is no terminal to confirm the card on")
        .assert_code(3);
    nix.run(&["flash", "stinky", "--yes"])
        .assert_stderr_contains("--yes alone does not identify the card")
        .assert_code(3);
    assert!(!was_built(&nix));
}

/// The output of the real sha256sum for `file`, in its folder.
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn sha256sum(file: &Path) -> Vec<u8> {
    let (folder, name) = (file.parent().expect("a folder"), file.file_name().expect("a name"));
    let output = std::process::Command::new("sha256sum").arg(name).current_dir(folder).output();
    output.expect("running sha256sum").stdout
}

#[test]
fn a_checksum_beside_the_image() {
    let nix = building().0.install();
    let (file, card) = (nix.path("home").join("a.img.zst"), card(&nix));
    std::fs::write(&file, zstd::bulk::compress(&image(), 1).unwrap()).unwrap();
    let words = [&file, &card].map(|path| path.to_str().unwrap());
    let run = || {
        let args = ["flash", "--image", words[0], words[1], "--allow-virtual", "--yes", "--expect-size"];
        nix.run(&[&args[..], &["4MiB"]].concat())
    };
    let other = nix.path("home").join("b.img");
    std::fs::write(&other, "other").unwrap();
    for name in ["a.img.zst.sha256", "SHA256SUMS"] {
        let beside = nix.path("home").join(name);
        let (good, bad) = (sha256sum(&file), String::from_utf8(sha256sum(&other)).unwrap());
        std::fs::write(&beside, bad.replace("b.img", "a.img.zst")).unwrap();
        let outcome = run();
        let (found, meant) = (String::from_utf8_lossy(&good[..12]), &bad[..12]);
        outcome.assert_stderr_contains(format!(
            "error: the image {} does not match {}: its SHA-256 begins with {found}, not {meant}\nhint: ",
            words[0],
            beside.display()
        ));
        outcome.assert_code(3);
        assert!(is_all(&std::fs::read(&card).unwrap(), 0xee));
        std::fs::write(&beside, good).unwrap();
        run().assert_stderr_contains(format!("the SHA-256 is that of {}\n", beside.display())).assert_code(0);
        std::fs::write(&card, vec![0xee; 4 * MIB]).unwrap();
        std::fs::remove_file(&beside).unwrap();
    }
    assert!(!run().stderr.contains("SHA-256"));
    // A list that contradicts itself decides nothing, whichever of its lines comes first.
    let (good, card_before) = (String::from_utf8(sha256sum(&file)).unwrap(), std::fs::read(&card).unwrap());
    let list = format!("{good}{}", good.replace(&good[..64], &"0".repeat(64)));
    std::fs::write(nix.path("home").join("SHA256SUMS"), list).unwrap();
    run().assert_stderr_contains("error: there are two different SHA-256 for ").assert_code(3);
    assert_eq!(std::fs::read(&card).unwrap(), card_before);
}

#[test]
fn odd_words() {
    let (answers, _out) = building();
    let nix = answers.install();
    for (args, text) in [
        (
            &["flash"][..],
            "name the host, or --image FILE; then the device, or none for the card that is inserted next",
        ),
        (
            &["flash", "/dev/sdx"],
            "name the host, or --image FILE; then the device, or none for the card that is inserted next",
        ),
        (&["flash", "stinky", "/dev/sdx", "--image", "a.img"], "a host and --image exclude each other"),
        (&["flash", "stinky", "--memory-limit", "0"], "0 leaves no memory for decompression"),
        (&["card", "verify", "/dev/sdx", "--memory-limit", "0MiB"], "0 leaves no memory for decompression"),
    ] {
        nix.run(args).assert_stderr_contains(text).assert_code(2);
    }
}
