//! `flash HOST DEVICE` writes the image that nix builds. The card is a plain file, which needs no privileges.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fake_build::installable;
use crate::fake_nix::{
    Answers, FLAKE, FakeNix, fail_script, image_json, no_image_json, print_script, system,
};
use crate::support::Outcome;

pub const MIB: usize = 1 << 20;

/// The bytes of an image of 2 MiB with one partition.
pub fn image_bytes() -> Vec<u8> {
    let mut bytes = vec![0xa5; 2 * MIB];
    bytes[..512].fill(0);
    bytes[450] = 0x83;
    bytes[455] = 8;
    bytes[459] = 8;
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

/// Answers with a build whose output has the compressed image of [`image_bytes`], and the folder of that output.
pub fn build_with_image() -> (Answers, TempDir) {
    let out = tempfile::tempdir().expect("making the output");
    let dir = out.path().join("sd-image");
    std::fs::create_dir(&dir).expect("making the output");
    let compressed = zstd::bulk::compress(&image_bytes(), 1).expect("compressing");
    std::fs::write(dir.join("nixos-sd-image-stinky.img.zst"), compressed).expect("writing an image");
    let built = serde_json::json!([{"drvPath": "/nix/store/a-i.drv", "outputs": {"out": out.path()}}]);
    (Answers { build: print_script(&built.to_string()), ..Answers::default() }, out)
}

/// Makes a used card of 4 MiB in the sandbox: a file of bytes 0xee. Returns its path.
pub fn make_card(nix: &FakeNix) -> PathBuf {
    let card = nix.path("virtual-card");
    std::fs::write(&card, vec![0xee; 4 * MIB]).expect("making a card");
    card
}

/// Flashes the image of `host` to a new card and expects `size`. Returns the outcome, and the content of the card
/// after it.
fn flash(nix: &FakeNix, host: &str, size: &str) -> (Outcome, Vec<u8>) {
    let card = make_card(nix);
    let device = card.to_str().expect("a plain path");
    let args = ["--flake", FLAKE, "flash", host, device, "--allow-virtual", "--yes", "--expect-size", size];
    // The image of these tests has no file system for an identity. The suite `device` has images that do.
    let run = nix.run(&[&args[..], &["--identity", "none"]].concat());
    (run, std::fs::read(&card).expect("reading the card"))
}

/// Whether all `bytes` are `value`.
pub fn is_all(bytes: &[u8], value: u8) -> bool {
    bytes.iter().all(|byte| *byte == value)
}

/// Whether nix was called to build.
fn was_built(nix: &FakeNix) -> bool {
    nix.nix_calls().iter().any(|call| call.starts_with("build "))
}

#[test]
fn flash_builds_and_writes_the_image_of_a_host() {
    let (answers, out) = build_with_image();
    let nix = answers.install();
    let (outcome, card) = flash(&nix, "stinky", "4MiB");
    let sum = outcome.file_sum();
    let device = nix.path("virtual-card");
    let expected = format!("{} holds the image: 2.0 MiB read back, {sum}\n", device.display());
    outcome.assert_code(0).assert_stdout(expected);
    let file = out.path().join("sd-image/nixos-sd-image-stinky.img.zst");
    outcome.assert_stderr_contains(format!("image   {}", file.display()));
    assert!(
        card[..2 * MIB] == image_bytes()
            && is_all(&card[2 * MIB..3 * MIB], 0xee)
            && is_all(&card[3 * MIB..], 0)
    );
    let build = format!("build --json --no-link --log-format internal-json {}", installable());
    assert!(nix.nix_calls().contains(&build), "{:?}", nix.nix_calls());
}

/// The git revision of the flake is in the receipt, with the reference by which the flake can be had again.
#[test]
fn the_history_has_the_revision_that_an_image_was_built_from() {
    let rev = "0123456789abcdef0123456789abcdef01234567";
    let url = format!("{FLAKE}/{rev}");
    for (metadata, shown, recorded) in [
        (
            json!({ "revision": rev, "url": url }),
            "012345678",
            json!({ "rev": rev, "dirty": false, "url": url }),
        ),
        (
            json!({ "dirtyRevision": format!("{rev}-dirty") }),
            "012345678+",
            json!({ "rev": rev, "dirty": true, "url": null }),
        ),
        (json!({}), "-", json!(null)),
    ] {
        let (answers, _out) = build_with_image();
        let nix = answers.install_with("*' flake metadata '*", &print_script(&metadata.to_string()));
        flash(&nix, "stinky", "4MiB").0.assert_code(0);
        let history = |args: &[&str]| nix.run(&[&["--flake", FLAKE, "history"], args].concat()).stdout;
        let table = history(&[]);
        let row = table.lines().last().unwrap();
        let cells = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>();
        assert_eq!(cells[6], shown, "{table}");
        assert!(cells[7].starts_with("file (4.0 MiB) with "), "{table}");
        let json: Value = serde_json::from_str(&history(&["--json"])).unwrap();
        assert_eq!(json["receipts"][0]["revision"], recorded, "{json}");
    }
}

#[test]
fn a_card_of_another_size_is_refused_before_the_build() {
    let (answers, _out) = build_with_image();
    let nix = answers.install();
    let (outcome, card) = flash(&nix, "stinky", "5MiB");
    outcome.assert_stderr_contains("has 4194304 bytes, but 5242880 are expected").assert_code(3);
    assert!(is_all(&card, 0xee) && !was_built(&nix));
}

#[test]
fn a_card_is_unchanged_where_no_image_is_built() {
    for (host, build, text, code) in [
        ("stniky", fail_script("no build was expected"), "did you mean 'stinky'?", 2),
        ("stinky", fail_script(r#"@nix {"action":"msg","level":0,"msg":"error: no room"}"#), "no room", 1),
    ] {
        let found = if host == "stinky" { image_json(&system()) } else { no_image_json(false) };
        let nix = Answers { build, image: print_script(&found), ..Answers::default() }.install();
        let (outcome, card) = flash(&nix, host, "4MiB");
        outcome.assert_stderr_contains(text).assert_code(code);
        assert!(is_all(&card, 0xee), "{host}");
    }
}

/// The tool waits for the card only after the build.
#[test]
fn flash_without_a_device_waits_for_the_card_after_the_build() {
    let (answers, _out) = build_with_image();
    let nix = answers.install();
    // No disk has this size, so another card that is inserted meanwhile is ignored.
    let args = ["--flake", FLAKE, "flash", "stinky", "--yes", "--expect-size", "7", "--identity", "none"];
    let outcome = nix.xtask(&args).interrupt_at("insert the card (Ctrl-C stops)");
    assert!(outcome.stderr.ends_with("\nerror: stopped; no card was written\n"), "{}", outcome.stderr);
    outcome.assert_code(130);
    assert!(was_built(&nix));
}

#[test]
fn flash_without_a_device_checks_its_flags_before_the_build() {
    let (answers, _out) = build_with_image();
    let nix = answers.install();
    nix.run(&["flash", "stinky"])
        .assert_stderr_contains("cannot ask for the confirmation of a card: there is no terminal")
        .assert_code(3);
    nix.run(&["flash", "stinky", "--yes"])
        .assert_stderr_contains("--yes alone does not identify the card")
        .assert_code(3);
    assert!(!was_built(&nix));
}

#[test]
fn invalid_arguments_of_flash_are_usage_errors() {
    let (answers, _out) = build_with_image();
    let nix = answers.install();
    for (args, text) in [
        (&["flash"][..], "name the host or pass --image FILE; without a device, you pick or insert a card"),
        (
            &["flash", "/dev/sdx"],
            "name the host or pass --image FILE; without a device, you pick or insert a card",
        ),
        (&["flash", "stinky", "/dev/sdx", "--image", "a.img"], "a host and --image exclude each other"),
        (
            &["flash", "--image", "a.img", "/dev/sdx", "--ssh-key", "k.pub"],
            "error: --ssh-key needs the configuration of the host, which decides about the file that the card gets\n",
        ),
        (
            &["flash", "--image", "a.img", "/dev/sdx", "--wifi", "home"],
            "hint: name the host instead of --image, or write the file with --files DIR\n",
        ),
        (&["flash", "stinky", "--ssh-key-user", "pi"], "--ssh-key <FILE>"),
        (&["flash", "stinky", "--wifi-password-fd", "3"], "--wifi <SSID>"),
        (&["flash", "stinky", "--wifi", "home", "--wifi-password-fd", "x"], "invalid value 'x'"),
        (&["flash", "stinky", "--memory-limit", "0"], "0 leaves no memory for decompression"),
        (&["card", "verify", "/dev/sdx", "--memory-limit", "0MiB"], "0 leaves no memory for decompression"),
    ] {
        nix.run(args).assert_stderr_contains(text).assert_code(2);
    }
}

/// An attribute whose path names no host gets the identity of `--identity-of`, like an image file.
#[test]
fn an_identity_needs_one_host() {
    let (answers, _out) = build_with_image();
    let nix = answers.install();
    let card = make_card(&nix);
    let card = card.to_str().unwrap();
    let run = |image: &[&str], options: &[&str]| {
        let confirmed = [card, "--allow-virtual", "--yes", "--expect-size", "4MiB"];
        nix.run(&[&["flash"], image, &confirmed, options].concat())
    };
    let attribute = format!("{FLAKE}#packages.x.image");
    for image in [&[attribute.as_str()][..], &["--image", "a.img"]] {
        let outcome = run(image, &["--identity", "keep"]);
        outcome.assert_stderr_contains("--identity needs a host, and nothing names that of the image\n");
        outcome.assert_stderr_contains("hint: name the host with --identity-of HOST\n").assert_code(2);
        assert!(!run(image, &["--identity", "keep", "--identity-of", "pi"]).stderr.contains("--identity"));
    }
    run(&["--flake", FLAKE, "stinky"], &["--identity-of", "pi"])
        .assert_stderr_contains("error: the image is of stinky, and --identity-of names pi\n")
        .assert_code(2);
}

/// The disk might be one for backups, behind USB like a card reader.
#[test]
fn the_tool_warns_of_a_disk_that_is_larger_than_any_card() {
    let (answers, _out) = build_with_image();
    let nix = answers.install();
    let card = make_card(&nix);
    std::fs::File::options().write(true).open(&card).unwrap().set_len(3 << 40).unwrap();
    let device = card.to_str().expect("a plain path");
    let args = ["--flake", FLAKE, "flash", "stinky", device, "--allow-virtual", "--identity", "none"];
    let outcome = nix.run(&[&args[..], &["--yes", "--expect-size", "3TiB"]].concat());
    let words =
        format!("warning: {device} is larger than any SD card (3072.0 GiB, and cards have up to 2 TiB)");
    outcome.assert_code(0).assert_stderr_contains(words);
}
