//! Activations that fail and are not taken back, that cut the network for good, or that reach the host late.

use crate::fixture::Fixture;
use crate::machine::real_program;

/// Without `autoRollback` the host keeps the new profile, and each further deploy fails in the same way.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_failed_activation_that_nothing_takes_back_has_the_same_verdict_each_time() {
    let fixture = Fixture::new();
    fixture.set_profile("good", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.set_profile("bad", "exit 4");
    for from in ["option", "option", "flake"] {
        let args = if from == "option" { &["--", "--auto-rollback", "false"][..] } else { &[] };
        if from == "flake" {
            fixture.edit(|facts| facts["hosts"]["target"]["node"]["autoRollback"] = false.into());
        }
        let failed = fixture.deploy(args);
        failed
            .assert_code(10)
            .assert_stderr_contains("error: target does not run what was deployed: it runs /nix/");
        failed.assert_stderr_contains(
            "hint: mend the configuration, then deploy again: target does not go back, as ",
        );
        failed.assert_stderr_contains(
            "autoRollback is off, and its next boot starts the new system; `cargo xtask ",
        );
        failed.assert_stderr_contains(format!(" {} journalctl -b -n 100` may know more", fixture.login()));
        let profile = fixture.machine.run_inside("readlink -f /nix/var/nix/profiles/system");
        assert!(profile.ends_with("-bad"), "{profile}");
        let current = fixture.machine.run_inside("readlink -f /run/current-system");
        assert!(current.ends_with("-good"), "{current}");
    }
    fixture.set_profile("mended", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.assert_runs("mended");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_that_is_lost_after_its_activation_is_suspected_to_have_cut_its_network() {
    let mut fixture = Fixture::new();
    fixture.options = ["-o", "ConnectTimeout=2"].map(str::to_owned).to_vec();
    fixture.set_profile("good", "ip link set eth0 up");
    fixture.deploy(&[]).assert_code(0);
    fixture.set_profile("deaf", "ip link set eth0 down");
    let lost = fixture.deploy(&["--", "--magic-rollback", "false", "--activation-timeout", "1"]);
    lost.assert_code(12).assert_stderr_contains(
        "waiting for target to be reachable again; the new system may have cut its network, and it does not go back by \
         itself\n",
    );
    lost.assert_stderr_contains(
        "hint: the new system may have cut the network of target, as a firewall or another Wi-Fi ",
    );
    fixture.machine.run_inside("ip link set eth0 up");
    fixture.machine.wait_for_the_end_of_activations();
    let history = fixture.run(&["history", "target"]);
    assert!(history.assert_code(0).stdout.contains("  unreachable  "), "{}", history.stdout);
}

/// The host is asked over a new connection, and may answer before the activation reaches it.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_activation_that_reaches_the_host_after_a_stop_is_waited_for() {
    let fixture = Fixture::new();
    fixture.set_profile("good", ":");
    fixture.deploy(&[]).assert_code(0);
    let late = format!(
        r#"case "$*" in *activate-rs*" activate "*) echo on its way >&2; sleep 4 ;; esac; exec {} "$@""#,
        real_program("ssh")
    );
    fixture.sandbox.fake("ssh", &late);
    fixture.set_profile("slow", "touch /mnt/began; sleep 1");
    let flake = fixture.flake();
    let run = fixture.sandbox.xtask(&["--flake", &flake, "deploy", "target", "-v"]);
    let outcome = run.interrupt_at("on its way");
    let has_begun = fixture.machine.path("began").exists();
    // The verdict is that of the end: nothing happens on the host after it.
    fixture.assert_runs("good");
    outcome.assert_stderr_contains("target rolled back to /nix/store/").assert_code(10);
    assert!(has_begun, "{}", outcome.stderr);
}

/// A host whose links lead to no system, as one without NixOS.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_without_a_system_is_shown_in_words() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    for script in [":", "ln -s /etc /run/current-system", "ln -sfn /nowhere /run/current-system"] {
        fixture.machine.run_inside(script);
        let planned = fixture.deploy(&["--dry-run"]);
        planned.assert_code(0).assert_stderr_contains(
            "  from  no NixOS system: neither /run/current-system nor the profile leads to one\n",
        );
    }
    fixture.deploy(&[]).assert_code(0);
    fixture.assert_runs("one");
}

/// The note of a builder that nobody needs.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_builder_that_is_not_needed_is_named() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    fixture.deploy(&[]).assert_code(0);
    let note = "nothing is to be built here: no builder is needed, and none was asked\n";
    fixture.deploy(&["--builder", "nonsense"]).assert_code(0).assert_stderr_contains(note);
    let malformed = fixture.deploy(&["--builder", "ssh-ng:/nonsense"]);
    malformed.assert_code(2).assert_stderr_contains("the address of a builder is ssh-ng://[USER@]SERVER, ");
    let plain = fixture.deploy(&[]);
    assert!(!plain.stderr.contains("builder"), "{}", plain.stderr);
}
