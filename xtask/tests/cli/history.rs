//! `history` of a host without receipts.

use crate::fake_nix::{Answers, print_script};
use crate::hosts::three_hosts;

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
    history(&["stinky"]).assert_code(0).assert_stderr_contains("there is no receipt of stinky: no flash");
    history(&[]).assert_code(0).assert_stderr_contains("there is no receipt: nothing was flashed");
}
