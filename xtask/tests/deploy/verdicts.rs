//! The verdict of a deploy, which does not depend on what deploy-rs reports.

use std::fs;

use crate::fixture::Fixture;
use crate::machine::real_program;

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_second_deploy_of_the_same_system_does_nothing() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    let first = fixture.deploy(&[]);
    assert!(first.assert_code(0).stdout.starts_with("target runs /nix/store/"), "{}", first.stdout);
    assert!(!first.stderr.contains("\n  | "), "{}", first.stderr);
    fixture.assert_runs("one");
    let again = fixture.deploy(&[]);
    assert!(again.assert_code(0).stdout.starts_with("target already runs /nix/store/"), "{}", again.stdout);
    let work = ["     build  ", "      copy  "];
    let has_worked = work.iter().any(|text| again.stderr.contains(text));
    assert!(!has_worked, "something was done: {}", again.stderr);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_failed_activation_is_rolled_back() {
    let fixture = Fixture::new();
    fixture.set_profile("good", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.set_profile("bad", "exit 4");
    let failed = fixture.deploy(&[]);
    failed.assert_stderr_contains("target rolled back to /nix/store/").assert_code(10);
    // Only a failure shows the lines of deploy-rs; the log has them in any case.
    failed.assert_stderr_contains("\n  | ").assert_stderr_contains("Activation");
    failed.assert_stderr_contains("hint: mend the configuration, then deploy again; `cargo xtask ");
    failed.assert_stderr_contains(format!(" {} journalctl -b -n 100` may know more\n", fixture.login()));
    let log = fixture.sandbox.run(&["log", "target"]);
    log.assert_stdout_contains("] $ deploy --skip-checks ")
        .assert_stdout_contains("Revoking previous deploys");
    fixture.assert_runs("good");
}

/// deploy-rs ends as soon as it hears that the activation failed, while the host goes back and prints what it does.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_rollback_that_deploy_rs_does_not_wait_for_comes_to_its_end() {
    let fixture = Fixture::new();
    fixture.set_profile("good", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.set_profile("bad", "exit 4");
    let nix_env = real_program("nix-env");
    let slow =
        format!("case \"$*\" in *--rollback*) sleep 3; echo going back >&2;; esac; exec {nix_env} \"$@\"");
    fixture.machine.replace_program("nix-env", &slow);
    fixture.deploy(&[]).assert_stderr_contains("target rolled back to /nix/store/").assert_code(10);
    fixture.assert_runs("good");
    let generations = fixture.machine.run_inside("ls /nix/var/nix/profiles | grep system-");
    assert_eq!(generations, "system-1-link");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_activation_that_cuts_the_network_is_rolled_back() {
    let fixture = Fixture::new();
    fixture.set_profile("good", "ip link set eth0 up");
    fixture.deploy(&[]).assert_code(0);
    fixture.set_profile("deaf", "ip link set eth0 down");
    let outcome = fixture.deploy(&[]);
    outcome.assert_stderr_contains("target rolled back to /nix/store/").assert_code(10);
    fixture.assert_runs("good");
}

/// The connection that deploy-rs activates over stays open: only the confirmation, over a new one, finds out.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_activation_that_locks_the_deployer_out_is_rolled_back() {
    let fixture = Fixture::new();
    fixture.set_profile("open", "cd /mnt; if [ -e key.off ]; then mv key.off client_key.pub; fi");
    fixture.deploy(&[]).assert_code(0);
    fixture.set_profile("locked", "mv /mnt/client_key.pub /mnt/key.off");
    let outcome = fixture.deploy(&[]);
    outcome.assert_stderr_contains("target rolled back to /nix/store/").assert_code(10);
    outcome.assert_stderr_contains("Permission denied");
    fixture.assert_runs("open");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_stale_canary_deceives_deploy_rs_but_not_the_verdict() {
    let fixture = Fixture::new();
    fixture.set_profile("good", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.set_profile("bad", "sleep 1; exit 4");
    fixture.leave_canary();
    let (code, output) = fixture.run_deploy_rs_alone();
    assert_eq!(code, 0, "deploy-rs is not deceived any more: {output}");
    assert!(output.contains("Deployment confirmed."), "{output}");
    fixture.machine.wait_for_the_end_of_activations();
    fixture.assert_runs("good");
    let canary = fixture.leave_canary();
    fixture.deploy(&[]).assert_stderr_contains("target rolled back to /nix/store/").assert_code(10);
    fixture.assert_runs("good");
    // The tool lets deploy-rs work in another folder.
    assert_eq!(fixture.machine.run_inside(&format!("ls {canary}")), canary);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn failed_units_fail_the_deploy() {
    let fixture = Fixture::new();
    fixture.set_profile("ill", "echo 'octoprint.service loaded failed failed OctoPrint' >/mnt/failed-units");
    let failed = fixture.deploy(&[]);
    failed.assert_stderr_contains("but units have failed: octoprint.service").assert_code(11);
    fixture.assert_runs("ill");
    let again = fixture.deploy(&[]);
    again
        .assert_stderr_contains("but is degraded by units that had failed before: octoprint.service")
        .assert_code(11);
    for outcome in [&failed, &again] {
        outcome.assert_stderr_contains("hint: `ssh ");
        outcome.assert_stderr_contains(format!(" {} systemctl status --failed` shows why", fixture.login()));
        // deploy-rs did what it was to do.
        assert!(!outcome.stderr.contains("\n  | "), "{}", outcome.stderr);
    }
    let status = fixture.run(&["status"]);
    status.assert_code(0).assert_stderr_contains("next: ssh ");
    status.assert_stderr_contains(" systemctl status --failed\n  shows why units have failed\n");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn without_systemd_failed_units_are_unknown() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    // Without the fake, the host runs the systemctl of this machine, if there is one: it finds no systemd there.
    fs::remove_file(fixture.machine.path("bin/systemctl")).expect("removing systemctl");
    let outcome = fixture.deploy(&[]);
    outcome
        .assert_stderr_contains("the failed units of target are unknown: no systemd answers there\n")
        .assert_code(0);
    fixture.assert_runs("one");
    let row = fixture.run(&["status"]).assert_code(0).stdout.lines().nth(1).expect("a row").to_owned();
    assert!(row.contains("  unknown  "), "{row}");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_failed_build_leaves_the_host_unchanged() {
    let fixture = Fixture::new();
    fixture.set_profile("good", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.set_profile("broken", ":");
    fs::write(fixture.sandbox.path("flake/profile.sh"), "exit 3").expect("breaking the build");
    fixture.deploy(&[]).assert_stderr_contains("nix failed on").assert_code(1);
    fixture.assert_runs("good");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_unreachable_host_is_reported() {
    let mut fixture = Fixture::new();
    // No answer at all: ssh runs into its timeout.
    fixture.options = ["-o", "ConnectTimeout=2"].map(str::to_owned).to_vec();
    fixture.set_profile("one", ":");
    fixture.machine.run_inside("ip link set eth0 down");
    fixture.deploy(&[]).assert_stderr_contains("target cannot be reached as root@10.").assert_code(12);
    // Nothing listens on port 1: the connection is refused.
    fixture.options = ["-p", "1"].map(str::to_owned).to_vec();
    fixture.set_profile_at("127.0.0.1", "one", ":");
    fixture.deploy(&[]).assert_stderr_contains("target cannot be reached as root@127.0.0.1").assert_code(12);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn another_host_key_is_refused() {
    let mut fixture = Fixture::new();
    let address = &fixture.machine.address;
    // The client's key stands for a key that the host does not have.
    let key = fs::read_to_string(fixture.machine.path("client_key.pub"));
    fixture.known_hosts = fixture.machine.path("wrong_hosts");
    fs::write(&fixture.known_hosts, format!("{address} {}", key.expect("reading a key"))).expect("writing");
    fixture.set_profile("one", ":");
    fixture
        .deploy(&[])
        .assert_stderr_contains("\nhint: if its card was flashed again with new keys")
        .assert_code(13);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_unknown_host_key_is_refused() {
    let mut fixture = Fixture::new();
    fixture.known_hosts = fixture.machine.path("no_hosts");
    fs::write(&fixture.known_hosts, "").expect("writing known_hosts");
    fixture.set_profile("one", ":");
    fixture.deploy(&[]).assert_stderr_contains("the host key of target is not known here").assert_code(13);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn only_the_pinned_host_key_is_accepted() {
    let mut fixture = Fixture::new();
    fixture.pin_key("host_key.pub");
    fixture.set_profile("one", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.assert_runs("one");
    // The client's key stands for a key that the host does not have.
    fixture.pin_key("client_key.pub");
    fixture.set_profile("two", ":");
    let outcome = fixture.deploy(&[]);
    outcome
        .assert_stderr_contains("\nhint: if someone flashed the card")
        .assert_stderr_contains("if this is not your host")
        .assert_code(13);
    fixture.assert_runs("one");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_unknown_host_is_a_usage_error() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    let outcome = fixture.run(&["deploy", "targte"]);
    outcome
        .assert_stderr_contains("has no deploy node 'targte' (nodes: target)\nhint: did you mean 'target'?")
        .assert_code(2);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_verdict_compares_the_running_system_with_the_flake() {
    let fixture = Fixture::new();
    fixture.set_profile("profile", ":");
    fixture.set_nixos("nixos-one", "nixos-one");
    let outcome = fixture.deploy(&[]);
    outcome
        .assert_stderr_contains("with nixosConfigurations.target, and")
        .assert_stderr_contains("  to    /nix/store/");
    assert!(outcome.assert_code(0).stdout.ends_with("-nixos-one\n"), "{}", outcome.stdout);
    fixture.set_nixos("nixos-two", "nixos-one");
    fixture
        .deploy(&[])
        .assert_stderr_contains("-nixos-two, which is not nixosConfigurations.target")
        .assert_code(10);
    fixture.set_nixos("nixos-two", "nixos-two");
    assert!(fixture.deploy(&[]).assert_code(0).stdout.starts_with("target already runs /nix/store/"));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_interrupted_deploy_reports_what_the_host_runs() {
    let fixture = Fixture::new();
    fixture.set_profile("good", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.set_profile("slow", "sleep 3");
    let flake = fixture.flake();
    let outcome = fixture
        .sandbox
        .xtask(&["--flake", &flake, "deploy", "target", "-v"])
        .interrupt_at("Activating profile `");
    outcome
        .assert_stderr_contains("stopped; reading what target runs")
        .assert_stderr_contains("target rolled back to /nix/store/")
        .assert_stderr_contains(" was not kept, as the run was stopped\nhint: deploy again: ")
        .assert_code(10);
    fixture.assert_runs("good");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_first_deploy_after_a_flash_can_roll_back() {
    let fixture = Fixture::new();
    fixture.set_profile("profile", ":");
    fixture.set_nixos("flashed", "flashed");
    fixture.install_without_deploy_rs(&fixture.machine.ssh_options(&fixture.known_hosts).join(" "));
    fixture.set_profile("deaf-profile", "ip link set eth0 down");
    fixture.set_nixos("deaf", "deaf");
    let outcome = fixture.deploy(&[]);
    outcome.assert_stderr_contains(
        "note  deploy-rs rolls back only to systems that it deployed: the tool first adds a generation of the current \
         system to which deploy-rs can roll back\n",
    );
    outcome.assert_stderr_contains("target rolled back to /nix/store/").assert_code(10);
    assert!(fixture.machine.run_inside("readlink -f /run/current-system").ends_with("-flashed"));
    fixture.set_profile("good-profile", ":");
    fixture.set_nixos("good", "good");
    let good = fixture.deploy(&[]);
    assert!(
        good.assert_code(0).stdout.ends_with("-good\n") && !good.stderr.contains("note  "),
        "{}",
        good.stderr
    );
}
