//! Trials that the tool cannot follow to their end: a broken link, Ctrl-C, a host that stays away. The host decides by
//! itself, and a later command continues from the state of the host.

use std::fs;
use std::time::{Duration, Instant};

use xtask::base::program_file;

use crate::fixture::Fixture;
use crate::support::Outcome;
use crate::support::xtask::{Running, SignalTo};
use crate::trials::{add_check, assert_booted_and_next, deploy_json, fixture_with_trials};

/// The time limit of a reboot, on a busy machine.
const REBOOT_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts `deploy target ARGS`, and does not wait for its end.
fn start_deploy(fixture: &Fixture, args: &[&str]) -> Running {
    fixture.sandbox.xtask(&[&["--flake", &fixture.flake(), "deploy", "target"], args].concat()).spawn()
}

/// Waits until `script` succeeds on the host.
#[track_caller]
fn wait_until_succeeds(fixture: &Fixture, script: &str) {
    let start = Instant::now();
    while fixture.machine.run_inside(&format!("({script}) >/dev/null 2>&1 && echo yes || echo no")) != "yes" {
        assert!(start.elapsed() < REBOOT_TIMEOUT, "{script} does not succeed");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The script that succeeds if `boot-trial status` of the host has a line that begins with `text`.
fn trial_status_has(text: &str) -> String {
    format!("/mnt/bin/boot-trial status | grep -q '^{text}'")
}

/// Asserts that the tool and deploy-rs have left nothing on the host.
#[track_caller]
fn assert_nothing_left(fixture: &Fixture) {
    assert_eq!(
        fixture.machine.run_inside("ls -d /tmp/xtask-deploy.* /tmp/deploy-rs* 2>/dev/null || true"),
        ""
    );
}

/// Writes the file `name` that controls the trials of the host.
fn write_trial_file(fixture: &Fixture, name: &str, text: &str) {
    fs::write(fixture.machine.path("trial").join(name), text).expect("writing");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_connection_that_breaks_during_a_check_is_made_again() {
    let fixture = fixture_with_trials();
    let check = "test -e /tmp/asked || { touch /tmp/asked; kill -9 $PPID; }";
    fixture.deploy(&["--reboot", "--health", check]).assert_code(0);
    assert_booted_and_next(&fixture, "new", "new");
    assert_nothing_left(&fixture);
}

/// The host shuts down before it has said that its trial is armed.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_that_closes_the_connection_before_its_answer_is_waited_for() {
    let fixture = fixture_with_trials();
    let program = fixture.machine.path("bin/boot-trial");
    fs::rename(&program, program.with_extension("real")).expect("moving a program");
    let reboot =
        "/mnt/bin/boot-trial.real \"$@\" && if [ \"$*\" = 'arm deployer' ]; then systemctl reboot; fi";
    fixture.machine.replace_program("boot-trial", reboot);
    fixture.deploy(&["--reboot"]).assert_code(0);
    assert_booted_and_next(&fixture, "new", "new");
}

/// The link is down from the boot of the new system until the host has booted the old system again.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_whose_link_is_down_during_its_trial_goes_back() {
    let fixture = fixture_with_trials();
    write_trial_file(&fixture, "within", "6");
    let mut run = start_deploy(&fixture, &["--reboot"]);
    run.wait_for("rebooting target");
    wait_until_succeeds(&fixture, &trial_status_has("trial="));
    fixture.machine.run_inside("ip link set eth0 down");
    wait_until_succeeds(&fixture, &trial_status_has("last-outcome=rolled-back"));
    assert_booted_and_next(&fixture, "old", "old");
    fixture.machine.run_inside("ip link set eth0 up");
    run.finish().assert_stderr_contains("-new was not kept: not blessed within 6 s").assert_code(10);
    write_trial_file(&fixture, "within", "600");
    assert_nothing_left(&fixture);
    fixture.deploy(&["--reboot"]).assert_code(0);
    assert_booted_and_next(&fixture, "new", "new");
}

/// Adds a check that waits for the file `go`, and interrupts the tool while the host on trial runs that check.
#[track_caller]
fn interrupt_on_trial(fixture: &Fixture) -> Outcome {
    add_check(fixture, "slow", "until [ -e /mnt/go ]; do sleep 0.1; done");
    let mut run = start_deploy(fixture, &["--reboot"]);
    run.wait_for("rebooting target");
    wait_until_succeeds(fixture, &trial_status_has("trial="));
    // The tool has seen the trial by then, or waits for sshd.
    std::thread::sleep(Duration::from_secs(2));
    run.signal(SignalTo::Group, rustix::process::Signal::INT);
    run.finish()
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn ctrl_c_leaves_a_trial_that_can_be_blessed() {
    let fixture = fixture_with_trials();
    let stopped = interrupt_on_trial(&fixture);
    stopped
        .assert_stderr_contains(format!(
            "target tries the new system, and goes back by itself unless `cargo xtask --flake {} deploy target --bless` \
             follows once it answers",
            fixture.flake()
        ))
        .assert_code(130);
    assert_booted_and_next(&fixture, "new", "old");
    assert_nothing_left(&fixture);
    fixture.deploy(&[]).assert_stderr_contains("-new is on trial on target").assert_code(3);
    fs::write(fixture.machine.path("go"), "").expect("writing");
    fixture.deploy(&["--bless"]).assert_stdout_contains("-new, and boots it by default\n").assert_code(0);
    assert_booted_and_next(&fixture, "new", "new");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn ctrl_c_leaves_a_trial_that_ends_by_itself() {
    let fixture = fixture_with_trials();
    write_trial_file(&fixture, "within", "8");
    interrupt_on_trial(&fixture).assert_code(130);
    wait_until_succeeds(&fixture, &trial_status_has("last-reason=not blessed within 8 s"));
    assert_booted_and_next(&fixture, "old", "old");
    write_trial_file(&fixture, "within", "600");
    fs::write(fixture.machine.path("go"), "").expect("writing");
    fixture.deploy(&["--reboot"]).assert_code(0);
    assert_booted_and_next(&fixture, "new", "new");
    assert_nothing_left(&fixture);
}

/// The boot of a system that is not blessed does not end, so the tool must not wait for its end.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_blessing_that_the_host_refuses_is_reported_at_once() {
    let fixture = fixture_with_trials();
    let bin = fixture.machine.path("bin");
    let wrap_program = |program: &str, case: &str| {
        fs::rename(bin.join(program), bin.join(format!("real-{program}"))).expect("renaming");
        let text = format!("#!/bin/sh\ncase $1 in {case} ;; esac\nexec /mnt/bin/real-{program} \"$@\"\n");
        program_file::write(&bin.join(program), text, 0o755).expect("writing a program");
    };
    wrap_program("boot-trial", "bless) echo 'boot-trial: the card is read-only' >&2; exit 1");
    wrap_program("systemctl", "is-system-running) exec sleep 1000");
    let result = deploy_json(&fixture, &["deploy", "target", "--reboot"]);
    assert_eq!(result["verdict"], "not_blessed", "{result:#}");
    let reason = "target did not bless its system: boot-trial: the card is read-only";
    assert_eq!(result["reason"], reason, "{result:#}");
    assert_booted_and_next(&fixture, "new", "old");
}

/// The new system hangs before sshd, and nothing on the host ends that.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_that_stays_away_has_the_verdict_never_came_back() {
    let fixture = fixture_with_trials();
    write_trial_file(&fixture, "fault", "pkill -f /lib/trial.sh; exec sleep 1000");
    write_trial_file(&fixture, "within", "1");
    let result = deploy_json(&fixture, &["deploy", "target", "--reboot", "--wait=1"]);
    assert_eq!(
        (&result["verdict"], &result["error"]["code"]),
        (&"never_came_back".into(), &12.into()),
        "{result:#}"
    );
    let history = fixture.run(&["history"]).assert_code(0).stdout.clone();
    assert!(history.contains("  never came back  "), "{history}");
    // Stands for switching the power off and on.
    fs::remove_file(fixture.machine.path("trial/fault")).expect("mending");
    write_trial_file(&fixture, "within", "600");
    fixture.machine.run_inside("pkill sleep");
    wait_until_succeeds(&fixture, &trial_status_has("last-outcome=rolled-back"));
    assert_booted_and_next(&fixture, "old", "old");
    assert_nothing_left(&fixture);
    fixture.deploy(&["--reboot"]).assert_code(0);
    assert_booted_and_next(&fixture, "new", "new");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_is_not_rebooted_if_its_trial_cannot_be_armed() {
    let fixture = fixture_with_trials();
    fixture.set_profile("new-profile", "rm /run/firmware/boot.scr");
    fixture.set_nixos("new", "new");
    let boot_id = fixture.machine.run_inside("cat /mnt/boot-id");
    let outcome = fixture.deploy(&["--reboot"]);
    outcome
        .assert_stderr_contains(
            "-new, but was not rebooted, as its trial could not be armed: `boot-trial arm` on target",
        )
        .assert_stderr_contains(
            "hint: run `sudo update-firmware` on target, then deploy again with `--reboot`",
        )
        .assert_code(1);
    assert_eq!(fixture.machine.run_inside("cat /mnt/boot-id"), boot_id);
    assert!(fixture.machine.run_inside("readlink -f /run/current-system").ends_with("-new"));
    assert_booted_and_next(&fixture, "old", "old");
    assert_nothing_left(&fixture);
    fixture.machine.run_inside("PATH=/mnt/bin:$PATH boot-trial prepare-firmware");
    fixture.deploy(&["--reboot"]).assert_code(0);
    assert_booted_and_next(&fixture, "new", "new");
}

/// Lets the first `boot-trial COMMAND` of the host run `script` in its place; `$real` is the real command.
fn replace_first_call(fixture: &Fixture, command: &str, script: &str) {
    let bin = fixture.machine.path("bin");
    let real = bin.join("boot-trial.real");
    if !real.exists() {
        fs::rename(bin.join("boot-trial"), &real).expect("renaming");
    }
    let text = format!(
        "#!/bin/sh\nreal=/mnt/bin/boot-trial.real\n\
         if [ \"$1\" = {command} ] && [ ! -e /tmp/replaced ]; then touch /tmp/replaced; {script}; fi\nexec $real \"$@\"\n"
    );
    program_file::write(&bin.join("boot-trial"), text, 0o755).expect("writing a program");
    fixture.machine.run_inside("rm -f /tmp/replaced");
}

/// The host has printed something by then, as a greeting would.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_link_that_breaks_before_the_trial_is_armed_is_an_error() {
    let fixture = fixture_with_trials();
    replace_first_call(&fixture, "arm", "echo hello >/proc/$PPID/fd/1; kill -9 $PPID; exit 1");
    fixture.set_nixos("new", "new");
    let boot_id = fixture.machine.run_inside("cat /mnt/boot-id");
    fixture.deploy(&["--reboot"]).assert_code(12);
    assert_eq!(fixture.machine.run_inside("cat /mnt/boot-id"), boot_id);
    assert_booted_and_next(&fixture, "old", "old");
}

/// The link breaks before or after the host has carried out what the user decided: the state of the host decides.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_decision_whose_answer_is_lost_is_read_from_the_host() {
    let fixture = fixture_with_trials();
    fixture.deploy(&["--boot"]).assert_code(0);
    // Not done, and the connection lost: the error is that of the connection, and the trial is still pending.
    replace_first_call(&fixture, "abort", "kill -9 $PPID; exit 1");
    fixture.deploy(&["--abort-trial"]).assert_code(12);
    assert!(fixture.machine.run_inside("/mnt/bin/boot-trial status").contains("pending=/nix/store/"));
    // Done, and the connection lost: aborted.
    replace_first_call(&fixture, "abort", "$real abort; kill -9 $PPID; exit 1");
    fixture.deploy(&["--abort-trial"]).assert_stdout_contains("its next boot starts").assert_code(0);
    assert!(!fixture.machine.run_inside("/mnt/bin/boot-trial status").contains("pending=/nix/store/"));
    assert_booted_and_next(&fixture, "old", "old");
    assert_nothing_left(&fixture);

    fixture.deploy(&["--boot"]).assert_code(0);
    fixture.machine.run_inside("cd / && PATH=/mnt/bin:$PATH; boot-trial arm deployer && systemctl reboot");
    fixture.deploy(&["--wait=1"]).assert_code(3);
    replace_first_call(&fixture, "bless", "kill -9 $PPID; exit 1");
    fixture.deploy(&["--bless"]).assert_code(12);
    assert_booted_and_next(&fixture, "new", "old");
    replace_first_call(&fixture, "bless", "$real bless; kill -9 $PPID; exit 1");
    fixture.deploy(&["--bless"]).assert_stdout_contains("boots it by default").assert_code(0);
    assert_booted_and_next(&fixture, "new", "new");
}
