//! Hosts to which nothing can be copied: the tool finds the reason before the build where possible, else it quotes the
//! host.

use std::fs;

use serde_json::json;

use crate::fixture::Fixture;
use crate::machine::{self, Machine};

/// A fixture whose host has the user `pi`, whom the Nix of the host does not trust.
fn fixture_with_untrusted_user() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.machine = Machine::start_with_user("ALL=(ALL) NOPASSWD: ALL");
    let conf = fixture.machine.path("etc/nix.conf");
    let text = fs::read_to_string(&conf).expect("the settings of Nix");
    fs::write(&conf, text.replace("trusted-users = root pi", "trusted-users = root")).expect("writing them");
    fixture.machine.restart_daemon();
    fixture.known_hosts = fixture.machine.write_known_hosts();
    fixture
}

/// Sets the profile of `target`, and lets ssh log in as `pi`.
fn set_profile_for_pi(fixture: &Fixture, name: &str) {
    fixture.set_profile(name, ":");
    fixture.edit(|facts| facts["hosts"]["target"]["node"]["sshUser"] = json!("pi"));
}

/// Makes the profile contain 12 new packages of 4 MiB, whose names begin with `prefix`.
fn add_large_packages(fixture: &Fixture, prefix: &str) {
    let packages = (0..12).map(|number| format!("{prefix}-{number}")).collect::<Vec<_>>();
    fixture.edit(|facts| facts["packages"] = json!(packages));
}

/// Limits the free space of the store of the host to `mib` MiB.
fn limit_free_space(fixture: &Fixture, mib: u64) {
    let used = fixture.machine.run_inside("df -Pk /nix | tail -1 | awk '{ print $3 }'");
    let size = used.parse::<u64>().expect("a number") + mib * 1024;
    fixture.machine.run_inside(&format!("mount -o remount,size={size}k /nix"));
}

/// The hint where the Nix of the host does not trust the user.
const TRUST_HINT: &str = "\nhint: add `nix.settings.trusted-users = [ \"pi\" ];` to the host's configuration";

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_untrusted_user_is_refused_before_the_build() {
    let fixture = fixture_with_untrusted_user();
    set_profile_for_pi(&fixture, "untrusted-1");
    let outcome = fixture.deploy(&[]);
    outcome
        .assert_stderr_contains(
            "error: the Nix on target does not trust the user pi, so it refuses unsigned copies",
        )
        .assert_stderr_contains(TRUST_HINT)
        .assert_code(3);
    assert!(!outcome.stderr.contains("     build  "), "{}", outcome.stderr);
}

/// A user whose paths are signed by a key that the host knows needs no trust.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_untrusted_user_can_deploy_signed_paths() {
    let mut fixture = fixture_with_untrusted_user();
    let secret = fixture.sandbox.path("secret");
    let key = machine::run(
        "nix-store",
        &["--generate-binary-cache-key", "own-1", &secret.display().to_string(), "/dev/stdout"],
    );
    let conf = fixture.machine.path("etc/nix.conf");
    let text = fs::read_to_string(&conf).expect("the settings of Nix");
    fs::write(&conf, format!("{text}trusted-public-keys = {key}\n")).expect("writing them");
    fixture.machine.restart_daemon();
    let old = std::env::var("NIX_CONFIG").unwrap_or_default();
    fixture.sandbox.env("NIX_CONFIG", format!("{old}\nsecret-key-files = {}", secret.display()));
    // A new name, because the paths that an earlier run built are signed by another key.
    let name = format!("signed-{}", std::process::id());
    set_profile_for_pi(&fixture, &name);
    fixture.edit(|facts| facts["packages"] = json!([format!("{name}-package")]));
    fixture.deploy(&[]).assert_code(0);
    fixture.assert_runs(&name);
}

/// The Nix of the host does not report whom it trusts.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_missing_signature_is_named_with_its_remedies() {
    let fixture = fixture_with_untrusted_user();
    fixture.machine.replace_program("nix", "exit 1");
    set_profile_for_pi(&fixture, "one");
    fixture
        .deploy(&[])
        .assert_stderr_contains("\n  ssh and the host printed:\n  | error: cannot add path '/nix/store/")
        .assert_stderr_contains("because it lacks a signature by a trusted key")
        .assert_stderr_contains(TRUST_HINT)
        .assert_code(1);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_without_room_is_refused_before_the_build() {
    let fixture = Fixture::new();
    fixture.set_profile("roomless", ":");
    fixture.machine.run_inside("mount -o remount,size=1m /nix");
    let outcome = fixture.deploy(&[]);
    outcome
        .assert_stderr_contains("error: the disk of /nix on target is full: ")
        .assert_stderr_contains("\nhint: free space on the host: `ssh ")
        .assert_code(3);
    assert!(!outcome.stderr.contains("     build  "), "{}", outcome.stderr);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_closure_that_does_not_fit_is_refused_before_the_copy() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.set_profile("large", ":");
    add_large_packages(&fixture, "large");
    limit_free_space(&fixture, 40);
    fixture
        .deploy(&[])
        .assert_stderr_contains("error: the new system needs 48.0 MiB on target, where ")
        .assert_stderr_contains("\nhint: free space on the host")
        .assert_code(3);
    fixture.deploy(&["--dry-run"]).assert_code(3);
    // The paths that the host has of an earlier copy need no room.
    limit_free_space(&fixture, 100);
    fixture.deploy(&[]).assert_code(0);
    fixture.set_profile("one", ":");
    fixture.deploy(&[]).assert_code(0);
    limit_free_space(&fixture, 40);
    fixture.set_profile("large", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.assert_runs("large");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_disk_that_fills_up_during_the_copy_is_named() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    add_large_packages(&fixture, "filling");
    limit_free_space(&fixture, 40);
    fixture
        .deploy(&[])
        .assert_stderr_contains("target has only ")
        .assert_stderr_contains("\n  | error: writing to file: No space left on device\n")
        .assert_stderr_contains("\nhint: free space on the host: `ssh ")
        .assert_code(1);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_without_nix_store_is_refused_before_the_build() {
    let fixture = Fixture::new();
    fixture.set_profile("storeless", ":");
    let file = fixture.machine.path("sshd_config");
    let settings = fs::read_to_string(&file).expect("the settings of sshd");
    let lines = settings.lines().map(|line| match line.strip_prefix("SetEnv") {
        Some(_) => "SetEnv PATH=/mnt/bin:/usr/bin:/bin HOME=/mnt/home",
        None => line,
    });
    fs::write(&file, lines.collect::<Vec<_>>().join("\n")).expect("writing the settings of sshd");
    fixture.machine.run_inside("pkill -x sshd");
    let outcome = fixture.deploy(&["--wait"]);
    outcome
        .assert_stderr_contains(
            "error: nothing can be copied to target: `nix-store` does not run there: sh: ",
        )
        .assert_stderr_contains("nix-store: not found\nhint: install Nix on the host")
        .assert_code(3);
    assert!(!outcome.stderr.contains("     build  "), "{}", outcome.stderr);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_greeting_of_the_shell_is_refused_before_the_build() {
    let fixture = Fixture::new();
    fixture.set_profile("greeted", ":");
    fs::write(fixture.machine.path("home/.bashrc"), "echo Welcome to the Pi\n").expect("writing a greeting");
    let outcome = fixture.deploy(&[]);
    outcome
        .assert_stderr_contains("its shell prints text before each command: Welcome to the Pi\n")
        .assert_stderr_contains("\nhint: make the shell of the host print nothing without a terminal")
        .assert_code(3);
    // A host that is current needs no copy.
    fs::remove_file(fixture.machine.path("home/.bashrc")).expect("removing the greeting");
    fixture.deploy(&[]).assert_code(0);
    fs::write(fixture.machine.path("home/.bashrc"), "echo Welcome to the Pi\n").expect("writing a greeting");
    fixture.deploy(&[]).assert_code(0);
}
