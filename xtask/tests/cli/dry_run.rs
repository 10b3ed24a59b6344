//! `flash --dry-run`: the plan and the refusals, without a question, a key, a receipt or a byte on the card.

use serde_json::{Value, json};

use crate::fake_nix::{Answers, FakeNix};
use crate::flash::{MIB, build_with_image, image_bytes, is_all, make_card};
use crate::support::{Outcome, sha256};

/// A sandbox whose Nix builds the image of `stinky`, with a card and the file `a.img`.
fn sandbox(answers: &Answers) -> (FakeNix, String, String) {
    let nix = answers.install();
    let card = make_card(&nix);
    let file = nix.path("home").join("a.img");
    std::fs::write(&file, image_bytes()).expect("writing an image");
    let [card, file] = [card, file].map(|path| path.to_str().expect("a plain path").to_owned());
    (nix, card, file)
}

/// Asserts that `outcome` left the card, the keys and the receipts alone.
#[track_caller]
fn assert_nothing_written(nix: &FakeNix, outcome: &Outcome) {
    let card = std::fs::read(nix.path("virtual-card")).expect("reading the card");
    assert!(is_all(&card, 0xee), "{outcome:?}");
    for folder in ["identity/stinky", "receipts"] {
        assert!(!nix.path("state").join(folder).exists(), "{folder}: {outcome:?}");
    }
}

#[test]
fn a_dry_run_shows_the_plan_and_writes_nothing() {
    let (answers, _out) = build_with_image();
    let (nix, card, file) = sandbox(&answers);
    let args = ["flash", "--image", &file, &card, "--allow-virtual", "--dry-run"];
    let outcome = nix.run(&args);
    outcome.assert_code(0).assert_stderr_contains("lost    everything on it");
    let expected = format!("dry run: {card} would get the image: 2.0 MiB; nothing was written\n");
    outcome.assert_stdout(expected);
    assert!(!outcome.stderr.contains("Type "), "{outcome:?}");
    assert_nothing_written(&nix, &outcome);

    let outcome = nix.run(&[&args[..], &["--json"]].concat());
    let plan = serde_json::from_str::<Value>(&outcome.assert_code(0).stdout).expect("one JSON object");
    for (key, expected) in [
        ("dry_run", json!(true)),
        ("device", json!(card)),
        ("image", json!(file)),
        ("bytes", json!(2 * MIB)),
        ("file_sha256", json!(sha256(&image_bytes()))),
        ("unmount", json!([])),
        ("identity", Value::Null),
    ] {
        assert_eq!(plan[key], expected, "{key}: {plan}");
    }
    assert_nothing_written(&nix, &outcome);
}

#[test]
fn a_dry_run_refuses_what_a_flash_refuses() {
    let (answers, _out) = build_with_image();
    let (nix, card, file) = sandbox(&answers);
    for (more, code, text) in [
        (&[][..], 3, "is a plain file, not a card"),
        (&["--allow-virtual", "--expect-size", "7"], 3, "but 7 are expected"),
        (&["--allow-virtual", "--yes"], 3, "--yes alone does not identify the card"),
    ] {
        let outcome = nix.run(&[&["flash", "--image", &file, &card, "--dry-run"], more].concat());
        outcome.assert_stderr_contains(text).assert_code(code).assert_stdout("");
        assert_nothing_written(&nix, &outcome);
    }
    nix.run(&["flash", "--image", &file, "--dry-run"])
        .assert_stderr_contains("--dry-run waits for no card, and no device is named")
        .assert_code(2);
}

/// Two runs to find two mistakes would be one too many.
#[test]
fn all_that_is_wrong_with_the_command_line_is_reported_at_once() {
    let (answers, _out) = build_with_image();
    let (nix, _, _) = sandbox(&answers);
    let outcome = nix.run(&["flash", "stinky", "--files", "/none", "--ssh-key", "/none.pub"]);
    outcome.assert_code(3).assert_stdout("");
    for text in ["2 checks failed:", "there is no terminal", "/none"] {
        outcome.assert_stderr_contains(text);
    }
    let outcome = nix.run(&["flash", "--image", "/none.img", "/none", "--identity", "keep"]);
    for text in ["3 checks failed:", "/none", "--identity needs a host", "/none.img"] {
        outcome.assert_stderr_contains(text);
    }
}
