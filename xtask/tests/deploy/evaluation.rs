//! The number of evaluations, and the pinned flake. Wrappers on `PATH` record the calls of the real programs.

use std::fs;

use crate::fixture::Fixture;
use crate::machine;

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_flake_that_has_not_changed_is_evaluated_once() {
    let fixture = Fixture::new();
    fixture.sandbox.fake("nix", &format!(r#"exec {} "$@""#, machine::real_program("nix")));
    let flake = format!("{}#.", fixture.flake());
    let evaluations = || fixture.sandbox.calls("nix").iter().filter(|call| call.contains(&flake)).count();
    fixture.set_profile("one", ":");
    for (args, expected) in [
        (&[][..], 1),
        (&[], 1),
        // Options for nix may change what a flake means.
        (&["--", "--", "--no-eval-cache"], 2),
        (&["--dry-run"], 2),
    ] {
        fixture.deploy(args).assert_code(0);
        assert_eq!(evaluations(), expected, "{args:?}");
    }
    fixture.edit(|facts| facts["edited"] = true.into());
    assert!(fixture.deploy(&[]).assert_code(0).stdout.starts_with("target already runs "));
    assert_eq!(evaluations(), 3);
    // The evaluation with an option for nix was not cached.
    let entries = fs::read_dir(fixture.sandbox.path("state/evaluations")).expect("the cache");
    assert_eq!(entries.count(), 2);
}

/// Some users hide secrets from git with `git update-index --assume-unchanged`; Nix reads the hidden changes
/// nevertheless.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_evaluation_is_not_cached_if_git_hides_changes() {
    let fixture = Fixture::new();
    fixture.sandbox.fake("nix", &format!(r#"exec {} "$@""#, machine::real_program("nix")));
    let flake = format!("{}#.", fixture.flake());
    fixture.set_profile("one", ":");
    let git = |args: &[&str]| machine::run("git", &[&["-C", &fixture.flake()], args].concat());
    git(&["init", "--quiet"]);
    for (args, expected) in [
        (&["add", "."][..], 1),
        (&["status"], 1),
        (&["update-index", "--assume-unchanged", "facts.json"], 2),
        (&["status"], 3),
        (&["update-index", "--no-assume-unchanged", "facts.json"], 3),
    ] {
        git(args);
        fixture.deploy(&[]).assert_code(0);
        let calls = fixture.sandbox.calls("nix");
        assert_eq!(calls.iter().filter(|call| call.contains(&flake)).count(), expected, "{args:?}");
    }
}

/// The flake changes after the plan is shown and before deploy-rs starts.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn deploy_rs_deploys_the_system_of_the_plan() {
    let fixture = Fixture::new();
    fixture.set_profile("two", ":");
    let edit = format!("sed -i s/two/three/ {}/facts.json", fixture.flake());
    fixture.sandbox.fake("deploy", &format!(r#"{edit}; exec {} "$@""#, machine::real_program("deploy")));
    assert!(fixture.deploy(&[]).assert_code(0).stdout.ends_with("-two\n"));
    fixture.assert_runs("two");
    let facts = fs::read_to_string(fixture.sandbox.path("flake/facts.json")).expect("the facts");
    assert!(facts.contains("three") && !facts.contains("two"), "{facts}");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_warnings_of_an_evaluation_are_shown_once() {
    let fixture = Fixture::new();
    fixture.set_profile("warned", ":");
    fixture.add_host("off", "127.0.0.1", &["-p".into(), "1".into()], "warned", ":");
    let file = fixture.sandbox.path("flake/flake.nix");
    let text = fs::read_to_string(&file).expect("the flake");
    let warning = "warning: `services.old' is deprecated";
    let facts = "facts = builtins.fromJSON (builtins.readFile ./facts.json)";
    let traced = facts.replace("= ", &format!("= builtins.trace \"{warning}\\nuse new\" (")) + ")";
    fs::write(&file, text.replacen(facts, &traced, 1)).expect("writing the flake");
    let git = |args: &[&str]| machine::run("git", &[&["-C", &fixture.flake()], args].concat());
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    for args in [
        &["deploy", "target", "--dry-run"][..],
        &["deploy", "target", "--dry-run"],
        &["deploy", "target", "off", "--dry-run"],
        &["deploy", "--all"],
        &["status"],
        &["status", "off"],
    ] {
        let outcome = fixture.run(args);
        let shown = format!("{warning}\n  use new\n");
        assert_eq!(outcome.stderr.matches(&shown).count(), 1, "{args:?}: {outcome:?}");
        assert!(outcome.stderr.lines().any(|found| Some(found) == shown.lines().next()), "{outcome:?}");
        // The warning about the git tree, which is dirty, is noise.
        assert!(!outcome.stderr.contains("is dirty") && !outcome.stdout.contains("dirty"), "{outcome:?}");
    }
}
