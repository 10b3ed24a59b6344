//! The next step at the end of commands, on stderr.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::fs;

use serde_json::json;

use crate::boot;
use crate::fake_nix::FLAKE;
use crate::flash::{build_with_image, image_bytes, make_card};
use crate::identities::{identity, identity_with_input, make_key, sandbox, text};
use crate::support::Outcome;

/// The last line of the story that begins with `next: `, with its reason.
#[track_caller]
fn next(outcome: &Outcome) -> &str {
    let at = outcome.assert_code(0).stderr.find("next: ");
    at.map_or("", |at| outcome.stderr[at + "next: ".len()..].trim_end())
}

#[test]
fn a_card_that_was_found_good_goes_into_the_pi_until_it_is_deployed_to() {
    let (answers, _out) = build_with_image();
    let nix = answers.install();
    let card = make_card(&nix);
    let card = text(&card);
    let args = ["--flake", FLAKE, "flash", "stinky", card, "--allow-virtual", "--yes"];
    nix.run(&[&args[..], &["--expect-size", "4MiB", "--identity", "none"]].concat()).assert_code(0);
    let verify = || nix.run(&["--flake", FLAKE, "card", "verify", card]);
    let deploy = format!("put the card into the Pi, then: cargo xtask --flake {FLAKE} deploy stinky --wait");
    assert_eq!(next(&verify()), deploy);
    let receipt = json!({
        "version": 1, "kind": "deploy", "when": "2026-11-25T12:00:00Z", "host": "stinky", "flake": FLAKE,
        "from": null, "to": "/nix/store/00000000000000000000000000000000-one", "verdict": "done", "exit_code": 0,
        "seconds": [],
    });
    fs::write(nix.path("state/receipts/000009-x.json"), receipt.to_string()).unwrap();
    assert_eq!(next(&verify()), "");
}

#[test]
fn an_image_that_boots_is_flashed() {
    let sandbox = boot::sandbox(&boot::console_with_prompt("pi login: "));
    let image = sandbox.path("home/my image.img");
    fs::write(&image, image_bytes()).unwrap();
    let booted = sandbox.run(&["boot", "--image", text(&image)]);
    assert_eq!(next(&booted), format!("cargo xtask flash --image '{}'", image.display()));
}

#[test]
fn keys_are_committed_and_backups_proven() {
    let sandbox = sandbox();
    identity(&sandbox, &["import", "pi", text(&make_key(&sandbox, "key"))]).assert_code(0);
    let commit = "git add known_hosts\n  a commit of it gives the change to the team";
    assert_eq!(next(&identity(&sandbox, &["publish"])), commit);
    assert_eq!(next(&identity(&sandbox, &["publish"])), "", "nothing is left to commit");
    assert_eq!(next(&identity(&sandbox, &["list"])), "", "the keys agree");

    let file = sandbox.path("home/backup");
    let file = text(&file);
    let passphrase = "five words that nobody guesses\n";
    let args = ["backup", file, "--passphrase-fd", "0"];
    let backed_up = identity_with_input(&sandbox, &args, passphrase);
    let list = format!("cargo xtask identity restore {file} --list");
    assert_eq!(next(&backed_up), format!("{list}\n  proves that the backup opens, and changes nothing"));
    let restore = ["restore", file, "--passphrase-fd", "0"];
    let listed = identity_with_input(&sandbox, &[&restore[..], &["--list"]].concat(), passphrase);
    assert_eq!(next(&listed), format!("cargo xtask identity restore {file} --passphrase-fd 0"));
    let restored = identity_with_input(&sandbox, &restore, passphrase);
    assert_eq!(next(&restored), "cargo xtask\n  shows the hosts and their keys");
    // The published line goes with the key.
    assert_eq!(next(&identity(&sandbox, &["remove", "pi", "--yes"])), commit);
    let make = "cargo xtask identity make HOST\n  makes the key before the first flash does";
    assert_eq!(next(&identity(&sandbox, &["list"])), make);
    assert_eq!(next(&identity(&sandbox, &["make", "attic"])), "cargo xtask flash attic");
    assert_eq!(
        next(&identity(&sandbox, &["remove", "attic", "--yes"])),
        "",
        "no file of the team has changed"
    );
}

/// The step after a backup to public keys opens it, as printed where the private key is beside the public one.
#[test]
fn a_backup_to_public_keys_is_proven_by_a_private_key() {
    let sandbox = sandbox();
    let key = make_key(&sandbox, "a key");
    identity(&sandbox, &["import", "pi", text(&key)]).assert_code(0);
    let public = key.with_extension("pub");
    let alone = sandbox.path("home/alone.pub");
    fs::copy(&public, &alone).unwrap();
    let line = fs::read_to_string(&public).unwrap();
    let proof = "\n  proves that the backup opens, and changes nothing";
    let private = format!("'{}'", key.display());
    for (recipients, opener) in [
        (&["--recipients-file", text(&public)][..], private.as_str()),
        (&["--recipients-file", text(&alone), "--recipients-file", text(&public)], &private),
        (&["--recipients-file", text(&alone)], "FILE"),
        (&["--recipient", line.trim()], "FILE"),
    ] {
        let file = sandbox.path("home/backup");
        let backed_up = identity(&sandbox, &[&["backup", text(&file), "--yes"], recipients].concat());
        let step = format!("cargo xtask identity restore {} --age-identity {opener} --list", file.display());
        assert_eq!(next(&backed_up), format!("{step}{proof}"));
        sandbox
            .shell(&step.replace("FILE", &private))
            .status()
            .map(|status| assert!(status.success()))
            .unwrap();
    }
}

#[test]
fn keys_that_differ_are_shown() {
    let sandbox = sandbox();
    identity(&sandbox, &["import", "pi", text(&make_key(&sandbox, "key"))]).assert_code(0);
    let other = fs::read_to_string(make_key(&sandbox, "other").with_extension("pub")).unwrap();
    fs::write(sandbox.path("flake/known_hosts"), format!("pi {other}")).unwrap();
    let show = "cargo xtask identity show pi\n  shows which file has another key";
    assert_eq!(next(&identity(&sandbox, &["list"])), show);
}

/// The folder of the keys that the user names is that of the next command too, which works as it is printed.
#[test]
fn the_next_command_has_the_keys_of_this_one() {
    let sandbox = sandbox();
    let keys = sandbox.path("home/my keys");
    let public = make_key(&sandbox, "key").with_extension("pub");
    let file = sandbox.path("home/backup");
    let option = format!("--identity-dir '{}'", keys.display());
    let run = |args: &[&str]| identity(&sandbox, &[args, &["--identity-dir", text(&keys)]].concat());
    assert_eq!(next(&run(&["make", "pi"])), format!("cargo xtask flash {option} pi"));
    let backed_up = run(&["backup", text(&file), "--recipients-file", text(&public)]);
    let private = public.with_extension("");
    let step = format!(
        "cargo xtask identity restore {option} {} --age-identity {} --list",
        file.display(),
        private.display()
    );
    assert_eq!(next(&backed_up), format!("{step}\n  proves that the backup opens, and changes nothing"));
    let pasted = |command: &str| {
        let output = sandbox.shell(command).current_dir(sandbox.path("flake")).output().unwrap();
        Outcome::of(&output)
    };
    // The step after that repeats the options where they stand.
    let listed = pasted(&step);
    let restore = step.strip_suffix(" --list").unwrap();
    assert_eq!(next(&listed), restore);
    run(&["remove", "pi", "--yes"]).assert_code(0);
    let restored = pasted(restore);
    let list = format!("cargo xtask identity list {option}");
    assert_eq!(next(&restored), format!("{list}\n  shows the hosts and their keys"));
    pasted(&list).assert_code(0).assert_stdout_contains("pi ");
    // A hint too. `publish` knows no folder.
    let refused = run(&["show", "attic"]);
    let hint = format!("hint: flash the host, or run `cargo xtask identity make {option} attic`\n");
    refused.assert_code(3).assert_stderr_contains(hint);
}

/// What Nix needs to evaluate the flake now, it needs the next time as well.
#[test]
fn the_next_command_passes_the_same_to_nix() {
    let (answers, _out) = build_with_image();
    let nix = answers.install();
    for (args, expected) in [
        (&["sd-image", "stinky", "--", "--impure"][..], "flash stinky -- --impure"),
        (&["sd-image", "stinky", "--", "--max-jobs", "1"], "flash stinky -- --max-jobs 1"),
        (&["sd-image", "stinky", "--eval-timeout", "90s"], "flash --eval-timeout 90s stinky"),
        (&["sd-image", "stinky", "--builder", "ssh://b"], "flash stinky"),
    ] {
        let outcome = nix.run(&[&["--flake", FLAKE], args].concat());
        assert_eq!(next(&outcome), format!("cargo xtask --flake {FLAKE} {expected}"));
        let json = nix.run(&[&["--json", "--flake", FLAKE], args].concat());
        let json = serde_json::from_str::<serde_json::Value>(&json.assert_code(0).stdout).unwrap();
        assert_eq!(json["next"]["command"], format!("cargo xtask --flake {FLAKE} {expected}"));
    }
    let card = make_card(&nix);
    let flash = ["flash", "stinky", text(&card), "--allow-virtual", "--yes", "--expect-size", "4MiB"];
    let options = ["--identity", "none", "--", "--impure"];
    let flashed = nix.run(&[&["--flake", FLAKE], &flash[..], &options].concat());
    let deploy = format!("cargo xtask --flake {FLAKE} deploy stinky --wait -- -- --impure");
    assert_eq!(next(&flashed), format!("put the card into the Pi, then: {deploy}"));
}
