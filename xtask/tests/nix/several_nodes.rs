//! Several deploy nodes, which are evaluated together.

use serde_json::Value;

use crate::fixture::{Fixture, builder};
use crate::support::Outcome;

/// A flake with the nodes pi0 to pi7, whose profiles are evaluated with a warning each.
fn flake(broken: &str) -> Fixture {
    let path = builder("profile", "echo >$out");
    Fixture::plain(&format!(
        r#"{{ outputs = {{ self }}: {{ deploy.nodes = builtins.listToAttrs (map (number: rec {{
            name = "pi${{toString number}}";
            value = {{
              hostname = "${{name}}.invalid";
              profiles.system = {{
                user = "root";
                path = if name == "{broken}" then throw "broken on purpose"
                  else builtins.trace "warning: ${{name}} is old" {path};
              }};
            }};
          }}) (builtins.genList (number: number) 8)); }}; }}"#
    ))
}

/// The warnings that a host is old, sorted.
fn old_hosts(outcome: &Outcome) -> Vec<String> {
    let events = outcome.events();
    let texts = events.iter().filter(|event| event["event"] == "warning").map(|event| event["text"].as_str());
    let mut texts =
        texts.flatten().filter(|text| text.ends_with(" is old")).map(str::to_owned).collect::<Vec<_>>();
    texts.sort_unstable();
    texts
}

/// How often a program was started with `text` in its arguments.
fn count_runs(events: &[Value], text: &str) -> usize {
    let started = events.iter().filter(|event| event["event"] == "child_started");
    started.filter(|event| event["argv"].to_string().contains(text)).count()
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn each_host_has_its_own_warnings_also_from_the_cache() {
    let fixture = flake("none");
    let expected = (0..8).map(|number| format!("pi{number} is old")).collect::<Vec<_>>();
    for evaluations in [1..=8, 0..=0] {
        let outcome = fixture.run(&["status", "--json", "--verbose"]);
        assert_eq!(old_hosts(&outcome), expected, "{}", outcome.stderr);
        let hosts = outcome.json()["hosts"].take();
        assert_eq!(hosts.as_array().map(Vec::len), Some(8));
        let message = hosts[3]["error"]["message"].as_str().expect("an error");
        assert!(message.contains("pi3.invalid"), "{message}");
        // Of the list of hosts, and before and after the evaluation, however many hosts there are.
        let events = outcome.events();
        assert!(count_runs(&events, "\"metadata\"") <= 3, "{}", outcome.stderr);
        assert!(evaluations.contains(&count_runs(&events, "isAddressGiven")), "{}", outcome.stderr);
    }
    // The warnings were sorted by hosts.
    assert_eq!(old_hosts(&fixture.run(&["status", "pi3", "--json"])), ["pi3 is old"]);
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_host_that_does_not_evaluate_keeps_no_other_from_it() {
    let fixture = flake("pi5");
    let outcome = fixture.run(&["status", "--json"]);
    let result = outcome.json();
    for (number, host) in result["hosts"].as_array().expect("hosts").iter().enumerate() {
        let message = host["error"]["message"].as_str().expect("an error");
        let expected = if number == 5 { "broken on purpose" } else { ".invalid" };
        assert!(message.contains(expected), "{host}");
    }
}
