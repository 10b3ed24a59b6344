//! A flake whose address has a password: nothing that is printed shows it.

use crate::fake_nix::{Answers, FakeNix};
use crate::support::Sandbox;

const FLAKE: &str = "git+https://me:t0k3n@example.org/pis.git";

/// Runs the command `words` with the flake, with and without `--json`, and checks all that it prints.
fn assert_hidden(nix: &FakeNix, words: &str) {
    for json in [&[][..], &["--json"]] {
        let args = ["--flake", FLAKE].into_iter().chain(words.split_whitespace()).chain(json.iter().copied());
        let outcome = nix.run(&args.collect::<Vec<_>>());
        let printed = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(!printed.contains("t0k3n"), "{words}: {printed}");
        assert!(!printed.trim().is_empty(), "{words} prints nothing");
    }
}

#[test]
fn the_password_of_a_flake_is_not_printed() {
    let nix = Answers::default().install_in(Sandbox::new());
    for words in [
        "",
        "hosts",
        "doctor",
        "history",
        "history stinky",
        "identity list",
        "identity show stinky",
        "identity make stinky",
        "sd-image stinky",
        "flash stinky mmcblk77",
        "deploy stinky --dry-run",
        "status stinky",
        "rollback stinky",
        "release ghost --out release.json",
        "log",
    ] {
        assert_hidden(&nix, words);
    }
}
