//! The lock file of this repository's flake: Nix takes it as it is, without the network.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn the_lock_satisfies_the_flake() {
    let locks = metadata();
    let nodes = locks["locks"]["nodes"].as_object().expect("nodes of the lock");
    let names = nodes.keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(names, ["deploy-rs", "impermanence", "nixos-hardware", "nixpkgs", "root", "systems", "utils"]);
    assert_eq!(nodes["nixpkgs"]["original"]["ref"], "nixos-26.05");
    for input in ["deploy-rs", "impermanence", "nixos-hardware"] {
        assert_eq!(nodes[input]["inputs"]["nixpkgs"], serde_json::json!(["nixpkgs"]), "{input}");
    }
}

/// A copy is asked, since the repository of a checkout may have uncommitted files that Nix warns of.
#[expect(clippy::disallowed_methods, reason = "the suite runs Nix itself")]
fn metadata() -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let copy = tempfile::tempdir().expect("making a folder");
    for name in ["flake.nix", "flake.lock"] {
        std::fs::copy(root.join(name), copy.path().join(name)).expect(name);
    }
    let output = Command::new("nix")
        .args([
            "--extra-experimental-features",
            "nix-command flakes",
            "flake",
            "metadata",
            "--json",
            "--offline",
        ])
        .arg("--no-update-lock-file")
        .arg(format!("path:{}", copy.path().display()))
        .output()
        .expect("running nix");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("reading what nix said")
}
