//! The plan, and the other ways to activate a system.

use std::time::Duration;

use crate::scene::Scene;

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_plan_shows_the_changes() {
    let scene = Scene::new();
    scene.set_profile("system-1", ":");
    scene.edit(|facts| facts["packages"] = ["curl-8.1", "nano-7.2"].into());
    let first = scene.deploy(&["--dry-run"]);
    first.says("note  automatic rollback is not possible: there is no generation to roll back to");
    assert!(first.exits(0).starts_with("target would run /nix/store/"), "{}", first.stdout);
    assert_eq!(scene.machine.inside("ls /nix"), "", "a dry run copied something");
    scene.deploy(&[]).exits(0);
    scene.set_profile("system-2", ":");
    scene.edit(|facts| facts["packages"] = ["curl-8.2", "vim-9.1", "zlib-1.3"].into());
    let words = "2 added, 1 removed, 2 in other versions, 0 rebuilt; 12.0 MiB (+4.0 MiB)";
    let dry = scene.deploy(&["--dry-run"]);
    dry.says(words).says("\n          curl 8.1 -> 8.2\n").says("\n        - nano 7.2 (-4.0 MiB)\n");
    assert!(dry.exits(0).ends_with(&format!("{words}\n")), "{}", dry.stdout);
    scene.assert_runs("system-1");
    let done = scene.deploy(&["--json"]);
    let json: serde_json::Value = serde_json::from_str(done.exits(0)).expect("JSON");
    assert_eq!(json["diff"]["packages"][0]["to"][0], "8.2");
    scene.assert_runs("system-2");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_system_for_the_next_boot() {
    let scene = Scene::new();
    scene.set_profile("old-profile", ":");
    scene.is_nixos("old", "old");
    scene.deploy(&[]).exits(0);
    scene.set_profile("new-profile", ":");
    scene.is_nixos("new", "new");
    let set = scene.deploy(&["--boot"]);
    set.says("against deploy.nodes.target: it is what boots");
    assert!(set.exits(0).ends_with("-new from its next boot on\n"), "{}", set.stdout);
    assert!(scene.machine.inside("readlink -f /run/current-system").ends_with("-old"));
    assert!(scene.deploy(&["--boot"]).exits(0).ends_with("-new from its next boot on\n"));
    let rebooted = scene.deploy(&["--boot", "--reboot"]);
    rebooted.says("rebooting target");
    assert!(rebooted.exits(0).ends_with("-new\n"), "{}", rebooted.stdout);
    assert!(scene.machine.inside("readlink -f /run/booted-system").ends_with("-new"));
    let again = scene.deploy(&["--reboot"]);
    assert!(again.exits(0).starts_with("target already runs ") && !again.stderr.contains("rebooting"));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_new_kernel_needs_a_reboot() {
    let scene = Scene::new();
    scene.set_profile("old-profile", ":");
    scene.is_nixos("old", "old");
    scene.deploy(&["--reboot"]).exits(0);
    scene.set_profile("new-profile", ":");
    scene.is_nixos("new", "new");
    scene.edit(|facts| facts["kernel"] = "linux-6.2".into());
    let switched = scene.deploy(&["--json"]);
    switched.says("linux 6.1 -> 6.2");
    let json: serde_json::Value = serde_json::from_str(switched.exits(0)).expect("JSON");
    assert_eq!(json["verdict"], "reboot_needed");
    assert!(scene.deploy(&[]).exits(0).contains("and needs a reboot"));
    scene.deploy(&["--reboot"]).says("rebooting target").exits(0);
    assert!(scene.deploy(&[]).exits(0).starts_with("target already runs "));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_activation_that_needs_a_reboot() {
    let scene = Scene::new();
    scene.set_profile("good", ":");
    scene.deploy(&[]).exits(0);
    scene.set_profile("init", "echo 'until you reboot the system.' >&2; exit 100");
    scene.deploy(&[]).says("deploy again with `--boot --reboot`").says("target rolled back to").exits(10);
    scene.assert_runs("good");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn health_checks_run_at_the_end() {
    let scene = Scene::new();
    scene.set_profile("one", ":");
    let sick = scene.deploy(&["--health", "test -e /run/current-system", "--health", "echo sick; exit 3"]);
    sick.says("but failed a health check: `echo sick; exit 3` exited with 3\n  | sick\n").exits(11);
    scene.assert_runs("one");
    scene.deploy(&["--health", "true"]).exits(0);
    scene.deploy(&["--health", "false"]).exits(11);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_that_was_just_flashed_is_waited_for() {
    let mut scene = Scene::new();
    scene.options = ["-o", "ConnectTimeout=1"].map(str::to_owned).to_vec();
    scene.set_profile("one", ":");
    scene.machine.inside("ip link set eth0 down");
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(3));
            scene.machine.inside("ip link set eth0 up");
        });
        scene.deploy(&["--wait"])
    });
    outcome
        .says("target does not answer yet: insert the card and power it on (waiting up to 10 min")
        .exits(0);
    scene.assert_runs("one");
    scene.machine.inside("ip link set eth0 down");
    let stopped = scene.sandbox.interrupt_at(
        &["--flake", &scene.flake(), "deploy", "target", "--wait", "--boot"],
        "does not answer yet",
    );
    stopped.says("stopped while waiting for target").exits(130);
    let late = scene.deploy(&["--wait=1", "--boot"]);
    late.says("error: waiting 60 s for target: target cannot be reached as root@10.").exits(12);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn deploys_leave_receipts() {
    let scene = Scene::new();
    scene.set_profile("good", ":");
    scene.deploy(&[]).exits(0);
    scene.set_profile("bad", "exit 4");
    scene.deploy(&[]).exits(10);
    let history = scene.run(&["history", "target"]);
    let lines = history.exits(0).lines().collect::<Vec<_>>();
    assert!(lines[0].starts_with("WHEN ") && lines.len() == 3, "{lines:?}");
    assert!(lines[1].contains("  deploy  target  done ") && lines[1].ends_with("-good"), "{lines:?}");
    assert!(lines[2].contains("  deploy  target  rolled back ") && lines[2].ends_with("-bad"), "{lines:?}");
    let json: serde_json::Value =
        serde_json::from_str(scene.run(&["--json", "history"]).exits(0)).expect("JSON");
    assert_eq!((&json[1]["exit_code"], &json[1]["kind"]), (&10.into(), &"deploy".into()));
    assert_eq!(json[0]["to"], json[1]["from"]);
    assert_eq!(scene.run(&["--json", "history", "nobody"]).exits(0), "[]\n");
}
