//! What is shown before anything is done, and the other ways to bring a system about.

use std::time::Duration;

use crate::scene::Scene;

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn what_changes_is_shown_first() {
    let scene = Scene::new();
    scene.means("system-1", ":");
    scene.say(|facts| facts["packages"] = ["curl-8.1", "nano-7.2"].into());
    let first = scene.deploy(&["--dry-run"]);
    first.says("note  it cannot roll back by itself: there is no generation to go back to");
    assert!(first.exits(0).starts_with("target would run /nix/store/"), "{}", first.stdout);
    assert_eq!(scene.machine.inside("ls /nix"), "", "a dry run copied something");
    scene.deploy(&[]).exits(0);
    scene.means("system-2", ":");
    scene.say(|facts| facts["packages"] = ["curl-8.2", "vim-9.1", "zlib-1.3"].into());
    let words = "2 added, 1 removed, 2 in other versions, 0 rebuilt; 12.0 MiB (+4.0 MiB)";
    let dry = scene.deploy(&["--dry-run"]);
    dry.says(words).says("\n          curl 8.1 -> 8.2\n").says("\n        - nano 7.2 (-4.0 MiB)\n");
    assert!(dry.exits(0).ends_with(&format!("{words}\n")), "{}", dry.stdout);
    scene.runs("system-1");
    let done = scene.deploy(&["--json"]);
    let json: serde_json::Value = serde_json::from_str(done.exits(0)).expect("JSON");
    assert_eq!(json["diff"]["packages"][0]["to"][0], "8.2");
    scene.runs("system-2");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_system_for_the_next_boot() {
    let scene = Scene::new();
    scene.means("old-profile", ":");
    scene.is_nixos("old", "old");
    scene.deploy(&[]).exits(0);
    scene.means("new-profile", ":");
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
    scene.means("old-profile", ":");
    scene.is_nixos("old", "old");
    scene.deploy(&["--reboot"]).exits(0);
    scene.means("new-profile", ":");
    scene.is_nixos("new", "new");
    scene.say(|facts| facts["kernel"] = "linux-6.2".into());
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
fn an_activation_that_only_a_reboot_can_bring_about() {
    let scene = Scene::new();
    scene.means("good", ":");
    scene.deploy(&[]).exits(0);
    scene.means("init", "echo 'until you reboot the system.' >&2; exit 100");
    scene.deploy(&[]).says("again with `--boot --reboot`").says("target went back to").exits(10);
    scene.runs("good");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn health_is_asked_for_in_the_end() {
    let scene = Scene::new();
    scene.means("one", ":");
    let sick = scene.deploy(&["--health", "test -e /run/current-system", "--health", "echo sick; exit 3"]);
    sick.says("but is not healthy: `echo sick; exit 3` ended with exit code 3\n  | sick\n").exits(11);
    scene.runs("one");
    scene.deploy(&["--health", "true"]).exits(0);
    scene.deploy(&["--health", "false"]).exits(11);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_that_was_just_flashed_is_waited_for() {
    let mut scene = Scene::new();
    scene.options = ["-o", "ConnectTimeout=1"].map(str::to_owned).to_vec();
    scene.means("one", ":");
    scene.machine.inside("ip link set eth0 down");
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(3));
            scene.machine.inside("ip link set eth0 up");
        });
        scene.deploy(&["--wait"])
    });
    outcome.says("target does not answer yet: insert the card, power it on (waiting up to 10 min").exits(0);
    scene.runs("one");
    scene.machine.inside("ip link set eth0 down");
    let stopped = scene.sandbox.interrupt_at(
        &["--flake", &scene.flake(), "deploy", "target", "--wait", "--boot"],
        "does not answer yet",
    );
    stopped.says("stopped while waiting for target").exits(130);
    let late = scene.deploy(&["--wait=1", "--boot"]);
    late.says("error: after 60 s: target cannot be reached as root@10.").exits(12);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn what_was_done_is_kept() {
    let scene = Scene::new();
    scene.means("good", ":");
    scene.deploy(&[]).exits(0);
    scene.means("bad", "exit 4");
    scene.deploy(&[]).exits(10);
    let told = scene.run(&["history", "target"]);
    let lines = told.exits(0).lines().collect::<Vec<_>>();
    assert!(lines[0].starts_with("WHEN ") && lines.len() == 3, "{lines:?}");
    assert!(lines[1].contains("  deploy  target  done ") && lines[1].ends_with("-good"), "{lines:?}");
    assert!(lines[2].contains("  deploy  target  rolled back ") && lines[2].ends_with("-bad"), "{lines:?}");
    let json: serde_json::Value =
        serde_json::from_str(scene.run(&["--json", "history"]).exits(0)).expect("JSON");
    assert_eq!((&json[1]["exit_code"], &json[1]["kind"]), (&10.into(), &"deploy".into()));
    assert_eq!(json[0]["to"], json[1]["from"]);
    assert_eq!(scene.run(&["--json", "history", "nobody"]).exits(0), "[]\n");
}
