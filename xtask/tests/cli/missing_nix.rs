//! A machine without Nix: a fault of the machine, and not of the change that a job tries.

use crate::support::Sandbox;

/// Command lines that need Nix.
const NEED_NIX: &[&[&str]] = &[
    &["hosts"],
    &["sd-image", "pi"],
    &["deploy", "pi"],
    &["deploy", "--all", "--dry-run"],
    &["status"],
    &["status", "pi"],
    &["release", "pi", "--out", "release.json"],
    &["up", "pi"],
    &["rollback", "pi"],
    &["identity", "cache-key"],
];

#[test]
fn a_missing_nix_is_a_fault_of_the_machine() {
    let [message, hint] = ["no nix on PATH", "run `cargo xtask setup`"];
    let error = serde_json::json!({
        "code": 3, "kind": "refused", "message": message, "hint": hint,
        "reasons": [{ "kind": "missing_nix", "message": message, "hint": hint }],
    });
    for words in NEED_NIX {
        let args = [&["--flake", "github:o/f"], *words].concat();
        let outcome = Sandbox::with_fakes_only().run(&args);
        assert_eq!(outcome.stderr, format!("error: {message}\nhint: {hint}\n"), "{words:?}");
        outcome.assert_code(3).assert_stdout("");
        let outcome = Sandbox::with_fakes_only().run(&[&["--json"], &args[..]].concat());
        assert_eq!(outcome.assert_code(3).json_error(), error, "{words:?}");
    }
}
