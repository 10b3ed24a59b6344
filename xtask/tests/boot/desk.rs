//! `boot`: the demo's image, and a card that `flash` wrote, on snapshots.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Outcome, Sandbox, sha256};
use crate::{demo, read, virt_uboot};

/// A sandbox whose QEMU starts the U-Boot that the demo fetches.
fn sandbox() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.env("XTASK_UBOOT", virt_uboot());
    sandbox
}

/// Runs `boot ARGS --json`, asserts that `file` does not change and that no snapshot is left, and returns the outcome.
#[track_caller]
fn boot(sandbox: &Sandbox, file: &Path, args: &[&str]) -> Outcome {
    let before = sha256(&fs::read(file).unwrap());
    let outcome = sandbox.run(&[&["boot", "--json"], args].concat());
    assert_eq!(sha256(&fs::read(file).unwrap()), before, "the boot changed the file");
    let left = sandbox.path("state/boot").read_dir().unwrap().count();
    assert_eq!(left, 1, "the boot left more than its lock");
    outcome
}

/// The result of a boot that succeeded.
#[track_caller]
fn result_of(outcome: &Outcome) -> Value {
    outcome.assert_code(0).json()
}

/// The demo's image, and a card in `dir` with that image and the identity of `pi`, written by `flash`.
fn flash_card(sandbox: &Sandbox, dir: &Path) -> (PathBuf, PathBuf) {
    let (result, _) = demo(&[], dir);
    let image = PathBuf::from(result["image"]["image"].as_str().unwrap());
    let card = dir.join("pi.img");
    fs::File::create(&card).unwrap().set_len(256 << 20).unwrap();
    let [image_path, card_path] = [&image, &card].map(|path| path.to_str().unwrap());
    let flash = ["flash", "--image", image_path, card_path, "--identity-of", "pi"];
    let confirmation = ["--allow-virtual", "--yes", "--expect-size", "256MiB"];
    sandbox.run(&[&flash[..], &confirmation].concat()).assert_code(0);
    (image, card)
}

#[test]
#[ignore = "needs Nix, AArch64 emulation and QEMU: run `cargo xtask test`"]
fn an_image_boots_on_a_card_on_which_it_grows() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = sandbox();
    let (result, _) = demo(&[], dir.path());
    let image = result["image"]["image"].as_str().unwrap();
    let outcome = boot(&sandbox, Path::new(image), &["--image", image, "--expect", "demo: up"]);
    let proof = &result_of(&outcome)["proof"];
    assert_eq!(proof["by"], "console");
    // The line may not be complete yet when the text is seen.
    assert!(proof["line"].as_str().unwrap().starts_with("demo: up"), "{proof}");
    let size = (result["image"]["bytes"].as_u64().unwrap() + (1 << 30)).next_power_of_two() >> 10;
    outcome.assert_stderr_contains(format!("end={size}k disk={size}k"));
}

#[test]
#[ignore = "needs Nix, AArch64 emulation and QEMU: run `cargo xtask test`"]
fn a_flashed_card_is_proved_by_the_key_of_its_identity() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = sandbox();
    let (_, card) = flash_card(&sandbox, dir.path());
    let card_path = card.to_str().unwrap();
    let result = result_of(&boot(&sandbox, &card, &[card_path]));
    let shown = sandbox.run(&["identity", "show", "pi", "--json"]);
    let identity = shown.assert_code(0).json();
    let proof = json!({ "by": "ssh", "host": "pi", "fingerprint": identity["fingerprint"] });
    assert_eq!(result["proof"], proof);

    // The host still has its key, and the project knows another one.
    let other = dir.path().join("other");
    read("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", other.to_str().unwrap()]);
    let line = format!("pi {}", fs::read_to_string(other.with_extension("pub")).unwrap());
    fs::write(sandbox.path("state/identity/known_hosts"), line).unwrap();
    let outcome = boot(&sandbox, &card, &[card_path]);
    let fingerprint = identity["fingerprint"].as_str().unwrap();
    let text = format!("the ssh server has the host key {fingerprint}, and that of pi is SHA256:");
    let result = outcome.assert_code(4).json();
    assert!(result["error"]["message"].as_str().unwrap().contains(&text), "{result}");
    assert_eq!(result["proof"], Value::Null);

    // A Pi 3 starts the U-Boot of the card, and has no network.
    let outcome = boot(&sandbox, &card, &[card_path, "--machine", "raspi3b", "--expect", "demo: up"]);
    assert_eq!(result_of(&outcome)["machine"], "raspi3b");
    outcome.assert_stderr_contains(format!("observed identity fingerprint={fingerprint}"));
}

/// The U-Boot of the card is a real one, and the firmware of a Pi is not on it.
#[test]
#[ignore = "needs Nix, AArch64 emulation and QEMU: run `cargo xtask test`"]
fn the_demos_card_is_proved_to_boot_in_qemu_and_on_no_pi() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = sandbox();
    let (_, card) = demo(&[], dir.path());
    let inspect =
        |board| sandbox.run(&["card", "inspect", "--json", "--board", board, card.to_str().unwrap()]);
    let found = inspect("qemu").assert_code(0).json();
    let proofs = found["boards"].as_array().unwrap();
    let proof_of = |board: &str| proofs.iter().find(|proof| proof["board"] == board).unwrap();
    assert_eq!(proof_of("qemu")["boots"], true);
    assert_eq!(proof_of("qemu")["faults"], json!([]));
    for (board, expected) in [("pi3", "no bootcode.bin"), ("pi4", "no start4.elf"), ("pi5", "no bcm2712-")] {
        let fault = proof_of(board)["faults"][0]["message"].as_str().unwrap();
        assert!(fault.starts_with(expected), "{fault}");
        inspect(board).assert_code(4).assert_stderr_contains(expected);
    }
}

#[test]
#[ignore = "needs Nix, AArch64 emulation and QEMU: run `cargo xtask test`"]
fn a_card_that_does_not_boot_fails_with_the_last_lines_of_its_console() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = sandbox();
    let (_, card) = demo(&[], dir.path());
    let card_path = card.to_str().unwrap();
    let root = format!("{card_path}?offset={}", 48 << 20);
    let menu = read("debugfs", &["-R", "cat /boot/extlinux/extlinux.conf", &root]);
    let kernel = menu.lines().find_map(|line| line.trim().strip_prefix("LINUX ../")).unwrap();
    read("debugfs", &["-w", "-R", &format!("rm /boot/{kernel}"), &root]);
    for machine in ["virt", "raspi3b"] {
        let outcome = boot(&sandbox, &card, &[card_path, "--machine", machine]);
        let error = outcome.assert_code(4).json_error();
        let message = error["message"].as_str().unwrap();
        let text =
            format!("booting in {machine}: U-Boot found nothing to boot on the card: the console printed \"");
        assert!(message.contains(&text), "{message}");
        // The reason is among the last lines of the console.
        assert!(message.contains("for failure retrieving kernel\n  | "), "{message}");
        assert!(error["hint"].as_str().unwrap().contains("cargo xtask card inspect"), "{error}");
    }
}
