//! Trials of new systems: a host that reboots into a bad system goes back to the old one by itself.

use std::fs;

use serde_json::Value;
use xtask::base::program_file;

use crate::fixture::Fixture;

/// Replaces `boot-trial` of the host with a program that prints `status`.
pub fn fake_trial_status(fixture: &Fixture, status: &str) {
    let file = fixture.machine.path("bin/boot-trial");
    program_file::write(&file, format!("#!/bin/sh\ncat <<'END'\n{status}END\n"), 0o755).expect("writing");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn status_shows_and_escapes_the_trial_of_a_host() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    fixture.deploy(&[]).assert_code(0);
    let without = fixture.run(&["--json", "status"]).json()["hosts"].take();
    assert_eq!(without[0]["trial"], Value::Null);
    let new = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-new";
    let pending = format!("version=1\nmissing=\npending={new}\nby=self\nwithin=600\nlast-outcome=blessed\n");
    fake_trial_status(&fixture, &pending);
    let table = fixture.run(&["status"]);
    table.assert_stderr_contains(format!("the next boot of target tries {new}")).assert_code(0);
    assert!(table.stdout.contains("  TRIAL  ") && table.stdout.contains("  pending  "), "{}", table.stdout);
    fake_trial_status(
        &fixture,
        "version=1\nmissing=\x1b[2J\u{202e}x\nlast-outcome=rolled-back\nlast-reason=a\x1b]0;b\x07\n",
    );
    let hostile = fixture.run(&["status"]);
    hostile
        .assert_stderr_contains("without a trial: \\u{1b}[2J\\u{202e}x; ")
        .assert_stderr_contains("and went back: a\\u{1b}]0;b\\u{7}\n")
        .assert_code(0);
    fake_trial_status(&fixture, &pending);
    let json = fixture.run(&["--json", "status"]).json()["hosts"].take();
    assert_eq!((&json[0]["trial"]["pending"], &json[0]["trial"]["by"]), (&new.into(), &"self".into()));
}

/// A fixture whose host has trials and runs the blessed system `old`; the flake has the system `new`.
pub fn fixture_with_trials() -> Fixture {
    let fixture = Fixture::new();
    fixture.machine.add_trials().expect("adding trials");
    fixture.set_profile("old-profile", ":");
    fixture.set_nixos("old", "old");
    fixture.deploy(&["--reboot"]).assert_code(0);
    fixture.set_profile("new-profile", ":");
    fixture.set_nixos("new", "new");
    fixture
}

/// Adds the check `name` to those that the host itself runs during a trial.
pub fn add_check(fixture: &Fixture, name: &str, script: &str) {
    let file = fixture.machine.path("trial/checks").join(name);
    program_file::write(&file, format!("#!/bin/sh\n{script}\n"), 0o755).expect("writing a check");
}

/// Asserts the names of the system that the host has booted and of the one that its menu starts by default, read
/// without the tool.
#[track_caller]
pub fn assert_booted_and_next(fixture: &Fixture, booted: &str, next: &str) {
    let paths = fixture.machine.run_inside(
        "readlink -f /run/booted-system; menu=/nix/boot/extlinux/extlinux.conf; . /mnt/trial/lib/menu.sh
         system_of \"$(default_label)\"",
    );
    let names = paths.lines().map(|line| line.rsplit('-').next().unwrap_or_default());
    assert!(names.eq([booted, next]), "{paths}");
}

/// Runs the tool with `--json ARGS`, and returns its result whatever its exit code.
pub fn run_json(fixture: &Fixture, args: &[&str]) -> Value {
    fixture.run(&[&["--json"], args].concat()).json()
}

/// Like [`run_json`] for a deploy of one host. Returns the result of the host.
pub fn deploy_json(fixture: &Fixture, args: &[&str]) -> Value {
    run_json(fixture, args)["hosts"][0].take()
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_good_system_is_blessed_after_its_reboot() {
    let fixture = fixture_with_trials();
    let done = fixture.deploy(&["--reboot", "--health", "test -e /run/booted-system"]);
    done.assert_stderr_contains("note  target tries the new system once, and goes back by itself")
        .assert_stderr_contains("rebooting target: this boot tries /nix/store/")
        .assert_code(0);
    assert!(done.stdout.starts_with("target runs ") && done.stdout.ends_with("-new\n"), "{}", done.stdout);
    assert_booted_and_next(&fixture, "new", "new");
    let status = run_json(&fixture, &["status"]);
    assert_eq!(status["hosts"][0]["trial"]["last"]["outcome"], "blessed");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_power_cut_after_the_menu_of_a_blessing_is_no_rollback() {
    let fixture = fixture_with_trials();
    fixture.deploy(&["--reboot"]).assert_code(0);
    let status = fixture.machine.run_inside(
        "cd /nix/boot/trial; rm outcome blessed
         printf 'system=%s\\nby=deployer\\narmed-in=before\\n' $(readlink -f /run/booted-system) >record
         /mnt/bin/boot-trial health; /mnt/bin/boot-trial status | grep -e ^last-outcome -e ^pending; wc -l <blessed",
    );
    assert_eq!(status, "pending=\nlast-outcome=blessed\n1");
    assert_booted_and_next(&fixture, "new", "new");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_system_that_does_not_boot_is_rolled_back_across_the_reboot() {
    let fixture = fixture_with_trials();
    fs::write(fixture.machine.path("trial/fault"), ":").expect("writing");
    let result = deploy_json(&fixture, &["deploy", "target", "--reboot"]);
    assert_eq!(
        (&result["verdict"], &result["error"]["code"]),
        (&"rolled_back_across_reboot".into(), &10.into())
    );
    assert_eq!(result["after"]["trial"]["last"]["marks"], serde_json::json!(["begun"]));
    assert_booted_and_next(&fixture, "old", "old");
    let again = fixture.deploy(&["--reboot"]);
    again
        .assert_stderr_contains("target rolled back across the reboot to /nix/store/")
        .assert_stderr_contains(
            "-new was not kept: the host recorded no reason; its boot reached the mark `begun`",
        )
        .assert_code(10);
    let status = fixture.run(&["status"]);
    status.assert_stderr_contains("target rolled back across a reboot: it tried /nix/store/").assert_code(0);
    assert!(status.stdout.contains("  rolled back  "), "{}", status.stdout);
    let history = fixture.run(&["history"]).assert_code(0).stdout.clone();
    assert!(history.contains("  rolled back across reboot  "), "{history}");
    fs::remove_file(fixture.machine.path("trial/fault")).expect("mending");
    fixture.deploy(&["--reboot"]).assert_code(0);
    assert_booted_and_next(&fixture, "new", "new");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_failed_health_check_sends_the_host_back() {
    let fixture = fixture_with_trials();
    let outcome = fixture.deploy(&["--reboot", "--health", "echo sick; exit 3"]);
    outcome
        .assert_stderr_contains("-new was not kept: the deployer's check `echo sick; exit 3` exited with 3")
        .assert_code(10);
    assert_booted_and_next(&fixture, "old", "old");
    add_check(&fixture, "sick", "exit 1");
    fixture
        .deploy(&["--reboot"])
        .assert_stderr_contains("-new was not kept: the check sick failed")
        .assert_code(10);
    assert_booted_and_next(&fixture, "old", "old");
}

/// Nobody can log in to the new system: the tool waits until the host is back.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_system_that_locks_the_deployer_out_is_rolled_back() {
    let fixture = fixture_with_trials();
    let sshd = "sed s,/mnt/client_key.pub,/dev/null, /mnt/sshd_config >/tmp/sshd_config
        /usr/sbin/sshd -D -f /tmp/sshd_config";
    fs::write(fixture.machine.path("trial/fault"), sshd).expect("writing");
    fs::write(fixture.machine.path("trial/within"), "4").expect("writing");
    let outcome = fixture.deploy(&["--reboot"]);
    outcome.assert_stderr_contains("-new was not kept: not blessed within 4 s").assert_code(10);
    assert_booted_and_next(&fixture, "old", "old");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn deploy_boot_lets_the_next_boot_try_the_system() {
    let fixture = fixture_with_trials();
    let planned = fixture.deploy(&["--boot"]);
    let words = "-new at its next boot, and keeps it if its own checks pass\n";
    assert!(planned.assert_code(0).stdout.ends_with(words), "{}", planned.stdout);
    assert_booted_and_next(&fixture, "old", "old");
    assert_eq!(deploy_json(&fixture, &["deploy", "target", "--boot"])["verdict"], "on_trial");
    fixture.deploy(&["--boot", "--reboot"]).assert_code(0);
    assert_booted_and_next(&fixture, "new", "new");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_switch_to_a_new_kernel_offers_the_trial() {
    let fixture = fixture_with_trials();
    fixture.edit(|facts| facts["kernel"] = "linux-6.2".into());
    let switched = fixture.deploy(&[]);
    switched
        .assert_stderr_contains(
            "the next boot of target tries the new system, and keeps it if its own checks pass",
        )
        .assert_stderr_contains(format!(
            "next: cargo xtask --flake {} deploy target --reboot\n  starts what was deployed\n",
            fixture.flake()
        ))
        .assert_code(0);
    assert_booted_and_next(&fixture, "old", "old");
    fixture.deploy(&["--reboot"]).assert_code(0);
    assert_booted_and_next(&fixture, "new", "new");
    assert!(!fixture.deploy(&[]).assert_code(0).stderr.contains("--reboot"));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_that_cannot_try_a_system_reboots_only_with_keep_firmware() {
    let fixture = fixture_with_trials();
    fs::remove_file(fixture.machine.path("trial/firmware/boot.scr")).expect("removing");
    for goal in ["--reboot", "--boot"] {
        let refused = fixture.deploy(&[goal]);
        refused
            .assert_stderr_contains(
                "error: target cannot try the new system: boot.scr on FIRMWARE is missing or outdated",
            )
            .assert_code(3);
    }
    assert_booted_and_next(&fixture, "old", "old");
    let outcome = fixture.deploy(&["--reboot", "--keep-firmware"]);
    outcome
        .assert_stderr_contains(
            "target boots new systems without a trial: boot.scr on FIRMWARE is missing or outdated",
        )
        .assert_code(0);
    assert_booted_and_next(&fixture, "new", "new");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_without_trials_reboots_with_a_note() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    let without = fixture.deploy(&["--reboot"]);
    without.assert_stderr_contains("note  target has no trials: if the new system").assert_code(0);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_system_on_trial_is_blessed_by_hand() {
    let fixture = fixture_with_trials();
    fixture.deploy(&["--bless"]).assert_stdout_contains("target already keeps /nix/store/").assert_code(0);
    fixture.deploy(&["--boot"]).assert_code(0);
    fixture.machine.run_inside("cd / && PATH=/mnt/bin:$PATH; boot-trial arm deployer && systemctl reboot");
    // The host may still be booting.
    let refused = fixture.deploy(&["--wait=1"]);
    refused
        .assert_stderr_contains(format!(
            "-new is on trial on target\nhint: run `cargo xtask --flake {} deploy target --bless` to keep it",
            fixture.flake()
        ))
        .assert_code(3);
    fixture.deploy(&["--abort-trial"]).assert_stderr_contains("only a reboot ends its trial").assert_code(3);
    assert_booted_and_next(&fixture, "new", "old");
    let status = fixture.run(&["status"]);
    status.assert_stderr_contains("goes back unless a deployer blesses it within 600 s").assert_code(0);
    assert!(status.stdout.contains("  on trial  "), "{}", status.stdout);
    let blessed = fixture.deploy(&["--bless"]);
    blessed
        .assert_stderr_contains("bless the system on trial on target as root@")
        .assert_stdout_contains("-new, and boots it by default\n")
        .assert_code(0);
    assert_booted_and_next(&fixture, "new", "new");
    let history = fixture.run(&["history"]).assert_code(0).stdout.clone();
    assert!(history.contains("  deploy  target  blessed  "), "{history}");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_trial_is_aborted_before_its_boot() {
    let fixture = fixture_with_trials();
    fixture.deploy(&["--boot"]).assert_code(0);
    let aborted = deploy_json(&fixture, &["deploy", "target", "--abort-trial"]);
    assert_eq!(
        (&aborted["verdict"], &aborted["trial"]["after"]["pending"]),
        (&"aborted".into(), &Value::Null)
    );
    fixture.deploy(&["--abort-trial"]).assert_stdout_contains("target has nothing to try").assert_code(0);
    fixture.machine.run_inside("PATH=/mnt/bin:$PATH systemctl reboot");
    // The profile is the new one, but it is not what boots: a deploy tries it again.
    let again = fixture.deploy(&["--wait=1", "--boot"]);
    assert!(again.assert_code(0).stdout.contains("-new at its next boot"), "{}", again.stdout);
    assert_booted_and_next(&fixture, "old", "old");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_blessing_needs_one_host_with_trials() {
    let without = Fixture::new();
    without.set_profile("one", ":");
    without.deploy(&["--bless"]).assert_stderr_contains("target has no trials").assert_code(3);
    without.deploy(&["target2", "--bless"]).assert_stderr_contains("2 hosts are named").assert_code(2);
}
