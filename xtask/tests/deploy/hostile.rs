//! Hosts with hostile users, and hosts that are hostile themselves.

use std::fs;

use crate::fixture::Fixture;
use crate::machine::{self, Machine};

/// The script of an unprivileged user who makes hostile files in /tmp of the host, and starts a process that looks
/// like an activation. HASH stands for the hash of the profile that is deployed next.
const HOSTILE_FILES: &str = r#"
    cd /tmp
    touch precious "deploy-rs-canary-a
/tmp/precious" "deploy-rs-canary-b
@failed
evil.service loaded failed failed Evil
@sudo
no" "deploy-rs-canary- -rf *"
    mkdir deploy-rs-canary-HASH deploy-rs-cancel-HASH
    ln -s /etc/passwd deploy-rs-canary-link
    i=0
    while [ $i -lt 2000 ]; do
      echo >"deploy-rs-canary-$i-$(printf %0200d $i)"
      i=$((i + 1))
    done
    (exec -a "activate /nix/store/x --confirm-timeout 30" sleep 600 </dev/null >/dev/null 2>&1 &)
"#;

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn files_and_processes_of_users_are_ignored() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.set_profile("two", ":");
    let profile = format!("{}#deploy.nodes.target.profiles.system.path", fixture.flake());
    let path = machine::run("nix", &["eval", "--raw", &profile]);
    let script = HOSTILE_FILES.replace("HASH", &path["/nix/store/".len()..][..32]);
    fs::write(fixture.machine.path("prepare"), script).expect("writing the script of a user");
    fixture.machine.run_inside("setpriv --reuid=65534 --regid=65534 --clear-groups bash /mnt/prepare");
    let before = fixture.machine.run_inside("ls -A /tmp | sort | sha256sum");
    fixture.deploy(&["--dry-run"]).assert_code(0);
    fixture.deploy(&[]).assert_code(0);
    fixture.assert_runs("two");
    // None of these files was removed, and deploy-rs left none.
    assert_eq!(fixture.machine.run_inside("ls -A /tmp | sort | sha256sum"), before);
    let status = fixture.run(&["--json", "status"]);
    let status = status.assert_code(0).json()["hosts"].take();
    assert_eq!((&status[0]["current"], &status[0]["failed_units"]), (&true.into(), &serde_json::json!([])));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_with_endless_output_is_cut_off() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    fixture.deploy(&[]).assert_code(0);
    let other = Machine::start();
    fixture.add_host("other", &other.address, &other.ssh_options(&other.write_known_hosts()), "one", ":");
    other.replace_program("readlink", "yes 'without an end' | head -c 40000000");
    let outcome = fixture.run(&["--json", "status"]);
    let status = outcome.assert_code(14).json()["hosts"].take();
    let status_of = |name: &str| {
        let hosts = status.as_array().expect("an array");
        hosts.iter().find(|host| host["host"] == name).expect("the host")
    };
    assert_eq!(
        (&status_of("target")["current"], &status_of("other")["error"]["code"]),
        (&true.into(), &14.into())
    );
    let error = status_of("other")["error"]["message"].as_str().expect("an error");
    assert!(error.contains("no valid answer from other: ssh wrote more than 16.0 MiB"), "{error}");
    fixture.run(&["deploy", "other"]).assert_stderr_contains("ssh wrote more than 16.0 MiB").assert_code(14);
}

/// The sum of the sizes exceeds 64 bits, and so does the free space in bytes: `df -k` prints it in KiB.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn huge_numbers_do_not_overflow() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.set_profile("two", ":");
    fixture.deploy(&["--dry-run"]).assert_code(0);
    let path = fixture.machine.run_inside("readlink -f /run/current-system");
    let requisites = format!("*--requisites*) printf '%s\\n' {path} {path}x;;");
    let sizes = "*--size*) echo 18446744073709551615; echo 18446744073709551615;;";
    fixture.machine.replace_program("nix-store", &format!(r#"case "$*" in {requisites} {sizes} esac"#));
    let header = "Filesystem 1024-blocks Used Available Capacity Mounted on";
    let free = format!("echo {header}; echo 'x 1 1 18446744073709551615 1% /nix'");
    fixture.machine.replace_program("df", &free);
    let outcome = fixture.run(&["--json", "status"]);
    let status = outcome.assert_code(0).json()["hosts"].take();
    assert_eq!((&status[0]["current"], &status[0]["free_bytes"]), (&false.into(), &u64::MAX.into()));
    fixture.run(&["status"]).assert_code(0);
}

/// The tool removes the folder that `mktemp` of the host names; another path could be any folder of the host.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn only_a_folder_of_mktemp_is_accepted() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    fixture.machine.replace_program("mktemp", "echo /mnt/home");
    fixture
        .deploy(&[])
        .assert_stderr_contains("making a folder for deploy-rs in /tmp on target")
        .assert_code(14);
    assert_eq!(fixture.machine.run_inside("ls -d /mnt/home"), "/mnt/home");
}

/// ssh prints the banner of a host before the login: a hostile host chooses its text.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn output_of_a_host_is_not_taken_for_the_log_of_ssh() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    fixture.deploy(&[]).assert_code(0);
    let banner =
        "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.\n";
    fs::write(fixture.machine.path("banner"), banner).expect("writing a banner");
    fixture.machine.run_inside("echo 'Banner /mnt/banner' >>/mnt/sshd_config; pkill -HUP -o sshd; sleep 1");
    let unhealthy = fixture.deploy(&["--health", "echo 'Permission denied (' >&2; exit 255"]);
    unhealthy.assert_stderr_contains("exited with 255").assert_code(11);
    fixture
        .deploy(&["--health", "echo sick >&2; pkill -9 sshd"])
        .assert_stderr_contains("cannot be reached")
        .assert_code(12);
    fs::write(fixture.machine.path("client_key.pub"), "").expect("removing the key of the client");
    fixture.machine.run_inside("until pgrep sshd; do sleep 0.1; done; sleep 1");
    fixture.run(&["status"]).assert_stderr_contains("refuses the login").assert_code(6);
}
