//! Trials that the tool cannot follow to their end: a broken link, Ctrl-C, a host that stays away. The host decides by
//! itself meanwhile, and a later command goes on from there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::fixture::Fixture;
use crate::support::Outcome;
use crate::support::xtask::{Running, SignalTo};
use crate::trials::{add_check, assert_boots, json, with_trials};

/// How long a host may take for a reboot, when the machine is busy.
const LIMIT: Duration = Duration::from_secs(60);

/// Starts the tool.
fn start(fixture: &Fixture, args: &[&str]) -> Running {
    fixture.sandbox.xtask(&[&["--flake", &fixture.flake(), "deploy", "target"], args].concat()).spawn()
}

/// Waits until `script` succeeds on the host.
#[track_caller]
fn wait_until(fixture: &Fixture, script: &str) {
    let start = Instant::now();
    while fixture.machine.inside(&format!("({script}) >/dev/null 2>&1 && echo yes || echo no")) != "yes" {
        assert!(start.elapsed() < LIMIT, "{script} does not succeed");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Whether `boot-trial status` of the host has a line that begins with `text`.
fn has(text: &str) -> String {
    format!("/mnt/bin/boot-trial status | grep -q '^{text}'")
}

/// Asserts that the tool and deploy-rs have left nothing on the host.
#[track_caller]
fn assert_nothing_left(fixture: &Fixture) {
    assert_eq!(fixture.machine.inside("ls -d /tmp/xtask-deploy.* /tmp/deploy-rs* 2>/dev/null || true"), "");
}

fn set(fixture: &Fixture, name: &str, text: &str) {
    fs::write(fixture.machine.path("trial").join(name), text).expect("writing");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_connection_that_breaks_during_a_check_is_made_again() {
    let fixture = with_trials();
    let check = "test -e /tmp/asked || { touch /tmp/asked; kill -9 $PPID; }";
    fixture.deploy(&["--reboot", "--health", check]).assert_code(0);
    assert_boots(&fixture, "new", "new");
    assert_nothing_left(&fixture);
}

/// The link is down from the boot of the new system until the host has gone back.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_whose_link_is_down_during_its_trial_goes_back() {
    let fixture = with_trials();
    set(&fixture, "within", "6");
    let mut run = start(&fixture, &["--reboot"]);
    run.wait_for("rebooting target");
    wait_until(&fixture, &has("trial="));
    fixture.machine.inside("ip link set eth0 down");
    wait_until(&fixture, &has("last-outcome=rolled-back"));
    assert_boots(&fixture, "old", "old");
    fixture.machine.inside("ip link set eth0 up");
    run.finish().assert_stderr_contains("-new was not kept: not blessed within 6 s").assert_code(10);
    set(&fixture, "within", "600");
    assert_nothing_left(&fixture);
    fixture.deploy(&["--reboot"]).assert_code(0);
    assert_boots(&fixture, "new", "new");
}

/// Interrupts the tool while the checks of a host on trial run.
#[track_caller]
fn interrupt_on_trial(fixture: &Fixture) -> Outcome {
    add_check(fixture, "slow", "until [ -e /mnt/go ]; do sleep 0.1; done");
    let mut run = start(fixture, &["--reboot"]);
    run.wait_for("rebooting target");
    wait_until(fixture, &has("trial="));
    // The tool has seen the trial by then, or waits for sshd.
    std::thread::sleep(Duration::from_secs(2));
    run.signal(SignalTo::Group, rustix::process::Signal::INT);
    run.finish()
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn ctrl_c_leaves_a_trial_that_can_be_blessed() {
    let fixture = with_trials();
    let stopped = interrupt_on_trial(&fixture);
    stopped
        .assert_stderr_contains(
            "target is on trial, and goes back by itself unless `cargo xtask deploy target --bless`",
        )
        .assert_code(130);
    assert_boots(&fixture, "new", "old");
    assert_nothing_left(&fixture);
    fixture.deploy(&[]).assert_stderr_contains("-new is on trial on target").assert_code(3);
    fs::write(fixture.machine.path("go"), "").expect("writing");
    fixture.deploy(&["--bless"]).assert_stdout_contains("-new, and boots it by default\n").assert_code(0);
    assert_boots(&fixture, "new", "new");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn ctrl_c_leaves_a_trial_that_ends_by_itself() {
    let fixture = with_trials();
    set(&fixture, "within", "8");
    interrupt_on_trial(&fixture).assert_code(130);
    wait_until(&fixture, &has("last-reason=not blessed within 8 s"));
    assert_boots(&fixture, "old", "old");
    set(&fixture, "within", "600");
    fs::write(fixture.machine.path("go"), "").expect("writing");
    fixture.deploy(&["--reboot"]).assert_code(0);
    assert_boots(&fixture, "new", "new");
    assert_nothing_left(&fixture);
}

/// The boot of a system that is not blessed does not end, so the tool must not wait for its end.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_blessing_that_the_host_refuses_is_told_at_once() {
    let fixture = with_trials();
    let bin = fixture.machine.path("bin");
    let wrap = |program: &str, case: &str| {
        fs::rename(bin.join(program), bin.join(format!("real-{program}"))).expect("renaming");
        let text = format!("#!/bin/sh\ncase $1 in {case} ;; esac\nexec /mnt/bin/real-{program} \"$@\"\n");
        fs::write(bin.join(program), text).expect("writing");
        fs::set_permissions(bin.join(program), fs::Permissions::from_mode(0o755))
            .expect("making it executable");
    };
    wrap("boot-trial", "bless) echo 'boot-trial: the card is read-only' >&2; exit 1");
    wrap("systemctl", "is-system-running) exec sleep 1000");
    let result = json(&fixture, &["deploy", "target", "--reboot"]);
    assert_eq!(result["verdict"], "not_blessed", "{result:#}");
    let reason = "target did not bless its system: boot-trial: the card is read-only";
    assert_eq!(result["reason"], reason, "{result:#}");
    assert_boots(&fixture, "new", "old");
}

/// The new system hangs before sshd, and nothing on the host ends that.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_that_stays_away_never_came_back() {
    let fixture = with_trials();
    set(&fixture, "fault", "pkill -f /lib/trial.sh; exec sleep 1000");
    set(&fixture, "within", "1");
    let result = json(&fixture, &["deploy", "target", "--reboot", "--wait=1"]);
    assert_eq!(
        (&result["verdict"], &result["exit_code"]),
        (&"never_came_back".into(), &12.into()),
        "{result:#}"
    );
    let history = fixture.run(&["history"]).assert_code(0).stdout.clone();
    assert!(history.contains("  never came back  "), "{history}");
    // As with the power: off and on.
    fs::remove_file(fixture.machine.path("trial/fault")).expect("mending");
    set(&fixture, "within", "600");
    fixture.machine.inside("pkill sleep");
    wait_until(&fixture, &has("last-outcome=rolled-back"));
    assert_boots(&fixture, "old", "old");
    assert_nothing_left(&fixture);
    fixture.deploy(&["--reboot"]).assert_code(0);
    assert_boots(&fixture, "new", "new");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_trial_that_cannot_be_armed_is_no_reboot() {
    let fixture = with_trials();
    fixture.set_profile("new-profile", "rm /run/firmware/boot.scr");
    fixture.set_nixos("new", "new");
    let booted = fixture.machine.inside("cat /mnt/boot-id");
    let outcome = fixture.deploy(&["--reboot"]);
    outcome
        .assert_stderr_contains(
            "-new, but was not rebooted, as its trial could not be armed: `boot-trial arm` on target",
        )
        .assert_stderr_contains(
            "hint: run `sudo update-firmware` on target, then deploy again with `--reboot`",
        )
        .assert_code(1);
    assert_eq!(fixture.machine.inside("cat /mnt/boot-id"), booted);
    assert!(fixture.machine.inside("readlink -f /run/current-system").ends_with("-new"));
    assert_boots(&fixture, "old", "old");
    assert_nothing_left(&fixture);
    fixture.machine.inside("PATH=/mnt/bin:$PATH boot-trial prepare-firmware");
    fixture.deploy(&["--reboot"]).assert_code(0);
    assert_boots(&fixture, "new", "new");
}

/// Lets the first `boot-trial COMMAND` of the host run `script` in its place; `$real` is the true command.
fn replace_first(fixture: &Fixture, command: &str, script: &str) {
    let bin = fixture.machine.path("bin");
    let real = bin.join("boot-trial.real");
    if !real.exists() {
        fs::rename(bin.join("boot-trial"), &real).expect("renaming");
    }
    let text = format!(
        "#!/bin/sh\nreal=/mnt/bin/boot-trial.real\n\
         if [ \"$1\" = {command} ] && [ ! -e /tmp/replaced ]; then touch /tmp/replaced; {script}; fi\nexec $real \"$@\"\n"
    );
    fs::write(bin.join("boot-trial"), text).expect("writing");
    fs::set_permissions(bin.join("boot-trial"), fs::Permissions::from_mode(0o755)).expect("a mode");
    fixture.machine.inside("rm -f /tmp/replaced");
}

/// The link breaks before or after the host has carried out what the user decided: the state of the host decides.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_decision_whose_answer_is_lost_is_read_from_the_host() {
    let fixture = with_trials();
    fixture.deploy(&["--boot"]).assert_code(0);
    // Not done, and the connection lost: the error is that of the connection, and the trial is still pending.
    replace_first(&fixture, "abort", "kill -9 $PPID; exit 1");
    fixture.deploy(&["--abort-trial"]).assert_code(12);
    assert!(fixture.machine.inside("/mnt/bin/boot-trial status").contains("pending=/nix/store/"));
    // Done, and the connection lost: aborted.
    replace_first(&fixture, "abort", "$real abort; kill -9 $PPID; exit 1");
    fixture.deploy(&["--abort-trial"]).assert_stdout_contains("its next boot starts").assert_code(0);
    assert!(!fixture.machine.inside("/mnt/bin/boot-trial status").contains("pending=/nix/store/"));
    assert_boots(&fixture, "old", "old");
    assert_nothing_left(&fixture);

    fixture.deploy(&["--boot"]).assert_code(0);
    fixture.machine.inside("cd / && PATH=/mnt/bin:$PATH; boot-trial arm deployer && systemctl reboot");
    fixture.deploy(&["--wait=1"]).assert_code(3);
    replace_first(&fixture, "bless", "kill -9 $PPID; exit 1");
    fixture.deploy(&["--bless"]).assert_code(12);
    assert_boots(&fixture, "new", "old");
    replace_first(&fixture, "bless", "$real bless; kill -9 $PPID; exit 1");
    fixture.deploy(&["--bless"]).assert_stdout_contains("boots it by default").assert_code(0);
    assert_boots(&fixture, "new", "new");
}
