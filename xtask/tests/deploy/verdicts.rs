//! The verdict of a deploy, whatever deploy-rs reports.

use std::fs;

use crate::machine;
use crate::scene::Scene;

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_second_deploy_of_the_same_system_does_nothing() {
    let scene = Scene::new();
    scene.set_profile("one", ":");
    let first = scene.deploy(&[]);
    assert!(first.assert_code(0).stdout.starts_with("target runs /nix/store/"), "{}", first.stdout);
    scene.assert_runs("one");
    let again = scene.deploy(&[]);
    assert!(again.assert_code(0).stdout.starts_with("target already runs /nix/store/"), "{}", again.stdout);
    let work = ["[deploy]", "     build  ", "      copy  "];
    let has_worked = work.iter().any(|text| again.stderr.contains(text));
    assert!(!has_worked, "something was done: {}", again.stderr);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_failing_activation_is_a_rollback() {
    let scene = Scene::new();
    scene.set_profile("good", ":");
    scene.deploy(&[]).assert_code(0);
    scene.set_profile("bad", "exit 4");
    scene.deploy(&[]).assert_stderr_contains("target rolled back to /nix/store/").assert_code(10);
    scene.assert_runs("good");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_activation_that_cuts_the_network_is_rolled_back() {
    let scene = Scene::new();
    scene.set_profile("good", "ip link set eth0 up");
    scene.deploy(&[]).assert_code(0);
    scene.set_profile("deaf", "ip link set eth0 down");
    let outcome = scene.deploy(&[]);
    outcome.assert_stderr_contains("target rolled back to /nix/store/").assert_code(10);
    scene.assert_runs("good");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_stale_canary_deceives_deploy_rs_but_not_the_verdict() {
    let scene = Scene::new();
    scene.set_profile("good", ":");
    scene.deploy(&[]).assert_code(0);
    scene.set_profile("bad", "sleep 1; exit 4");
    scene.leave_canary();
    let (code, output) = scene.bare_deploy_rs();
    assert_eq!(code, 0, "deploy-rs is not deceived any more: {output}");
    assert!(output.contains("Deployment confirmed."), "{output}");
    scene.machine.wait_for_the_end_of_activations();
    scene.assert_runs("good");
    let canary = scene.leave_canary();
    scene.deploy(&[]).assert_stderr_contains("target rolled back to /nix/store/").assert_code(10);
    scene.assert_runs("good");
    // The tool makes deploy-rs work in another folder.
    assert_eq!(scene.machine.inside(&format!("ls {canary}")), canary);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn failed_units_fail_the_deploy() {
    let scene = Scene::new();
    scene.set_profile("ill", "echo 'octoprint.service loaded failed failed OctoPrint' >/mnt/failed-units");
    scene.deploy(&[]).assert_stderr_contains("but units have failed: octoprint.service").assert_code(11);
    scene.assert_runs("ill");
    let again = scene.deploy(&[]);
    again
        .assert_stderr_contains("but is degraded: units that failed before still are: octoprint.service")
        .assert_code(11);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn without_systemd_failed_units_are_unknown() {
    let scene = Scene::new();
    scene.set_profile("one", ":");
    // Then either the systemctl of this machine runs, which finds no systemd there, or none does.
    fs::remove_file(scene.machine.path("bin/systemctl")).expect("removing systemctl");
    let outcome = scene.deploy(&[]);
    outcome
        .assert_stderr_contains("the failed units of target are unknown: no systemd answers there\n")
        .assert_code(0);
    scene.assert_runs("one");
    let row = scene.run(&["status"]).assert_code(0).stdout.lines().nth(1).expect("a row").to_owned();
    assert!(row.contains("  unknown  "), "{row}");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_failed_build_leaves_the_host_unchanged() {
    let scene = Scene::new();
    scene.set_profile("good", ":");
    scene.deploy(&[]).assert_code(0);
    scene.set_profile("broken", ":");
    fs::write(scene.sandbox.path("flake/profile.sh"), "exit 3").expect("breaking the build");
    scene.deploy(&[]).assert_stderr_contains("nix failed on").assert_code(1);
    scene.assert_runs("good");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_unreachable_host_is_reported() {
    let mut scene = Scene::new();
    scene.options = ["-o", "ConnectTimeout=2"].map(str::to_owned).to_vec();
    scene.set_profile("one", ":");
    scene.machine.inside("ip link set eth0 down");
    scene.deploy(&[]).assert_stderr_contains("target cannot be reached as root@10.").assert_code(12);
    scene.options = ["-p", "1"].map(str::to_owned).to_vec();
    scene.set_profile_at("127.0.0.1", "one", ":");
    scene.deploy(&[]).assert_stderr_contains("target cannot be reached as root@127.0.0.1").assert_code(12);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn another_host_key_is_refused() {
    let mut scene = Scene::new();
    let address = &scene.machine.address;
    let key = fs::read_to_string(scene.machine.path("client_key.pub"));
    scene.known_hosts = scene.machine.path("wrong_hosts");
    fs::write(&scene.known_hosts, format!("{address} {}", key.expect("reading a key"))).expect("writing");
    scene.set_profile("one", ":");
    scene
        .deploy(&[])
        .assert_stderr_contains("\nhint: if its card was flashed again with new keys")
        .assert_code(13);
    fs::write(&scene.known_hosts, "").expect("emptying known_hosts");
    scene.deploy(&[]).assert_stderr_contains("the host key of target is not known here").assert_code(13);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_key_of_the_project_is_accepted() {
    let mut scene = Scene::new();
    scene.pin_key("host_key.pub");
    scene.set_profile("one", ":");
    scene.deploy(&[]).assert_code(0);
    scene.assert_runs("one");
    scene.pin_key("client_key.pub");
    scene.set_profile("two", ":");
    let outcome = scene.deploy(&[]);
    outcome
        .assert_stderr_contains("\nhint: if someone flashed the card")
        .assert_stderr_contains("if this is not your host")
        .assert_code(13);
    scene.assert_runs("one");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_unknown_host_is_a_usage_error() {
    let scene = Scene::new();
    scene.set_profile("one", ":");
    let outcome = scene.run(&["deploy", "targte"]);
    outcome
        .assert_stderr_contains("has no deploy node 'targte' (nodes: target)\nhint: did you mean 'target'?")
        .assert_code(2);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_verdict_compares_the_running_system_with_the_flake() {
    let scene = Scene::new();
    scene.set_profile("profile", ":");
    scene.set_nixos("nixos-one", "nixos-one");
    let outcome = scene.deploy(&[]);
    outcome
        .assert_stderr_contains("against nixosConfigurations.target, and")
        .assert_stderr_contains("  to    /nix/store/");
    assert!(outcome.assert_code(0).stdout.ends_with("-nixos-one\n"), "{}", outcome.stdout);
    scene.set_nixos("nixos-two", "nixos-one");
    scene
        .deploy(&[])
        .assert_stderr_contains("-nixos-two, which is not nixosConfigurations.target")
        .assert_code(10);
    scene.set_nixos("nixos-two", "nixos-two");
    assert!(scene.deploy(&[]).assert_code(0).stdout.starts_with("target already runs /nix/store/"));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_interrupted_deploy_reports_what_the_host_runs() {
    let scene = Scene::new();
    scene.set_profile("good", ":");
    scene.deploy(&[]).assert_code(0);
    scene.set_profile("slow", "sleep 3");
    let flake = scene.flake();
    let outcome =
        scene.sandbox.xtask(&["--flake", &flake, "deploy", "target"]).interrupt_at("Activating profile `");
    outcome
        .assert_stderr_contains("stopped; reading what target runs")
        .assert_stderr_contains("target rolled back to /nix/store/")
        .assert_code(10);
    scene.assert_runs("good");
}

/// The host as it is after a flash: a NixOS system that deploy-rs does not know.
fn flash(scene: &Scene, name: &str) {
    scene.set_profile("profile", ":");
    scene.set_nixos(name, name);
    let toplevel = format!("{}#nixosConfigurations.target.config.system.build.toplevel", scene.flake());
    let path = machine::run("nix", &["build", "--no-link", "--print-out-paths", &toplevel]);
    let path = path.trim();
    let options = scene.machine.ssh_options(&scene.known_hosts).join(" ");
    let store = format!("ssh://root@{}", scene.machine.address);
    machine::run(
        "env",
        &[&format!("NIX_SSHOPTS={options}"), "nix", "copy", "--no-check-sigs", "--to", &store, path],
    );
    let profile = "/nix/var/nix/profiles/system";
    scene.machine.inside(&format!("nix-env -p {profile} --set {path}; ln -s {path} /run/current-system"));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_first_deploy_after_a_flash_can_roll_back() {
    let scene = Scene::new();
    flash(&scene, "flashed");
    scene.set_profile("deaf-profile", "ip link set eth0 down");
    scene.set_nixos("deaf", "deaf");
    let outcome = scene.deploy(&[]);
    outcome.assert_stderr_contains(
        "note  deploy-rs cannot roll back to the current system, which it did not deploy: the tool first adds a \
         generation with which it can\n",
    );
    outcome.assert_stderr_contains("target rolled back to /nix/store/").assert_code(10);
    assert!(scene.machine.inside("readlink -f /run/current-system").ends_with("-flashed"));
    scene.set_profile("good-profile", ":");
    scene.set_nixos("good", "good");
    let good = scene.deploy(&[]);
    assert!(
        good.assert_code(0).stdout.ends_with("-good\n") && !good.stderr.contains("note  "),
        "{}",
        good.stderr
    );
}
