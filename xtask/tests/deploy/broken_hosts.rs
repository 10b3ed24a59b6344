//! Hosts that do not evaluate or do not build, beside others that do.

use std::fs;

use serde_json::json;

use crate::fixture::Fixture;
use crate::machine::Machine;

/// `target` with the tag `lab`, a host whose profile does not evaluate, and one whose node does not.
fn fixture_with_broken_hosts() -> Fixture {
    let fixture = Fixture::new();
    fixture.set_profile("good", ":");
    fixture.edit(|facts| {
        facts["hosts"]["target"]["node"]["tags"] = json!(["lab"]);
        facts["hosts"]["broken"] = facts["hosts"]["target"].clone();
        facts["hosts"]["broken"]["wraps"] = json!(5);
        facts["hosts"]["broken"]["node"]["tags"] = json!(["attic"]);
        facts["hosts"]["nodeless"] = json!({});
    });
    fixture
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_that_does_not_evaluate_hides_no_other_in_a_plan() {
    let fixture = fixture_with_broken_hosts();
    let outcome = fixture.run(&["deploy", "--all", "--plan"]);
    outcome
        .assert_code(1)
        .assert_stderr_contains("broken: warning: nix failed on ")
        .assert_stderr_contains("nodeless: warning: nix failed on ")
        .assert_stderr_contains("error: 2 of 3 hosts cannot be planned: broken, nodeless\n");
    assert!(outcome.stdout.starts_with("build   "), "{}", outcome.stdout);
    let json = fixture.run(&["deploy", "--all", "--plan", "--json"]).assert_code(1).json();
    assert!(json["plan"]["derivations"].is_array(), "{json}");
    let unplanned = json["unplanned"].as_array().expect("a list").iter().map(|left_out| &left_out["host"]);
    assert_eq!(unplanned.collect::<Vec<_>>(), ["broken", "nodeless"]);
    let alone = fixture.run(&["deploy", "broken", "--plan"]);
    alone.assert_code(1).assert_stdout("").assert_stderr_contains("error: evaluating broken: nix failed on ");
    for args in [&["deploy", "broken", "--dry-run"][..], &["status", "broken"], &["up", "broken"]] {
        fixture.run(args).assert_stderr_contains("evaluating broken: nix failed on ");
    }
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_that_does_not_evaluate_hides_no_tags_of_others() {
    let fixture = fixture_with_broken_hosts();
    let outcome = fixture.run(&["deploy", "--all", "--on", "lab", "--plan"]);
    outcome
        .assert_code(0)
        .assert_stderr_contains("nodeless: warning: the tags in deploy.nodes are unknown: nix failed on ");
    let waves = fixture.run(&["deploy", "--all", "--waves", "1", "--dry-run"]);
    waves
        .assert_code(1)
        .assert_stderr_contains("error: ")
        .assert_stderr_contains(" of 3 hosts failed: broken");
    let status = fixture.run(&["status"]);
    status.assert_code(1).assert_stderr_contains("broken: warning: nix failed on ");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn each_host_has_the_error_of_its_own_build() {
    let fixture = Fixture::new();
    let machines = [Machine::start(), Machine::start()];
    fixture.set_profile("good", ":");
    for (name, machine) in ["one", "two"].into_iter().zip(&machines) {
        let options = machine.ssh_options(&machine.write_known_hosts());
        fixture.add_host(name, &machine.address, &options, &format!("bad-{name}"), ":");
    }
    let script = fixture.sandbox.path("flake/profile.sh");
    let good = fs::read_to_string(&script).expect("reading a builder");
    let failing = "case $name in bad-*) echo no $name; exit 3 ;; esac\n";
    fs::write(&script, format!("{failing}{good}")).expect("breaking the build");
    let outcome = fixture.run(&["deploy", "--all"]);
    outcome.assert_code(1).assert_stderr_contains("error: 2 of 3 hosts failed: one, two\n");
    for name in ["one", "two"] {
        outcome
            .assert_stderr_contains(format!("{name}: warning: nix failed on deploy.nodes.{name}: "))
            .assert_stderr_contains(format!("{name}: | no bad-{name}\n"));
        assert_eq!(outcome.stderr.matches(&format!("| no bad-{name}\n")).count(), 1, "{}", outcome.stderr);
    }
    fixture.assert_runs("good");
}
