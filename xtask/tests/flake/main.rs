//! This repository's flake, tested without network: its lock file and the registry of hosts.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn the_lock_satisfies_the_flake() {
    let metadata = read_metadata();
    let nodes = metadata["locks"]["nodes"].as_object().expect("nodes of the lock");
    let names = nodes.keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(names, ["deploy-rs", "impermanence", "nixos-hardware", "nixpkgs", "root", "systems", "utils"]);
    assert_eq!(nodes["nixpkgs"]["original"]["ref"], "nixos-26.05");
    for input in ["deploy-rs", "impermanence", "nixos-hardware"] {
        assert_eq!(nodes[input]["inputs"]["nixpkgs"], serde_json::json!(["nixpkgs"]), "{input}");
    }
}

/// The modules that `nix/hosts.nix` combines for the host `name`.
fn modules(name: &str, system: &str, admin: &str) -> Value {
    json!([
        "hosts/common",
        format!("hosts/{name}"),
        { "networking": { "hostName": name }, "nixpkgs": { "hostPlatform": system }, "common": { "admin": admin } },
    ])
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_host_consists_of_an_entry_in_the_registry_and_a_folder() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flake/registry.nix");
    let found = run_nix(&["eval", "--json", "--impure", "--file", file.to_str().expect("a path in UTF-8")]);
    let stinky = modules("stinky", "aarch64-linux", "ppetru");
    assert_eq!(found["hosts"], json!({ "stinky": stinky }));
    assert_eq!(found["has_folder"], json!({ "stinky": true }));
    assert_eq!(found["facts"], json!({ "stinky": ["address", "admin", "system"] }));
    let second = modules("second", "aarch64-linux", "somebody");
    assert_eq!(found["added"], json!({ "stinky": stinky, "second": second }));
}

/// The metadata of a copy of the flake. In the checkout, Nix would warn of uncommitted files.
fn read_metadata() -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let copy = tempfile::tempdir().expect("making a folder");
    for name in ["flake.nix", "flake.lock"] {
        std::fs::copy(root.join(name), copy.path().join(name)).expect(name);
    }
    let copy = format!("path:{}", copy.path().display());
    run_nix(&["flake", "metadata", "--json", "--offline", "--no-update-lock-file", &copy])
}

/// Runs nix with `args`, and returns the JSON that it prints.
#[expect(clippy::disallowed_methods, reason = "the suite runs Nix itself")]
fn run_nix(args: &[&str]) -> Value {
    let output = Command::new("nix")
        .args(["--extra-experimental-features", "nix-command flakes"])
        .args(args)
        .output()
        .expect("running nix");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("reading the output of nix")
}
