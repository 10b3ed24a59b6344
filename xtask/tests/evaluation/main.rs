//! Evaluates this repository's flake: the host `stinky`, its images, its deploy node, the checks, and hosts
//! that are added to it. Needs the source trees of the inputs, which the environment names (see
//! `evaluation/facts.nix`).

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

mod backup;
mod boards;
mod boots;
#[path = "../guest/mod.rs"]
mod guest;
mod menu;
mod new_hosts;
#[path = "../docs/page.rs"]
#[allow(dead_code, reason = "the suite docs uses the rest")]
mod page;
mod pages;
mod ported;
mod units;
mod ways_in;

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn the_flake_evaluates_to_the_expected_host() {
    let facts = evaluate();
    assert_eq!(facts["system"], expected_system(facts));
    assert_eq!(facts["node"]["hostname"], "stinky");
    assert_eq!(facts["node"]["sshUser"], "ppetru");
    for system in ["aarch64-linux", "x86_64-linux"] {
        assert_image(&facts["packages"][system]["stinky-sdImage"], "stinky");
        assert_derivation(&facts["packages"][system]["xtask"]);
        assert_derivation(&facts["shells"][system]["default"]);
        assert_derivation(&facts["formatters"][system]);
    }
    assert_derivation(&facts["profile"]);
    let made = &facts["made"];
    assert_derivation(&made["drvPath"]);
    assert_eq!(
        (&made["configuration"], &made["platform"]),
        (&json!("nixosConfigurations.stinky"), &json!("aarch64-linux"))
    );
    assert_eq!(
        names(&facts["checks"]["x86_64-linux"]),
        ["deploy-activate", "deploy-schema", "formatting", "shell", "trial", "xtask"]
    );
    assert_eq!(facts["checks"]["aarch64-linux"]["host-stinky"], facts["toplevel"]);
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn a_host_with_a_cache_key_trusts_its_signatures_and_not_the_group_wheel() {
    let facts = evaluate();
    let key = format!("desk-1:{}=", "A".repeat(43));
    let warnings = &facts["system"]["warnings"];
    let expected =
        json!({ "trustedKeys": [key], "trustedUsers": ["root"], "failed": [], "warnings": warnings });
    assert_eq!(facts["keyed"], expected);
    let failed = facts["wronglyKeyed"]["failed"].as_array().expect("a list");
    assert!(failed[0].as_str().expect("a text").contains("is no public key of Nix"), "{failed:?}");
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn a_second_pi_needs_one_line_and_one_file() {
    let facts = evaluate();
    let mut second = expected_system(facts);
    for (pointer, value) in [
        ("/hostName", json!("second")),
        ("/boot/configurationLimit", json!(3)),
        ("/fileSystems/~1/options/1", json!("size=512M")),
        ("/persisted/directories/3", json!("/home/somebody somebody:users 0700")),
        ("/persisted/directories/4", json!("/var/lib/bluetooth root:root 0755")),
        ("/users/admins", json!(["somebody"])),
        ("/passwords", json!({ "somebody": "/nix/persist/etc/passwords/somebody" })),
    ] {
        *second.pointer_mut(pointer).expect(pointer) = value;
    }
    second["warnings"] = facts["waysIn"]["blank"]["warnings"].clone();
    for pointer in ["/image/baseName", "/image/filePath"] {
        let value = second.pointer_mut(pointer).expect(pointer);
        *value = value.as_str().expect(pointer).replace("-stinky-", "-second-").into();
    }
    assert_eq!(facts["second"], second);
    for system in ["aarch64-linux", "x86_64-linux"] {
        let images = &facts["others"]["images"][system];
        assert_eq!(names(images), ["second-sdImage"], "the desk has no card");
        assert_image(&images["second-sdImage"], "second");
    }
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn a_host_that_is_no_pi_uses_the_same_registry() {
    let facts = evaluate();
    let desk = &facts["desk"];
    assert_eq!((&desk["failed"], &desk["warnings"]), (&json!([]), &json!([])));
    assert_eq!((&desk["hostName"], &desk["system"]), (&json!("desk"), &json!("x86_64-linux")));
    assert_eq!(desk["emulates"], json!(["aarch64-linux"]));
    assert_eq!(desk["ssh"], facts["system"]["ssh"]);
    assert_derivation(&desk["toplevel"]);
    for (name, address) in [("desk", "desk.lan"), ("second", "second.lan")] {
        let node = &facts["others"]["nodes"][name];
        assert_eq!((&node["hostname"], &node["sshUser"]), (&json!(address), &json!("somebody")));
        assert_derivation(&node["profile"]);
    }
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn another_flake_makes_a_pi_of_the_template() {
    let facts = evaluate();
    let template = &facts["template"];
    assert_eq!((&template["failed"], &template["warnings"]), (&json!([]), &json!([])));
    // Without a key nobody could log in to a new card, not even with the password: no image is built.
    let message = "nobody could enter pi: put your public ssh key into hosts/pi.nix";
    assert_eq!(facts["blank"]["failed"], json!([message]));
    assert!(
        facts["blank"]["warnings"][0].as_str().expect("a warning").starts_with("nobody can log in to pi, ")
    );
    assert_eq!(template["hostName"], "pi");
    for part in ["fileSystems", "boot", "hostKeys", "growth", "memory"] {
        assert_eq!(template[part], facts["system"][part], "{part}");
    }
    assert_eq!(template["passwords"], json!({ "admin": "/nix/persist/etc/passwords/admin" }));
    assert_image(&template["sdImage"], "pi");
    for system in ["aarch64-linux", "x86_64-linux"] {
        assert_derivation(&template["tool"][system]);
    }
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn any_configuration_gets_an_image() {
    let images = &evaluate()["foreignImages"];
    assert_image(&images["byHost"], "foreign");
    assert_image(&images["byWorkstation"], "foreign");
    assert_ne!(images["byHost"], images["byWorkstation"], "the same tools assemble both");
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn a_host_chooses_the_compression_of_its_image() {
    assert_eq!(evaluate()["compressionLevels"], json!(["3", "19"]));
}

/// The expected facts of `stinky`: those of `system.json`, with the release of the evaluated nixpkgs.
fn expected_system(facts: &Value) -> Value {
    let release = facts["release"].as_str().expect("a release");
    let text = include_str!("system.json").replace("-RELEASE-", &format!("-{release}-"));
    serde_json::from_str(&text).expect("reading the file")
}

/// Asserts that `value` is the derivation of an image of `host`.
fn assert_image(value: &Value, host: &str) {
    let image = value.as_str().expect("an image");
    assert!(image.contains(&format!("-nixos-sd-image-{host}-")), "{image}");
    assert!(image.ends_with("-aarch64-linux.img.zst.drv"), "{image}");
}

/// Asserts that `value` is the path of a derivation.
fn assert_derivation(value: &Value) {
    assert!(
        value.as_str().is_some_and(|path| Path::new(path).extension().is_some_and(|end| end == "drv")),
        "{value}"
    );
}

/// The names of the attributes of `value`.
fn names(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// The value of `facts.nix`. It is evaluated only once, because the evaluation takes a minute.
fn evaluate() -> &'static Value {
    static FACTS: OnceLock<Value> = OnceLock::new();
    FACTS.get_or_init(run_nix)
}

#[expect(clippy::disallowed_methods, reason = "the suite runs Nix itself")]
fn run_nix() -> Value {
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
    // Hosts without a login key are evaluated on purpose.
    let mut warnings = stderr.lines().filter(|line| line.contains("warning: "));
    assert!(warnings.all(|line| line.contains("warning: nobody can log in to ")), "{stderr}");
    serde_json::from_slice(&output.stdout).expect("reading the output of nix")
}
