//! Deploys in waves: a few hosts first, and the rest only if these are well.

use std::time::Duration;

use serde_json::json;

use crate::fixture::Fixture;
use crate::machine::{self, Machine};
use crate::support::Outcome;
use crate::support::xtask::SignalTo;

/// Three hosts with the tag `lab`, of which `host2` is the canary.
struct Fleet {
    fixture: Fixture,
    machines: Vec<Machine>,
}

impl Fleet {
    fn new() -> Self {
        let fleet = Self { fixture: Fixture::new(), machines: (0..3).map(|_| Machine::start()).collect() };
        (0..3).for_each(|number| fleet.set(number, "first", ":"));
        fleet.fixture.set_profile("other", ":");
        // A host without an earlier generation cannot roll back.
        fleet.deploy(&[]).assert_code(0);
        (0..2).for_each(|number| fleet.set(number, "second", ":"));
        fleet
    }

    /// Sets the profile of a host; its tags stay.
    fn set(&self, number: usize, name: &str, activation: &str) {
        let machine = &self.machines[number];
        let options = machine.ssh_options(&machine.write_known_hosts());
        let host = format!("host{number}");
        self.fixture.add_host(&host, &machine.address, &options, &format!("{name}{number}"), activation);
        let tags = if number == 2 { json!(["lab", "canary"]) } else { json!(["lab"]) };
        self.fixture.edit(|facts| facts["hosts"][&host]["node"]["tags"] = tags);
    }

    fn deploy(&self, more: &[&str]) -> Outcome {
        self.fixture.run(&[&["deploy", "--all", "--on", "@lab"], more].concat())
    }

    /// Whether the profile of a host is in the store of this machine.
    fn is_built(&self, number: usize) -> bool {
        let profile = format!("{}#deploy.nodes.host{number}.profiles.system.path", self.fixture.flake());
        let path = machine::run("nix", &["eval", "--raw", &profile]);
        machine::code_and_stderr("nix-store", &["--check-validity", &path]).0 == 0
    }

    /// The names of the profiles that the hosts run.
    fn running(&self) -> Vec<String> {
        let name = |machine: &Machine| {
            let path = machine.run_inside("readlink -f /nix/var/nix/profiles/system");
            path.trim().rsplit('-').next().unwrap_or_default().to_owned()
        };
        self.machines.iter().map(name).collect()
    }
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_canary_that_fails_stops_the_next_wave_and_the_same_command_goes_on_later() {
    let fleet = Fleet::new();
    let unique = format!(": {}", fleet.fixture.flake());
    (0..2).for_each(|number| fleet.set(number, "second", &unique));
    fleet.set(2, "bad", "exit 4");
    let stopped = fleet.deploy(&["--waves", "1,100%"]);
    stopped
        .assert_code(10)
        .assert_stderr_contains("wave 1 of 2: host2\n")
        .assert_stderr_contains("error: 1 of 3 hosts failed: host2; 2 not reached\n")
        .assert_stderr_contains("it goes on with `--max-failures 1`\n");
    assert!(!stopped.stderr.contains("wave 2 of 2"), "{}", stopped.stderr);
    // What the second wave would need is not built. The store keeps what other runs have built.
    for (number, name, is_built) in [(2, "bad", true), (0, "second", false), (1, "second", false)] {
        assert_eq!(fleet.is_built(number), is_built, "{name}{number}");
    }
    assert_eq!(stopped.stdout.matches("not reached").count(), 2, "{}", stopped.stdout);
    assert_eq!(fleet.running(), ["first0", "first1", "first2"]);
    let json = fleet.deploy(&["--waves", "1,100%", "--json"]).assert_code(10).json();
    let reached = json["hosts"].as_array().expect("a list").iter();
    let reached = reached.map(|host| (host["host"].as_str().unwrap(), host["reached"] == true));
    assert_eq!(reached.collect::<Vec<_>>(), [("host2", true), ("host0", false), ("host1", false)]);
    // A host that was not reached keeps the log of its last deploy.
    let log_of = |host: &str| fleet.fixture.run(&["log", host]).assert_code(0).stdout.clone();
    assert!(
        log_of("host2").contains("--waves") && !log_of("host0").contains("--waves"),
        "{}",
        log_of("host0")
    );
    // The canary is mended: the same command deploys it, and then the others.
    fleet.set(2, "good", ":");
    let done = fleet.deploy(&["--waves", "1,100%"]);
    done.assert_code(0).assert_stderr_contains("wave 2 of 2: host0, host1\n");
    assert_eq!(fleet.running(), ["second0", "second1", "good2"]);
    let again = fleet.deploy(&["--waves", "1,100%"]);
    assert_eq!(again.assert_code(0).stdout.matches("already current").count(), 3, "{}", again.stdout);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn as_many_hosts_may_fail_as_the_user_says() {
    let fleet = Fleet::new();
    fleet.set(2, "bad", "exit 4");
    let outcome = fleet.deploy(&["--waves", "1,2", "--max-failures", "1"]);
    outcome.assert_code(10).assert_stderr_contains("error: 1 of 3 hosts failed: host2\n");
    assert_eq!(fleet.running(), ["second0", "second1", "first2"]);
}

/// Also where hosts may fail.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn ctrl_c_during_a_wave_begins_no_other_host() {
    let fleet = Fleet::new();
    fleet.set(2, "slow", "touch /mnt/began; sleep 3");
    let flake = fleet.fixture.flake();
    let args = ["deploy", "--all", "--on", "lab", "--waves", "1,100%", "--max-failures", "5"];
    let run = fleet.fixture.sandbox.xtask(&[&["--flake", &flake], &args[..]].concat());
    let run = run.stop_timeout(Duration::from_secs(60));
    let outcome = run.interrupt_once(|| fleet.machines[2].path("began").exists(), SignalTo::Group);
    // Nobody confirms the activation that goes on, so it is rolled back.
    outcome
        .assert_code(130)
        .assert_stderr_contains("error: stopped: 1 of 3 hosts failed: host2; 2 not reached\n");
    outcome.assert_stderr_contains("hint: run the same command again: hosts that are done are left alone\n");
    assert!(outcome.stdout.contains("rolled back: stopped"), "{}", outcome.stdout);
    assert!(!outcome.stderr.contains("wave 2 of 2"), "{}", outcome.stderr);
    assert_eq!(outcome.stdout.matches("not reached").count(), 2, "{}", outcome.stdout);
    assert_eq!(fleet.running()[..2], ["first0", "first1"]);
    // Nothing need be wrong with what was deployed.
    let status = fleet.fixture.run(&["status"]);
    status.assert_stdout_contains("rolled back: stopped").assert_stderr_contains("next: cargo xtask ");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn hosts_are_chosen_by_tags_that_exist() {
    let fleet = Fleet::new();
    let planned = fleet.fixture.run(&["deploy", "--all", "--on", "canary", "--dry-run"]);
    planned.assert_code(0);
    assert!(!format!("{planned:?}").contains("host0"), "{planned:?}");
    // A tag alone means all nodes with it.
    let alone = fleet.fixture.run(&["deploy", "--on", "canary", "--dry-run"]);
    assert_eq!(alone.assert_code(0).stdout, planned.stdout);
    let refused = fleet.fixture.run(&["deploy", "--on", "@attic"]);
    refused.assert_code(2).assert_stderr_contains("no host has the tag attic (tags: canary, lab)\nhint: ");
    fleet.fixture.run(&["deploy", "target", "--on", "lab"]).assert_code(2);
    fleet.fixture.run(&["deploy", "--all", "--waves", "0"]).assert_code(2);
}
