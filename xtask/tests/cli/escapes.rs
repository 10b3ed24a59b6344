//! Text on a card, in a receipt or on the command line does not control the terminal.

use crate::fake_nix::{Answers, FakeNix};
use crate::flash::{building, image};
use crate::support::Sandbox;

const MIB: usize = 1 << 20;

/// Clears the screen and continues with a line that looks like a line of a plan.
const LABEL: &[u8] = b"\x1b[2J\nlost  no";
const SHOWN: &str = "\\u{1b}[2J\\u{a}lost  no (ext4)";

/// A card with an ext4 file system that is called [`LABEL`].
fn card(nix: &FakeNix) -> String {
    let mut bytes = vec![0xee; 4 * MIB];
    bytes[..4096].fill(0);
    bytes[1080..1082].copy_from_slice(&[0x53, 0xef]);
    bytes[1120] = 0x40;
    bytes[1144..1144 + LABEL.len()].copy_from_slice(LABEL);
    let card = nix.path("virtual-card");
    std::fs::write(&card, bytes).expect("making a card");
    card.to_str().expect("a plain path").to_owned()
}

#[track_caller]
fn is_harmless(said: &str) {
    for wrong in ["\u{1b}[2J", "\u{9b}", "\u{202e}", "\nlost  no", "\nerror: forged"] {
        assert!(!said.contains(wrong), "{wrong:?}: {said:?}");
    }
}

#[test]
fn a_label_at_the_question_of_flash() {
    let (answers, _out) = building();
    let nix = answers.install();
    let (card, file) = (card(&nix), nix.path("home").join("a\u{202e}\nerror: forged.img"));
    std::fs::write(&file, image()).expect("writing an image");
    let file = file.to_str().expect("a plain path");
    let mut terminal = nix.xtask(&["flash", "--image", file, &card, "--allow-virtual"]).on_terminal();
    terminal.answer("Type the name of the device (virtual-card) to go on: ", "no");
    let outcome = terminal.finish();
    is_harmless(&outcome.stderr);
    assert!(outcome.stderr.contains(&format!("\nlost    everything on it: {SHOWN}\n")), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("a\\u{202e}\\u{a}error: forged.img\n"), "{}", outcome.stderr);
    outcome.assert_code(3);
}

#[test]
fn a_label_in_what_a_card_holds() {
    let nix = Answers::default().install();
    let card = card(&nix);
    let run = |json: &[&str]| nix.run(&[&["card", "inspect", &card], json].concat());
    let outcome = run(&[]);
    is_harmless(&outcome.stdout);
    is_harmless(&outcome.stderr);
    assert!(outcome.stdout.contains("u{1b}"), "{outcome:?}");
    let told: serde_json::Value = serde_json::from_str(&run(&["--json"]).stdout).expect("JSON");
    assert_eq!(told["disk"]["partitions"][0]["label"], std::str::from_utf8(LABEL).expect("text"), "{told}");
}

/// The reader's answer has them as JSON has them, or it would be none.
#[test]
fn marks_of_direction_in_what_a_card_holds() {
    let nix = Answers::default().install();
    let card = card(&nix);
    let file = std::fs::File::options().write(true).open(&card).expect("opening the card");
    let label = "a\u{202e}\u{200b}\u{9b}";
    std::os::unix::fs::FileExt::write_all_at(&file, &[label.as_bytes(), &[0; 16]].concat()[..16], 1024 + 120)
        .expect("writing the label");
    let outcome = nix.run(&["card", "inspect", &card]);
    is_harmless(&outcome.stdout);
    assert!(outcome.stdout.contains("only one ext4 (a\\u{202e}\\u{200b}\\u{9b})"), "{outcome:?}");
    outcome.assert_code(4);
}

#[test]
fn a_planted_receipt() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("state").join("receipts");
    std::fs::create_dir_all(&folder).expect("making the folder of receipts");
    let host = format!("pi\u{1b}[2J\nerror: forged\u{9b}\u{202e}{}", "x".repeat(70_000));
    let receipt = serde_json::json!({
        "kind": "deploy", "when": "2026-11-25T12:00:00Z", "host": host, "flake": "/src", "from": null,
        "to": "/nix/store/x-new", "verdict": "done", "exit_code": 0, "seconds": [],
    });
    std::fs::write(folder.join("2026.json"), receipt.to_string()).expect("writing a receipt");
    let outcome = sandbox.run(&["history"]);
    assert_eq!(outcome.assert_code(0).stdout.lines().count(), 2, "{}", outcome.stdout);
    is_harmless(&outcome.stdout);
    let shown = "pi\\u{1b}[2J\\u{a}error: forged\\u{9b}\\u{202e}xxx";
    assert!(outcome.stdout.contains(shown), "{}", outcome.stdout);
    assert!(outcome.stdout.len() < 5000 && outcome.stdout.contains('…'), "{}", outcome.stdout);
    let outcome = sandbox.run(&["history", "nobody"]);
    is_harmless(&outcome.stderr);
    let json = sandbox.run(&["history", "--json"]);
    is_harmless(&json.assert_code(0).stdout);
    let told: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(told[0]["host"], host.as_str());
}

#[test]
fn a_word_of_the_command_line() {
    let word = "--x\u{1b}[2J\nerror: forged\u{202e}";
    let outcome = Sandbox::new().run(&["hosts", word]);
    outcome.assert_code(2).assert_stdout("");
    is_harmless(&outcome.stderr);
    outcome.assert_stderr_contains("unexpected argument '--x\\u{1b}[2J\\u{a}error: forged\\u{202e}' found");
    let outcome = Sandbox::new().run(&["card", "inspect", "/dev/a\u{1b}[2J\nerror: forged"]);
    is_harmless(&outcome.stderr.replace("\n  error: forged", ""));
    outcome.assert_code(3);
}
