//! The cache key, and a deploy by way of a cache: what is refused, and what Nix is asked.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::deploy_fixture::*;
use crate::identities::{identity, sandbox};
use crate::support::Sandbox;

/// A private key as Nix makes it, of which the public half is [`PUBLIC`]: 32 bytes of one value, and 32 of another.
const SECRET: &str =
    "desk-1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQECAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg==";
const PUBLIC: &str = "desk-1:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

/// A sandbox with a flake, and a Nix that makes one key.
fn sandbox_with_nix() -> Sandbox {
    let sandbox = sandbox();
    sandbox.fake("nix", &format!("case \"$*\" in *' key generate-secret '*) printf %s '{SECRET}';; esac"));
    sandbox
}

#[test]
fn a_key_is_made_once_and_its_public_half_is_printed() {
    let sandbox = sandbox_with_nix();
    let made = identity(&sandbox, &["cache-key", "--name", "desk-1"]);
    made.assert_code(0).assert_stdout(format!("{PUBLIC}\n"));
    made.assert_stderr_contains("made the cache key desk-1: hosts trust what it signs once");
    let again = identity(&sandbox, &["cache-key", "--json"]).assert_code(0).json();
    assert_eq!((&again["public"], &again["made"]), (&PUBLIC.into(), &false.into()));
    let calls = sandbox.calls("nix");
    let made = calls.iter().filter(|call| call.contains(&"key".to_owned())).collect::<Vec<_>>();
    assert_eq!(made, [&with_features(&["key", "generate-secret", "--key-name", "desk-1"])]);
    let folder = sandbox.path("state/identity/.cache-key");
    let mode = fs::metadata(&folder).expect("the folder").permissions().mode() & 0o777;
    assert_eq!(mode, 0, "{mode:o}");
    let other = identity(&sandbox, &["cache-key", "--name", "other"]);
    other.assert_code(3).assert_stderr_contains("the cache key of this project is called desk-1, not other");
    // It is no host.
    let listed = identity(&sandbox, &["list", "--json"]).assert_code(0).json();
    assert_eq!(listed["hosts"], serde_json::json!([]), "{listed}");
}

#[test]
fn an_answer_of_nix_that_is_no_key_is_not_kept() {
    let sandbox = sandbox();
    sandbox.fake("nix", "case \"$*\" in *' key generate-secret '*) echo 'no: secret';; esac");
    identity(&sandbox, &["cache-key"]).assert_code(3).assert_stderr_contains("is no private key of Nix");
    assert!(!sandbox.path("state/identity/.cache-key").exists());
}

#[test]
fn a_cache_without_a_key_is_refused() {
    let fixture = Fixture::new("", "", 0);
    let outcome = fixture.deploy(&["stinky", "--via-cache", "http://nas:5000"]);
    outcome
        .assert_code(3)
        .assert_stderr_contains("error: no key signs what the hosts would fetch from http://nas:5000")
        .assert_stderr_contains("\nhint: run `cargo xtask ");
    assert!(fixture.ssh_calls().is_empty());
}

#[test]
fn a_cache_with_a_secret_in_its_url_is_refused_without_repeating_it() {
    let fixture = Fixture::new("", "", 0);
    for (option, url) in
        [("--via-cache", "http://me:pa55w0rd@nas"), ("--push-to", "s3://pis?secret-key=pa55w0rd")]
    {
        let cache = if option == "--push-to" { &["--via-cache", "http://nas"][..] } else { &[] };
        let outcome = fixture.deploy(&[&["stinky"], cache, &[option, url]].concat());
        outcome.assert_code(2).assert_stderr_contains("has a login or a secret, which every user of a host");
        assert!(!outcome.stderr.contains("pa55w0rd"), "{}", outcome.stderr);
    }
    for words in [&["--push-to", "http://nas"][..], &["--via-cache", "/srv/cache"]] {
        fixture.deploy(&[&["stinky"], words].concat()).assert_code(2);
    }
}

/// The profile of the fixture is in no store, so nothing is signed: a real Nix signs in the suite `deploy`.
#[test]
fn a_key_file_must_be_private_and_a_key() {
    let fixture = Fixture::new(&probe_answer(NEW_PROFILE, NEW, ""), ACTIVATING, 0);
    let file = fixture.path("key");
    for (text, mode, code) in [(SECRET, 0o644, 3), ("no key", 0o600, 3), (SECRET, 0o600, 0)] {
        fixture.write("key", text);
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("setting the mode");
        fixture.deploy(&["stinky", "--cache-key", &file]).assert_code(code);
    }
    fixture
        .deploy(&["stinky", "--cache-key", "/no/such/file"])
        .assert_stderr_contains("reading the cache key");
}
