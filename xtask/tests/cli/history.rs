//! `history` of a host without receipts.

use std::fs;

use serde_json::json;

use crate::fake_nix::{Answers, print_script};
use crate::hosts::three_hosts;
use crate::support::Sandbox;

/// A host without a receipt may be a slip; one that the flake has lost still has its receipts.
#[test]
fn the_history_of_a_host_that_neither_the_flake_nor_a_receipt_has_is_an_error() {
    let nix = Answers { names: print_script(&three_hosts()), ..Answers::default() }.install();
    let history = |words: &[&str]| nix.run(&[&["--flake", "github:o/f", "history"], words].concat());
    for words in [&["stinki"][..], &["stinki", "--diff"], &["stinki", "--json"]] {
        let outcome = history(words);
        outcome.assert_code(2);
        outcome.assert_stderr_contains(
            "there is no receipt of stinki: github:o/f has no host 'stinki' (hosts: ",
        );
        outcome.assert_stderr_contains("did you mean 'stinky'?");
    }
    history(&["stinky"])
        .assert_code(0)
        .assert_stdout("")
        .assert_stderr_contains("no history of stinky: no flash");
    history(&[]).assert_code(0).assert_stdout("").assert_stderr_contains("no history: nothing was flashed");
}

/// `rollback HOST NO` and `--diff` take the number.
#[test]
fn the_number_of_a_receipt_stays_on_every_terminal() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("state/receipts");
    fs::create_dir_all(&folder).expect("making the folder of receipts");
    for (number, verdict) in [(7, "done"), (8, "rolled_back_across_reboot"), (123_456, "already_current")] {
        let receipt = json!({"version": 2, "kind": "deploy", "time": "2026-11-25T12:00:00Z", "host": "stinky",
            "flake": "github:o/f", "revision": {"rev": "0".repeat(40), "dirty": true}, "system_before": null,
            "system": format!("/nix/store/{}-nixos-system-stinky", "0".repeat(32)), "verdict": verdict, "exit_code": 0,
            "phases": [], "rollback": number == 7});
        let file = folder.join(format!("{number:06}-2026-11-25T120000Z-deploy-stinky.json"));
        fs::write(file, receipt.to_string()).expect("writing a receipt");
    }
    for width in [40, 60, 80, 100, 200] {
        let run = sandbox.xtask(&["--flake", "github:o/f", "history"]).on_whole_terminal(width);
        let (screen, code) = run.finish_on_screen(width);
        let text = screen.text();
        assert_eq!(code, 0, "{text}");
        let rows =
            text.lines().map(|line| line.split_whitespace().next().unwrap_or_default()).collect::<Vec<_>>();
        for number in ["NO", "7", "8", "123456"] {
            assert!(rows.contains(&number), "{width}: {text}");
        }
        // The system says what a row is about: it goes after the time and the revision.
        assert!(width < 80 || text.contains("CONTENT"), "{width}: {text}");
        assert!(width < 100 || text.contains("rollback"), "{width}: {text}");
    }
}
