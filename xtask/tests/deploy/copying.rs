//! Hosts to which nothing can be copied: the reason is the host's own words, and found before the build where possible.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::fixture::Fixture;
use crate::machine::{self, Machine};

/// Replaces a program of the host with a script.
pub fn replace(host: &Machine, program: &str, script: &str) {
    let file = host.path("bin").join(program);
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("replacing a program");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("making it executable");
}

/// A host where ssh logs in as `pi`, whom its Nix does not trust.
fn untrusted() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.machine = Machine::start_with_user("ALL=(ALL) NOPASSWD: ALL");
    let conf = fixture.machine.path("etc/nix.conf");
    let text = fs::read_to_string(&conf).expect("the settings of Nix");
    fs::write(&conf, text.replace("trusted-users = root pi", "trusted-users = root")).expect("writing them");
    restart_daemon(&fixture);
    fixture.known_hosts = fixture.machine.known_hosts();
    fixture
}

/// Makes the Nix of the host read its settings.
fn restart_daemon(fixture: &Fixture) {
    let daemon = "NIX_CONF_DIR=/mnt/etc HOME=/mnt/home setsid nix-daemon >/dev/null 2>&1 </dev/null &";
    let socket = "/nix/var/nix/daemon-socket/socket";
    fixture.machine.inside(&format!(
        "pkill -x nix-daemon; rm -f {socket}; ({daemon}); until [ -S {socket} ]; do sleep 0.01; done"
    ));
}

fn set_profile(fixture: &Fixture, name: &str) {
    fixture.set_profile(name, ":");
    fixture.edit(|facts| facts["hosts"]["target"]["node"]["sshUser"] = json!("pi"));
}

/// What each test changes is more than the host has room for.
fn need_room(fixture: &Fixture, prefix: &str) {
    let packages = (0..12).map(|number| format!("{prefix}-{number}")).collect::<Vec<_>>();
    fixture.edit(|facts| facts["packages"] = json!(packages));
}

/// Leaves the store of the host `mebibytes` of free space.
fn limit_room(fixture: &Fixture, mebibytes: u64) {
    let used = fixture.machine.inside("df -Pk /nix | tail -1 | awk '{ print $3 }'");
    let size = used.parse::<u64>().expect("a number") + mebibytes * 1024;
    fixture.machine.inside(&format!("mount -o remount,size={size}k /nix"));
}

const SIGNATURE: &str = "\nhint: add `nix.settings.trusted-users = [ \"pi\" ];` to the host's configuration";

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_untrusted_user_is_refused_before_the_build() {
    let fixture = untrusted();
    set_profile(&fixture, "untrusted-1");
    let outcome = fixture.deploy(&[]);
    outcome
        .assert_stderr_contains(
            "error: the Nix on target does not trust the user pi, so it refuses unsigned copies",
        )
        .assert_stderr_contains(SIGNATURE)
        .assert_code(3);
    assert!(!outcome.stderr.contains("     build  "), "{}", outcome.stderr);
}

/// A user whose paths are signed, by a key that the host knows, needs no trust.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_untrusted_user_can_deploy_signed_paths() {
    let mut fixture = untrusted();
    let secret = fixture.sandbox.path("secret");
    let key = machine::run(
        "nix-store",
        &["--generate-binary-cache-key", "own-1", &secret.display().to_string(), "/dev/stdout"],
    );
    let conf = fixture.machine.path("etc/nix.conf");
    let text = fs::read_to_string(&conf).expect("the settings of Nix");
    fs::write(&conf, format!("{text}trusted-public-keys = {key}\n")).expect("writing them");
    restart_daemon(&fixture);
    let old = std::env::var("NIX_CONFIG").unwrap_or_default();
    fixture.sandbox.env("NIX_CONFIG", format!("{old}\nsecret-key-files = {}", secret.display()));
    // What an earlier run built is signed by another key.
    let name = format!("signed-{}", std::process::id());
    set_profile(&fixture, &name);
    fixture.edit(|facts| facts["packages"] = json!([format!("{name}-package")]));
    fixture.deploy(&[]).assert_code(0);
    fixture.assert_runs(&name);
}

/// A host whose Nix does not say whom it trusts.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_missing_signature_is_named_with_its_remedies() {
    let fixture = untrusted();
    replace(&fixture.machine, "nix", "exit 1");
    set_profile(&fixture, "one");
    fixture
        .deploy(&[])
        .assert_stderr_contains("\n  ssh and the host printed:\n  | error: cannot add path '/nix/store/")
        .assert_stderr_contains("because it lacks a signature by a trusted key")
        .assert_stderr_contains(SIGNATURE)
        .assert_code(1);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_without_room_is_refused_before_the_build() {
    let fixture = Fixture::new();
    fixture.set_profile("roomless", ":");
    fixture.machine.inside("mount -o remount,size=1m /nix");
    let outcome = fixture.deploy(&[]);
    outcome
        .assert_stderr_contains("error: the disk of /nix on target is full: ")
        .assert_stderr_contains("\nhint: free space on the host: `ssh root@10.")
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
    need_room(&fixture, "large");
    limit_room(&fixture, 40);
    fixture
        .deploy(&[])
        .assert_stderr_contains("error: the new system needs 48.0 MiB on target, where ")
        .assert_stderr_contains("\nhint: free space on the host")
        .assert_code(3);
    fixture.deploy(&["--dry-run"]).assert_code(3);
    // What the host has of an earlier copy needs no room.
    limit_room(&fixture, 100);
    fixture.deploy(&[]).assert_code(0);
    fixture.set_profile("one", ":");
    fixture.deploy(&[]).assert_code(0);
    limit_room(&fixture, 40);
    fixture.set_profile("large", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.assert_runs("large");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_disk_that_fills_up_during_the_copy_is_named() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    need_room(&fixture, "filling");
    limit_room(&fixture, 40);
    fixture
        .deploy(&[])
        .assert_stderr_contains("target has only ")
        .assert_stderr_contains("\n  | error: writing to file: No space left on device\n")
        .assert_stderr_contains("\nhint: free space on the host: `ssh root@10.")
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
    fixture.machine.inside("pkill -x sshd");
    let outcome = fixture.deploy(&["--wait"]);
    outcome
        .assert_stderr_contains(
            "error: nothing can be copied to target: `nix-store` does not run there: bash: ",
        )
        .assert_stderr_contains("nix-store: command not found\nhint: install Nix on the host")
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
