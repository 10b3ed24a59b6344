//! The plan of a deploy, and its options.

use std::time::Duration;

use crate::fixture::Fixture;

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_terminal_shows_the_phase_and_the_last_line_of_deploy_rs() {
    let fixture = Fixture::new();
    fixture.set_profile("one", "echo step one >&2; sleep 3");
    let mut terminal =
        fixture.sandbox.xtask(&["--flake", &fixture.flake(), "deploy", "target"]).on_terminal();
    terminal.wait_for("  evaluate ").wait_for("  activate ").wait_for("step one");
    let outcome = terminal.finish();
    assert!(outcome.assert_code(0).stdout.starts_with("target runs /nix/store/"), "{}", outcome.stdout);
    assert!(!outcome.stderr.contains("  | "), "{}", outcome.stderr);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_plan_shows_the_changes() {
    let fixture = Fixture::new();
    fixture.set_profile("system-1", ":");
    fixture.edit(|facts| facts["packages"] = ["curl-8.1", "nano-7.2"].into());
    let first = fixture.deploy(&["--dry-run"]);
    first.assert_stderr_contains(
        "note  automatic rollback is not possible: there is no generation to roll back to",
    );
    assert!(first.assert_code(0).stdout.starts_with("target would run /nix/store/"), "{}", first.stdout);
    assert_eq!(fixture.machine.run_inside("ls /nix"), "", "a dry run copied something");
    fixture.deploy(&[]).assert_code(0);
    fixture.set_profile("system-2", ":");
    fixture.edit(|facts| facts["packages"] = ["curl-8.2", "vim-9.1", "zlib-1.3"].into());
    let summary = "2 added, 1 removed, 2 in other versions; 12.0 MiB (+4.0 MiB)";
    let dry = fixture.deploy(&["--dry-run"]);
    dry.assert_stderr_contains(summary)
        .assert_stderr_contains("\n          curl 8.1 -> 8.2\n")
        .assert_stderr_contains("\n        - nano 7.2 (-4.0 MiB)\n");
    assert!(dry.assert_code(0).stdout.ends_with(&format!("{summary}\n")), "{}", dry.stdout);
    fixture.assert_runs("system-1");
    let done = fixture.deploy(&["--json"]);
    let json = done.assert_code(0).json()["hosts"][0].take();
    assert_eq!(json["diff"]["packages"][0]["to"][0], "8.2");
    fixture.assert_runs("system-2");
}

/// Asserts that `status` says what a deploy with `--boot` has said.
#[track_caller]
fn assert_status_offers_the_reboot(fixture: &Fixture) {
    let status = fixture.run(&["status"]);
    status.assert_code(0).assert_stdout_contains("target  boots the new one next");
    status.assert_stdout_contains(": ready").assert_stderr_contains("deploy target --boot --reboot\n");
    let json = fixture.run(&["--json", "status"]).assert_code(0).json()["hosts"][0].take();
    assert_eq!((&json["current"], &json["boots_desired_next"]), (&false.into(), &true.into()));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_system_for_the_next_boot_is_not_activated() {
    let fixture = Fixture::new();
    fixture.set_profile("old-profile", ":");
    fixture.set_nixos("old", "old");
    fixture.deploy(&[]).assert_code(0);
    fixture.set_profile("new-profile", ":");
    fixture.set_nixos("new", "new");
    let planned = fixture.deploy(&["--boot"]);
    planned.assert_stderr_contains("which the next boot starts, with deploy.nodes.target");
    planned.assert_stderr_contains("deploy target --boot --reboot\n  starts what was deployed\n");
    assert!(planned.assert_code(0).stdout.ends_with("-new from its next boot on\n"), "{}", planned.stdout);
    assert!(fixture.machine.run_inside("readlink -f /run/current-system").ends_with("-old"));
    assert!(fixture.deploy(&["--boot"]).assert_code(0).stdout.ends_with("-new from its next boot on\n"));
    assert_status_offers_the_reboot(&fixture);
    // Whoever changes the flake back sees that the host never ran the new system.
    fixture.set_profile("old-profile", ":");
    fixture.set_nixos("old", "old");
    let back = fixture.deploy(&["--dry-run"]);
    back.assert_stderr_contains(
        "note  target runs this system already: only its profile and its next boot change",
    );
    assert!(back.assert_code(0).stdout.ends_with("-old: only its profile would change\n"), "{}", back.stdout);
    fixture.run(&["status"]).assert_code(0).assert_stdout_contains("target  current, boots another next");
    fixture.set_profile("new-profile", ":");
    fixture.set_nixos("new", "new");
    let rebooted = fixture.deploy(&["--boot", "--reboot"]);
    rebooted.assert_stderr_contains("rebooting target");
    assert!(rebooted.assert_code(0).stdout.ends_with("-new\n"), "{}", rebooted.stdout);
    assert!(fixture.machine.run_inside("readlink -f /run/booted-system").ends_with("-new"));
    let again = fixture.deploy(&["--reboot"]);
    assert!(
        again.assert_code(0).stdout.starts_with("target already runs ")
            && !again.stderr.contains("rebooting")
    );
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_dry_run_shows_what_becomes_of_the_next_boot() {
    let fixture = Fixture::new();
    fixture.set_profile("old-profile", ":");
    fixture.set_nixos("old", "old");
    fixture.deploy(&["--reboot"]).assert_code(0);
    let reboot = fixture.deploy(&["--dry-run", "--reboot"]);
    assert!(reboot.assert_code(0).stdout.ends_with("-old: nothing to do\n"), "{}", reboot.stdout);
    fixture.set_profile("new-profile", ":");
    fixture.set_nixos("new", "new");
    let assert_plans = |cases: &[(&[&str], &str, &str)]| {
        for (args, text, next) in cases {
            let planned = fixture.deploy(&[&["--dry-run"], *args].concat());
            assert!(planned.assert_code(0).stdout.contains(text), "{args:?}: {}", planned.stdout);
            let ends_with_next = planned.stderr.ends_with(&format!("deploy target{next}\n"));
            assert!(ends_with_next || next.is_empty(), "{args:?}: {}", planned.stderr);
        }
    };
    assert_plans(&[
        (&["--boot"], "target would boot /nix/store/", " --boot"),
        (&["--boot"], "-new from its next boot on: 1 added", " --boot"),
        (&["--boot", "--reboot"], "-new after a reboot: 1 added", " --boot --reboot"),
        (&["--reboot"], "-new after a reboot: 1 added", " --reboot"),
    ]);
    assert!(fixture.machine.run_inside("readlink -f /nix/var/nix/profiles/system").ends_with("-old-profile"));
    fixture.deploy(&["--boot"]).assert_code(0);
    assert_plans(&[
        (&["--boot"], "-new from its next boot on: nothing to do\n", ""),
        (
            &["--boot", "--reboot"],
            "-new from its next boot on: only the reboot is left\n",
            " --boot --reboot",
        ),
        (&["--reboot"], "-new after a reboot: 1 added", " --reboot"),
    ]);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_new_kernel_runs_after_a_reboot() {
    let fixture = Fixture::new();
    fixture.set_profile("old-profile", ":");
    fixture.set_nixos("old", "old");
    fixture.deploy(&["--reboot"]).assert_code(0);
    fixture.set_profile("new-profile", ":");
    fixture.set_nixos("new", "new");
    fixture.edit(|facts| facts["kernel"] = "linux-6.2".into());
    let switched = fixture.deploy(&["--json"]);
    switched.assert_stderr_contains("linux 6.1 -> 6.2");
    let json = switched.assert_code(0).json()["hosts"][0].take();
    assert_eq!(json["verdict"], "reboot_needed");
    assert!(fixture.deploy(&[]).assert_code(0).stdout.contains("and needs a reboot"));
    fixture.deploy(&["--reboot"]).assert_stderr_contains("rebooting target").assert_code(0);
    assert!(fixture.deploy(&[]).assert_code(0).stdout.starts_with("target already runs "));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_activation_that_needs_a_reboot_is_rolled_back() {
    let fixture = Fixture::new();
    fixture.set_profile("good", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.set_profile("init", "echo 'until you reboot the system.' >&2; exit 100");
    fixture
        .deploy(&[])
        .assert_stderr_contains("\nhint: deploy again with `--boot --reboot`\n")
        .assert_stderr_contains("target rolled back to")
        .assert_code(10);
    fixture.assert_runs("good");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_failed_health_check_fails_a_deploy_also_to_a_current_host() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    let sick = fixture.deploy(&["--health", "test -e /run/current-system", "--health", "echo sick; exit 3"]);
    sick.assert_stderr_contains("but failed a health check: `echo sick; exit 3` exited with 3\n  | sick\n")
        .assert_stderr_contains("hint: mend the configuration and deploy again, or run `cargo xtask ")
        .assert_code(11);
    fixture.assert_runs("one");
    fixture.deploy(&["--health", "true"]).assert_code(0);
    fixture.deploy(&["--health", "false"]).assert_code(11);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_wait_ends_at_an_answer_an_interrupt_or_its_limit() {
    let mut fixture = Fixture::new();
    fixture.options = ["-o", "ConnectTimeout=1"].map(str::to_owned).to_vec();
    fixture.set_profile("one", ":");
    fixture.machine.run_inside("ip link set eth0 down");
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(3));
            fixture.machine.run_inside("ip link set eth0 up");
        });
        fixture.deploy(&["--wait"])
    });
    outcome
        .assert_stderr_contains(format!(
            "target does not answer yet at {}: insert its card and power on the host (waiting up to 10 min",
            fixture.login()
        ))
        .assert_code(0);
    fixture.assert_runs("one");
    fixture.machine.run_inside("ip link set eth0 down");
    let stopped = fixture
        .sandbox
        .xtask(&["--flake", &fixture.flake(), "deploy", "target", "--wait", "--boot"])
        .interrupt_at("does not answer yet");
    stopped.assert_stderr_contains("stopped while waiting for target").assert_code(130);
    let late = fixture.deploy(&["--wait=1", "--boot"]);
    late.assert_stderr_contains("error: waiting 60 s for target: target cannot be reached as root@10.")
        .assert_code(12);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn deploys_leave_receipts() {
    let fixture = Fixture::new();
    fixture.set_profile("good", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.set_profile("bad", "exit 4");
    fixture.deploy(&[]).assert_code(10);
    let history = fixture.run(&["history", "target"]);
    let lines = history.assert_code(0).stdout.lines().collect::<Vec<_>>();
    assert!(lines[0].starts_with("NO  WHEN ") && lines.len() == 3, "{lines:?}");
    assert!(lines[1].contains("  deploy  target  done ") && lines[1].ends_with("-good"), "{lines:?}");
    assert!(lines[2].contains("  deploy  target  rolled back ") && lines[2].ends_with("-bad"), "{lines:?}");
    let json = fixture.run(&["--json", "history"]).assert_code(0).json();
    assert_eq!(
        (&json["receipts"][1]["exit_code"], &json["receipts"][1]["kind"]),
        (&10.into(), &"deploy".into())
    );
    assert_eq!(json["receipts"][0]["system"], json["receipts"][1]["system_before"]);
    let unknown = fixture.run(&["--json", "history", "nobody"]).assert_code(2).json();
    assert_eq!(unknown["error"]["kind"], "usage");
}
