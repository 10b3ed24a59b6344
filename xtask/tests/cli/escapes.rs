//! The tool escapes text of cards, receipts and arguments, so that such text does not control the terminal.

use crate::fake_nix::{Answers, FakeNix};
use crate::flash::{build_with_image, image_bytes};
use crate::support::Sandbox;

const MIB: usize = 1 << 20;

/// A label that clears the screen and continues with a line that looks like a line of a plan.
const LABEL: &[u8] = b"\x1b[2J\nlost  no";
/// [`LABEL`] as the tool prints it.
const ESCAPED: &str = "\\u{1b}[2J\\u{a}lost  no (ext4)";

/// Makes a card with an ext4 file system that has the label [`LABEL`], and returns its path.
fn make_labelled_card(nix: &FakeNix) -> String {
    // The superblock begins at byte 1024. The magic number is at 56 there, the flag of extents at 96, the label at 120.
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
fn assert_escaped(output: &str) {
    for raw in ["\u{1b}[2J", "\u{9b}", "\u{202e}", "\nlost  no", "\nerror: forged"] {
        assert!(!output.contains(raw), "{raw:?}: {output:?}");
    }
}

#[test]
fn a_label_in_the_plan_of_flash_is_escaped() {
    let (answers, _out) = build_with_image();
    let nix = answers.install();
    let card = make_labelled_card(&nix);
    let file = nix.path("home").join("a\u{202e}\nerror: forged.img");
    std::fs::write(&file, image_bytes()).expect("writing an image");
    let file = file.to_str().expect("a plain path");
    let mut terminal = nix.xtask(&["flash", "--image", file, &card, "--allow-virtual"]).on_terminal();
    terminal.answer("Type the name of the device (virtual-card) to go on: ", "no");
    let outcome = terminal.finish();
    assert_escaped(&outcome.stderr);
    assert!(
        outcome.stderr.contains(&format!("\nlost    everything on it: {ESCAPED}\n")),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains("a\\u{202e}\\u{a}error: forged.img\n"), "{}", outcome.stderr);
    outcome.assert_code(3);
}

#[test]
fn a_label_in_card_inspect_is_escaped() {
    let nix = Answers::default().install();
    let card = make_labelled_card(&nix);
    let run = |json: &[&str]| nix.run(&[&["card", "inspect", &card], json].concat());
    let outcome = run(&[]);
    assert_escaped(&outcome.stdout);
    assert_escaped(&outcome.stderr);
    assert!(outcome.stdout.contains("u{1b}"), "{outcome:?}");
    let json = run(&["--json"]).json();
    assert_eq!(json["disk"]["partitions"][0]["label"], std::str::from_utf8(LABEL).expect("text"), "{json}");
}

/// The worker that reads the card answers in JSON, in which such characters stay as they are.
#[test]
fn direction_marks_in_card_inspect_are_escaped() {
    let nix = Answers::default().install();
    let card = make_labelled_card(&nix);
    let file = std::fs::File::options().write(true).open(&card).expect("opening the card");
    let label = "a\u{202e}\u{200b}\u{9b}";
    std::os::unix::fs::FileExt::write_all_at(&file, &[label.as_bytes(), &[0; 16]].concat()[..16], 1024 + 120)
        .expect("writing the label");
    let outcome = nix.run(&["card", "inspect", &card]);
    assert_escaped(&outcome.stdout);
    assert!(outcome.stdout.contains("only a file system: ext4 (a\\u{202e}\\u{200b}\\u{9b})"), "{outcome:?}");
    outcome.assert_code(4);
}

#[test]
fn a_planted_receipt_is_escaped_and_shortened() {
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
    assert_escaped(&outcome.stdout);
    let shown = "pi\\u{1b}[2J\\u{a}error: forged\\u{9b}\\u{202e}xxx";
    assert!(outcome.stdout.contains(shown), "{}", outcome.stdout);
    assert!(outcome.stdout.len() < 5000 && outcome.stdout.contains('…'), "{}", outcome.stdout);
    let outcome = sandbox.run(&["history", "nobody"]);
    assert_escaped(&outcome.stderr);
    let outcome = sandbox.run(&["history", "--json"]);
    assert_escaped(&outcome.assert_code(0).stdout);
    let json = outcome.json();
    assert_eq!(json["receipts"][0]["host"], host.as_str());
}

#[test]
fn arguments_in_errors_are_escaped() {
    let argument = "--x\u{1b}[2J\nerror: forged\u{202e}";
    let outcome = Sandbox::new().run(&["hosts", argument]);
    outcome.assert_code(2).assert_stdout("");
    assert_escaped(&outcome.stderr);
    outcome.assert_stderr_contains("unexpected argument '--x\\u{1b}[2J\\u{a}error: forged\\u{202e}' found");
    let outcome = Sandbox::new().run(&["card", "inspect", "/dev/a\u{1b}[2J\nerror: forged"]);
    // A message keeps its line ends, but the tool indents its lines.
    assert_escaped(&outcome.stderr.replace("\n  error: forged", ""));
    outcome.assert_code(3);
}
