//! `card` on plain files, which needs no privileges: arguments, results and errors.

use crate::fake_nix::{Answers, FLAKE, FakeNix, fail_script};
use crate::flash::{build_with_image, image_bytes, make_card};
use crate::support::worker::{request, run_job};
use crate::support::{Sandbox, file_sum, sha256};

#[test]
fn the_help_of_card_has_its_commands_and_usages() {
    let sandbox = Sandbox::new();
    let help = sandbox.run(&["card", "--help"]);
    for command in
        ["inspect  Show what is on a card", "verify   Compare a card", "check    Check the capacity"]
    {
        assert!(help.assert_code(0).stdout.contains(command), "{command}: {}", help.stdout);
    }
    let help = sandbox.run(&["card", "verify", "--help"]);
    let usage = "Usage: cargo xtask card verify [OPTIONS] <DEVICE>\n       cargo xtask card verify [OPTIONS] <HOST> <DEVICE> [-- <NIX ARGS>...]\n       \
                 cargo xtask card verify [OPTIONS] --image <FILE> <DEVICE>\n";
    assert!(help.assert_code(0).stdout.contains(usage), "{}", help.stdout);
}

#[test]
fn card_commands_check_their_arguments() {
    let sandbox = Sandbox::new();
    for (args, text) in [
        (
            &["card", "verify"][..],
            "error: no device is named\nhint: name the device, and before it the host if the card has no receipt\n",
        ),
        (
            &["card", "verify", "--image", "a"],
            "error: no device is named\nhint: name the device, as `cargo xtask devices` lists it\n",
        ),
        (
            &["card", "verify", "pi4"],
            "error: no device is named: pi4 is not a device\nhint: if pi4 is a host, name the device after it: pi4 /dev/…, \
             as `cargo xtask devices` lists it\n",
        ),
        (
            &["card", "verify", "h", "/d", "--image", "a"],
            "error: a host and --image exclude each other\nhint: name either the host or --image FILE\n",
        ),
    ] {
        let outcome = sandbox.run(args);
        outcome.assert_code(2).assert_stdout("").assert_stderr(text);
    }
    for args in [&["card"][..], &["card", "inspect"], &["card", "check"], &["card", "copy", "/d"]] {
        sandbox.run(args).assert_code(2).assert_stdout("");
    }
}

#[test]
fn a_missing_device_and_an_empty_reader_are_refused() {
    let sandbox = Sandbox::new();
    for args in [
        &["card", "inspect", "/dev/none"][..],
        &["card", "verify", "/dev/none"],
        &["card", "check", "/dev/none"],
    ] {
        sandbox
            .run(args)
            .assert_stderr_contains("error: there is no /dev/none\nhint: is the card plugged in?")
            .assert_code(3);
    }
    std::fs::write(sandbox.path("empty"), "").unwrap();
    let empty = sandbox.path("empty");
    let error = format!("error: there is no card in {}\nhint: insert the card and retry\n", empty.display());
    sandbox.run(&["card", "inspect", empty.to_str().unwrap()]).assert_stderr(error);
}

/// Flashes the image of `stinky` to `device`, a card of 4 MiB.
#[track_caller]
fn flash_stinky(nix: &FakeNix, device: &str) {
    let options = ["--identity", "none", "--allow-virtual", "--yes", "--expect-size", "4MiB"];
    nix.run(&[&["--flake", FLAKE, "flash", "stinky", device], &options[..]].concat()).assert_code(0);
}

#[test]
fn card_verify_compares_the_card_with_the_image_of_its_host() {
    let (answers, _out) = build_with_image();
    let nix = answers.install();
    let card = make_card(&nix);
    let device = card.to_str().expect("a plain path");
    let verify = |args: &[&str]| nix.run(&[&["--flake", FLAKE, "card", "verify"], args].concat());
    let differs = format!(
        "error: {device} does not hold the image: 2 of 2 MiB differ, at byte 0, 1048576\n\
         hint: a card differs once it has booted, or once another checkout has flashed it\n"
    );
    verify(&["stinky", device]).assert_stderr_contains(&differs).assert_code(4);
    assert!(std::fs::read(&card).unwrap().iter().all(|byte| *byte == 0xee));
    flash_stinky(&nix, device);
    let sum = sha256(&image_bytes());
    let holds =
        format!("{device} holds the image: 2.0 MiB compared, SHA-256 of its first 2097152 bytes {sum}\n");
    for args in [&["stinky", device][..], &[device]] {
        verify(args).assert_code(0).assert_stdout(&holds);
    }
}

#[test]
fn a_flash_of_a_host_leaves_a_receipt_that_card_inspect_shows() {
    let (answers, out) = build_with_image();
    let nix = answers.install();
    let card = make_card(&nix);
    let device = card.to_str().expect("a plain path");
    flash_stinky(&nix, device);
    let file = out.path().join("sd-image/nixos-sd-image-stinky.img.zst");
    let origin = format!(" UTC with the image of stinky, {}\n", file_sum(&file));
    let stdout = nix.run(&["card", "inspect", device]).stdout;
    assert!(stdout.contains(&origin) && stdout.contains("\norigin  flashed 2"), "{stdout}");
    let receipts = std::fs::read_dir(nix.path("state").join("receipts")).unwrap();
    let receipts = receipts.map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let name = receipts[0].file_name().unwrap().to_str().unwrap();
    assert!(receipts.len() == 1 && name.ends_with("Z-flash-stinky.json"), "{receipts:?}");
    let receipt: serde_json::Value = serde_json::from_slice(&std::fs::read(&receipts[0]).unwrap()).unwrap();
    assert_eq!((&receipt["host"], &receipt["flake"]), (&"stinky".into(), &FLAKE.into()));
}

#[test]
fn card_verify_recognizes_an_unfinished_flash() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("a.img");
    let card = sandbox.path("card");
    std::fs::write(&file, image_bytes()).unwrap();
    std::fs::write(&card, [&vec![0; 1 << 20], &image_bytes()[1 << 20..]].concat()).unwrap();
    let [file, card] = [&file, &card].map(|path| path.to_str().expect("a plain path"));
    let error = format!(
        "error: {card} does not hold the image: 1 of 2 MiB differ, at byte 450\n\
         hint: the first MiB is blank: no flash of the card has finished; flash it again\n"
    );
    sandbox.run(&["card", "verify", "--image", file, card]).assert_stderr_contains(&error).assert_code(4);
}

#[test]
fn card_verify_checks_the_device_before_the_build() {
    let nix = Answers { build: fail_script("no build was expected"), ..Answers::default() }.install();
    nix.run(&["card", "verify", "stinky", "/dev/none"])
        .assert_stderr_contains("there is no /dev/none")
        .assert_code(3);
    assert!(!nix.nix_calls().iter().any(|call| call.starts_with("build ")));
}

#[test]
fn card_verify_refuses_a_damaged_image() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("a.img.zst");
    let card = sandbox.path("card");
    let mut compressed = zstd::bulk::compress(&image_bytes(), 1).unwrap();
    let middle = compressed.len() / 2;
    compressed[middle] ^= 0xff;
    std::fs::write(&file, compressed).unwrap();
    std::fs::write(&card, image_bytes()).unwrap();
    let [file, card] = [&file, &card].map(|path| path.to_str().expect("a plain path"));
    sandbox.run(&["card", "verify", "--image", file, card]).assert_code(3);
}

#[test]
fn only_the_write_worker_takes_jobs_that_write() {
    let sandbox = Sandbox::new();
    let card = sandbox.path("card");
    std::fs::write(&card, vec![7; 4 << 20]).unwrap();
    let listed = sandbox.run(&["card", "inspect", "--json", card.to_str().unwrap()]);
    let disk = listed.assert_code(4).json()["disk"].clone();
    for (command, code, text) in
        [("read-card", 2, "this worker only reads"), ("write-card", 0, r#"{"answer":"#)]
    {
        let job = request("capacity", &serde_json::json!({ "disk": disk }), false);
        let outcome = run_job(sandbox.command(&[command]), job.to_string().as_bytes(), &[]);
        assert!(outcome.assert_code(code).stdout.contains(text), "{command}: {outcome:?}");
    }
    assert!(std::fs::read(&card).unwrap().iter().all(|byte| *byte == 7));
}

#[test]
fn a_compressed_image_is_inspected_as_what_it_has() {
    let sandbox = Sandbox::new();
    let [raw, packed] = ["a.img", "a.img.zst"].map(|name| sandbox.path("home").join(name));
    std::fs::write(&raw, image_bytes()).unwrap();
    std::fs::write(&packed, zstd::encode_all(&image_bytes()[..], 1).unwrap()).unwrap();
    let inspect = |file: &std::path::Path, args: &[&str]| {
        sandbox.run(&[&["card", "inspect", file.to_str().unwrap()], args].concat())
    };
    let [raw_json, packed_json] =
        [&raw, &packed].map(|file| inspect(file, &["--json"]).assert_code(4).json().clone());
    for key in ["layout", "partitions", "verdict", "boards", "origin"] {
        assert_eq!(packed_json[key], raw_json[key], "{key}");
    }
    assert_eq!(raw_json["image"], serde_json::Value::Null);
    assert_eq!(packed_json["image"], serde_json::json!({ "format": "zstd", "bytes": image_bytes().len() }));
    let text = inspect(&packed, &[]);
    text.assert_code(4)
        .assert_stdout_contains("image   2.0 MiB, compressed with zstd\n")
        .assert_stdout_contains("boots   not: ")
        .assert_stderr_contains("does not boot: ");
    // A damaged file is no card that does not boot.
    let bytes = std::fs::read(&packed).unwrap();
    std::fs::write(&packed, &bytes[..bytes.len() - 5]).unwrap();
    inspect(&packed, &[]).assert_code(3).assert_stdout("");
}
