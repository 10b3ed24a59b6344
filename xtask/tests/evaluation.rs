//! This repository's flake evaluated for real: the host `stinky`, its images, its deploy node, the checks.
//! It takes the source trees of the inputs, as the environment names them (see `evaluation/facts.nix`).

use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn the_flake_says_what_the_host_is() {
    let facts = evaluate();
    let expected: Value =
        serde_json::from_str(include_str!("evaluation/system.json")).expect("reading the file");
    assert_eq!(facts["system"], expected);
    assert_eq!(facts["node"]["hostname"], "stinky");
    assert_eq!(facts["node"]["sshUser"], "ppetru");
    for system in ["aarch64-linux", "x86_64-linux"] {
        let image = facts["packages"][system]["stinky-sdImage"].as_str().expect("an image");
        assert!(image.contains("-nixos-sd-image-stinky-"), "{image}");
        assert!(image.ends_with("-aarch64-linux.img.zst.drv"), "{image}");
        is_derivation(&facts["packages"][system]["xtask"]);
        is_derivation(&facts["shells"][system]["default"]);
        is_derivation(&facts["formatters"][system]);
    }
    is_derivation(&facts["profile"]);
    assert_eq!(
        names(&facts["checks"]["x86_64-linux"]),
        ["deploy-activate", "deploy-schema", "formatting", "shell", "xtask"]
    );
    assert_eq!(facts["checks"]["aarch64-linux"]["host-stinky"], facts["toplevel"]);
}

fn is_derivation(value: &Value) {
    assert!(
        value.as_str().is_some_and(|path| Path::new(path).extension().is_some_and(|end| end == "drv")),
        "{value}"
    );
}

fn names(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[expect(clippy::disallowed_methods, reason = "the suite runs Nix itself")]
fn evaluate() -> Value {
    for name in ["XTASK_NIXPKGS", "XTASK_INPUTS"] {
        assert_ne!(std::env::var_os(name), None, "{name} has to name source trees");
    }
    let facts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evaluation/facts.nix");
    let output = Command::new("nix")
        .args(["--extra-experimental-features", "nix-command flakes", "eval", "--json", "--impure", "--file"])
        .arg(facts)
        .output()
        .expect("running nix");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(!stderr.contains("warning: "), "{stderr}");
    serde_json::from_slice(&output.stdout).expect("reading what nix said")
}
