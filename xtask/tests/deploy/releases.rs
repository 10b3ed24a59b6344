//! Releases, made of a flake in git, signed, and deployed where nothing can be evaluated.

use std::fs;

use serde_json::{Value, json};

use crate::cache_server::Answer;
use crate::cached_fleet::{Fleet, copied, fallbacks, fixture_name};
use crate::fixture::Fixture;
use crate::host_image::stock_image;
use crate::image::pack;
use crate::machine::{self, real_program};
use crate::rollback::commit_profile;
use crate::support::Outcome;

/// A host, its flake in git, and a key that may sign releases.
struct Released {
    fixture: Fixture,
    /// The commit of the release.
    revision: String,
}

impl Released {
    /// Deploys a first system, and releases a second one called `name`.
    fn new(name: &str) -> Self {
        let fixture = Fixture::new();
        fixture.set_profile(&format!("{name}-old"), ":");
        let key = fixture.sandbox.path("key").display().to_string();
        machine::run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &key]);
        let public = fs::read_to_string(format!("{key}.pub")).expect("a key");
        let signers = fixture.sandbox.path("flake/allowed_signers");
        fs::write(signers, format!("ci@example namespaces=\"release@cargo-xtask\" {public}"))
            .expect("signers");
        fixture.deploy(&[]).assert_code(0);
        let revision = commit_profile(&fixture, name, "curl-8.2");
        let released = Self { fixture, revision };
        let made = released.make(&["target", "--sign", &key, "--expires-in-days", "7"]);
        made.assert_code(0)
            .assert_stdout_contains(format!("1 host at {}, signed in ", &released.revision[..9]));
        assert!(!made.stderr.contains("as yet"), "{}", made.stderr);
        released
    }

    fn file(&self) -> String {
        self.fixture.sandbox.path("release.json").display().to_string()
    }

    fn make(&self, args: &[&str]) -> Outcome {
        self.fixture.run(&[&["release", "--out", &self.file()], args].concat())
    }

    /// Runs `command` with the release; the options of the tests' hosts name files of this machine.
    fn run(&self, command: &str, args: &[&str]) -> Outcome {
        self.fixture.run(&[&[command, "--release", &self.file(), "--trust-flake"], args].concat())
    }

    /// Makes each evaluation of the flake fail, and records the calls of Nix, also those of deploy-rs.
    fn break_flake(&self) {
        fs::write(self.fixture.sandbox.path("flake/flake.nix"), "throw \"evaluated\"")
            .expect("breaking a flake");
        let nix = real_program("nix");
        self.fixture.sandbox.fake("nix", &format!(r#"exec {nix} "$@""#));
    }

    fn release(&self) -> Value {
        serde_json::from_slice(&fs::read(self.file()).expect("a release")).expect("JSON")
    }

    /// The calls of Nix that evaluate, and name the flake of the user.
    fn evaluations(&self) -> Vec<Vec<String>> {
        let flake = self.fixture.flake();
        let mut calls = self.fixture.sandbox.calls("nix");
        calls.retain(|call| call.iter().any(|word| word.contains(&flake)));
        calls
    }
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_signed_release_is_deployed_proven_and_shown_without_an_evaluation() {
    let released = Released::new("released");
    let release = released.release();
    assert_eq!(release["revision"]["rev"], released.revision.as_str());
    assert_eq!(release["hosts"][0]["host"], "target");
    released.break_flake();
    let behind = released.run("status", &[]);
    behind.assert_code(0).assert_stdout_contains("behind: 1 added, 1 removed, ");
    let refused = released.fixture.run(&["deploy", "--release", &released.file()]);
    refused.assert_code(3).assert_stderr_contains("the ssh option `-F` for target");
    let planned = released.run("deploy", &["--dry-run"]);
    planned.assert_code(0).assert_stderr_contains("curl 8.1 -> 8.2");
    released.fixture.assert_runs("released-old");
    let deployed = released.run("deploy", &["target", "--health", "true"]);
    deployed.assert_code(0).assert_stderr_contains("signed by ci@example (SHA256:");
    released.fixture.assert_runs("released");
    released.run("status", &[]).assert_code(0).assert_stdout_contains("current");
    released.run("deploy", &[]).assert_code(0).assert_stdout_contains("already runs");
    assert_eq!(released.evaluations(), [[""; 0]; 0]);
    let json = released.fixture.run(&["--json", "history", "target"]).assert_code(0).json();
    let receipts = json["receipts"].as_array().expect("receipts");
    let receipt = receipts.iter().find(|it| !it["release"].is_null());
    let receipt = receipt.unwrap_or_else(|| panic!("{json}"));
    assert_eq!(receipt["revision"]["rev"], released.revision.as_str());
    assert_eq!(receipt["release"]["signer"]["name"], "ci@example");
}

/// A release of a system that fails is rolled back, and no file that was changed is deployed.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_release_is_judged_as_a_deploy_and_a_changed_file_is_refused() {
    let released = Released::new("judged");
    let text = fs::read_to_string(released.file()).expect("a release");
    fs::write(released.file(), text.replace("judged\"", "judged-old\"")).expect("changing a release");
    released.run("deploy", &[]).assert_code(3).assert_stderr_contains("incorrect signature");
    released.fixture.assert_runs("judged-old");
    released.fixture.set_profile("failing", "exit 4");
    let dirty = released.make(&["target"]);
    dirty
        .assert_code(3)
        .assert_stderr_contains("has changes that no commit has\nhint: commit the flake, or pass ");
    let made = released.make(&["target", "--allow-dirty"]);
    made.assert_code(0).assert_stderr_contains("is not signed: `deploy` takes it only with --unsigned");
    made.assert_stderr_contains(" --unsigned\n");
    assert!(
        !fs::exists(released.file() + ".sig").expect("a folder"),
        "the signature of the earlier file is left"
    );
    let unsigned = released.run("deploy", &[]);
    unsigned.assert_code(3).assert_stderr_contains("is not signed: there is no ");
    unsigned.assert_stderr_contains(".json.sig too, from where the release was made, or pass --unsigned for");
    let failed = released.run("deploy", &["--unsigned", "--json"]).assert_code(10).json();
    assert_eq!(failed["hosts"][0]["verdict"], "rolled_back");
    assert_eq!(failed["release"]["revision"]["dirty"], true);
    released.fixture.assert_runs("judged-old");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_key_that_may_not_sign_is_named_when_it_signs() {
    let released = Released::new("signed");
    let [key, other] = ["key", "other"].map(|name| released.fixture.sandbox.path(name).display().to_string());
    machine::run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &other]);
    let signers = released.fixture.sandbox.path("flake/allowed_signers");
    let warns = |key: &str, fault: &str| {
        let outcome = released.make(&["target", "--allow-dirty", "--sign", key]);
        outcome.assert_code(0);
        outcome.assert_stderr_contains("warning: `deploy --release` refuses ").assert_stderr_contains(fault);
        released.run("deploy", &["--dry-run"]).assert_code(3);
    };
    warns(&other, "/allowed_signers has this key\n");
    let allowed = fs::read_to_string(&signers).expect("signers");
    fs::write(&signers, allowed.replace("release@cargo-xtask", "git")).expect("signers");
    warns(&key, "/allowed_signers does not let this key sign releases: ");
    fs::remove_file(&signers).expect("signers");
    warns(&key, "/allowed_signers cannot be read: ");
}

/// On a machine that has neither the profile nor its derivation.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_profile_that_the_store_lacks_is_fetched_or_named() {
    let released = Released::new("fetched");
    let release = released.release();
    let profile = release["hosts"][0]["profile"].as_str().expect("a path");
    let cache = format!("file://{}", released.fixture.sandbox.path("cache").display());
    machine::run("nix", &["copy", "--to", &cache, profile]);
    let derivation = machine::run("nix", &["path-info", "--derivation", profile]);
    machine::run("nix", &["store", "delete", profile, derivation.trim()]);
    released.break_flake();
    let missing = released.run("deploy", &[]);
    missing.assert_code(1).assert_stderr_contains(format!("the store of this machine lacks {profile}, and "));
    missing.assert_stderr_contains("hint: push it to a cache of this machine where the release was made: ");
    released.fixture.assert_runs("fetched-old");
    let options = ["--", "--", "--option", "substitute", "true", "--option", "require-sigs", "false"];
    let fetched = released.run("deploy", &[&options[..], &["--extra-substituters", &cache]].concat());
    fetched.assert_code(0);
    released.fixture.assert_runs("fetched");
    assert_eq!(released.evaluations(), [[""; 0]; 0]);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_release_has_the_tags_and_the_hosts_that_the_user_chooses() {
    let released = Released::new("tagged");
    released.fixture.edit(|facts| {
        facts["hosts"]["second"] = facts["hosts"]["target"].clone();
        facts["hosts"]["target"]["node"]["tags"] = serde_json::json!(["lab"]);
    });
    let made = released.make(&["--on", "@lab", "--allow-dirty", "--images", "--json"]);
    let json = made.assert_code(0).json();
    assert_eq!((&json["hosts"][0]["host"], json["hosts"].as_array().unwrap().len()), (&"target".into(), 1));
    assert_eq!((&json["hosts"][0]["tags"][0], &json["hosts"][0]["image"]), (&"lab".into(), &Value::Null));
    let all = released.make(&["--all", "--allow-dirty", "--json"]).assert_code(0).json();
    assert_eq!(all["hosts"].as_array().unwrap().len(), 2);
    let unknown = released.make(&["nobody", "target", "--allow-dirty"]);
    unknown.assert_code(2).assert_stderr_contains("nobody");
}

/// The files are those of the builds.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_release_has_the_images_of_its_hosts() {
    let fixture = Fixture::new();
    let address = &fixture.machine.address;
    fixture.set_configuration("imaged", ":", &json!({ "targetHost": address, "targetUser": "root" }));
    pack(&fixture.sandbox.path("flake"), "img.zst", &stock_image());
    fixture.edit(|facts| facts["configurations"]["target"]["image"] = "nixos-sd-image.img.zst".into());
    let file = fixture.sandbox.path("release.json").display().to_string();
    fixture.run(&["release", "target", "--images", "--allow-dirty", "--out", &file]).assert_code(0);
    let release: Value = serde_json::from_slice(&fs::read(&file).expect("a release")).expect("JSON");
    let image = &release["hosts"][0]["image"];
    let path = image["file"].as_str().expect("a file");
    let sum = machine::run("sha256sum", &[path]);
    assert_eq!(image["sha256"], sum.split(' ').next().expect("a sum"));
    assert_eq!(image["bytes"], fs::metadata(path).expect("an image").len());
    assert!(path.starts_with(image["store_path"].as_str().expect("a path")), "{image}");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_hosts_of_a_release_fetch_their_systems_from_a_cache() {
    let fleet = Fleet::new(2, |_| Answer::Serve);
    let file = fleet.fixture.sandbox.path("release.json").display().to_string();
    fleet.fixture.run(&["release", "host0", "host1", "--allow-dirty", "--out", &file]).assert_code(0);
    fs::write(fleet.fixture.sandbox.path("flake/flake.nix"), "throw \"evaluated\"")
        .expect("breaking a flake");
    let (url, folder) = (fleet.url(), fleet.server.folder_url());
    let cache = ["--via-cache", &url, "--push-to", &folder];
    let release = ["--json", "deploy", "--release", &file, "--unsigned", "--trust-flake"];
    let result = fleet.fixture.run(&[&release[..], &cache].concat()).assert_code(0).json();
    assert_eq!(fallbacks(&result), ["none", "none"], "{result}");
    assert!(copied(&result).iter().all(|copied| copied["directly"].is_null()), "{result}");
    fleet.assert_run(&fixture_name("first"));
}
