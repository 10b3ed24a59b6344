//! Parallel deploys to one host and to several.

use std::fs;
use std::time::{Duration, Instant};

use crate::fixture::Fixture;
use crate::machine::Machine;

/// A deploy with another state folder does not find the lock: the running activation refuses that deploy.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_second_deploy_to_a_host_waits_for_the_first() {
    let fixture = Fixture::new();
    fixture.set_profile("one", "touch /mnt/active; sleep 3");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| fixture.deploy(&[]));
        let start = Instant::now();
        while !fixture.machine.path("active").exists() {
            assert!(start.elapsed() < Duration::from_secs(20), "no activation");
            std::thread::sleep(Duration::from_millis(20));
        }
        let elsewhere = fixture.sandbox.xtask(&["--flake", &fixture.flake(), "deploy", "target"]);
        let outcome = elsewhere.env("XTASK_STATE", fixture.sandbox.path("elsewhere")).run();
        outcome.assert_stderr_contains("an activation is running on target").assert_code(3);
        let second = fixture.deploy(&[]);
        second.assert_stderr_contains("waiting for another deploy to target to end");
        assert!(second.assert_code(0).stdout.starts_with("target already runs "), "{}", second.stdout);
        first.join().expect("the first deploy").assert_code(0);
    });
    fixture.assert_runs("one");
}

/// Adds `count` hosts to the fixture, called `host0` and so on, whose profiles run `activation`.
fn add_hosts(fixture: &Fixture, count: usize, activation: &str) -> Vec<Machine> {
    let machines = (0..count).map(|_| Machine::start()).collect::<Vec<_>>();
    for (number, machine) in machines.iter().enumerate() {
        let options = machine.ssh_options(&machine.write_known_hosts());
        fixture.add_host(
            &format!("host{number}"),
            &machine.address,
            &options,
            &format!("system{number}"),
            activation,
        );
    }
    machines
}

/// An activation that waits up to 20 s for the file `go`, and fails without it.
const WAITING_ACTIVATION: &str = "touch /mnt/began; turns=0; until [ -e /mnt/go ] || [ $turns -ge 200 ]; do sleep 0.1; \
                     turns=$((turns + 1)); done; [ -e /mnt/go ]";

/// Lets the activations of all `machines` end once all have begun.
fn end_activations_together(machines: &[Machine]) {
    let start = Instant::now();
    while !machines.iter().all(|machine| machine.path("began").exists()) {
        assert!(start.elapsed() < Duration::from_secs(120), "not all activations have begun");
        std::thread::sleep(Duration::from_millis(20));
    }
    for machine in machines {
        fs::write(machine.path("go"), "").expect("writing");
    }
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn four_hosts_are_deployed_to_in_parallel() {
    let fixture = Fixture::new();
    fixture.set_profile("alone", ":");
    fixture.deploy(&[]).assert_code(0);
    let machines = add_hosts(&fixture, 4, WAITING_ACTIVATION);
    let outcome = std::thread::scope(|scope| {
        let deploy =
            scope.spawn(|| fixture.run(&["deploy", "-v", "host0", "host1", "host2", "host3", "host1"]));
        end_activations_together(&machines);
        deploy.join().expect("the deploy")
    });
    let table = &outcome.assert_code(0).stdout;
    for (number, machine) in machines.iter().enumerate() {
        outcome
            .assert_stderr_contains(format!("host{number}: | "))
            .assert_stderr_contains(format!("host{number} runs /nix/store/"));
        assert!(table.contains(&format!("\nhost{number}  done     /nix/store/")), "{table}");
        assert!(machine.run_inside("readlink -f /run/current-system").ends_with(&format!("-system{number}")));
    }
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_failed_host_does_not_stop_the_others() {
    let fixture = Fixture::new();
    let machines = add_hosts(&fixture, 2, ":");
    fixture.set_profile("good", ":");
    let mut terminal =
        fixture.sandbox.xtask(&["--flake", &fixture.flake(), "deploy", "--all", "-v"]).on_terminal();
    terminal.wait_for("host0: deploy host0 as root@").wait_for("host1: | ");
    let outcome = terminal.finish();
    assert!(
        outcome.assert_code(0).stdout.contains("\nhost1   done "),
        "{}\n{}",
        outcome.stdout,
        outcome.stderr
    );
    fixture.set_profile("better", ":");
    let options = machines[1].ssh_options(&machines[1].write_known_hosts());
    fixture.add_host("host1", &machines[1].address, &options, "bad", "exit 4");
    let closed_port = [&options[..], &["-p".to_owned(), "1".to_owned()]].concat();
    fixture.add_host("nobody", "127.0.0.1", &closed_port, "never", ":");
    let dry = fixture.run(&["deploy", "--all", "--dry-run"]);
    assert!(
        dry.assert_code(12).stdout.contains("\nhost1   planned      host1 would run /nix/store/"),
        "{}",
        dry.stdout
    );
    let all_answer = fixture.run(&["deploy", "target", "host0", "--dry-run"]);
    all_answer.assert_code(0).assert_stderr_contains(" deploy target host0\n");
    let outcome = fixture.run(&["--json", "deploy", "--all"]);
    outcome
        .assert_stderr_contains("2 of 4 hosts failed: host1, nobody")
        .assert_stderr_contains("nobody cannot be reached as root@127.0.0.1");
    outcome.assert_stderr_contains(r#","host":"host1","device":null,"event":"output""#);
    let json = outcome.assert_code(12).json();
    let results = json["hosts"].as_array().expect("an array").iter();
    let codes = results.map(|result| (result["host"].as_str().unwrap(), result["error"]["code"].as_u64()));
    let expected = [("host0", None), ("host1", Some(10)), ("nobody", Some(12)), ("target", None)];
    assert_eq!(codes.collect::<Vec<_>>(), expected);
}

/// The two nodes have different ssh options, so that they look like two machines in the flake.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn two_nodes_that_lead_to_one_machine_are_refused() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    fixture.deploy(&[]).assert_code(0);
    let options = [fixture.machine.ssh_options(&fixture.known_hosts), vec!["-4".to_owned()]].concat();
    fixture.set_profile("two", ":");
    fixture.add_host("twin", &fixture.machine.address, &options, "three", ":");
    fixture
        .run(&["deploy", "--all"])
        .assert_stderr_contains("target and twin are the same machine")
        .assert_code(3);
    fixture.assert_runs("one");
}
