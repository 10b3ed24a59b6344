//! The number of evaluations, and the pinned flake. Wrappers on `PATH` record the calls of the real programs.

use std::fs;

use crate::machine;
use crate::scene::Scene;

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_flake_is_evaluated_once() {
    let scene = Scene::new();
    scene.sandbox.fake("nix", &format!(r#"exec {} "$@""#, machine::real("nix")));
    let flake = format!("{}#.", scene.flake());
    let evaluations = || scene.sandbox.calls("nix").iter().filter(|call| call.contains(&flake)).count();
    scene.set_profile("one", ":");
    for (args, expected) in [
        (&[][..], 1),
        (&[], 1),
        // Options for nix may change what a flake means.
        (&["--", "--", "--no-eval-cache"], 2),
        (&["--dry-run"], 2),
    ] {
        scene.deploy(args).assert_code(0);
        assert_eq!(evaluations(), expected, "{args:?}");
    }
    scene.edit(|facts| facts["edited"] = true.into());
    assert!(scene.deploy(&[]).assert_code(0).stdout.starts_with("target already runs "));
    assert_eq!(evaluations(), 3);
    let entries = fs::read_dir(scene.sandbox.path("state/evaluations")).expect("the cache");
    assert_eq!(entries.count(), 2);
}

/// Some users hide secrets from git in this way; Nix reads these files nevertheless.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_evaluation_is_not_cached_if_git_hides_changes() {
    let scene = Scene::new();
    scene.sandbox.fake("nix", &format!(r#"exec {} "$@""#, machine::real("nix")));
    let flake = format!("{}#.", scene.flake());
    scene.set_profile("one", ":");
    let git = |args: &[&str]| machine::run("git", &[&["-C", &scene.flake()], args].concat());
    git(&["init", "--quiet"]);
    for (args, expected) in [
        (&["add", "."][..], 1),
        (&["status"], 1),
        (&["update-index", "--assume-unchanged", "facts.json"], 2),
        (&["status"], 3),
        (&["update-index", "--no-assume-unchanged", "facts.json"], 3),
    ] {
        git(args);
        scene.deploy(&[]).assert_code(0);
        let calls = scene.sandbox.calls("nix");
        assert_eq!(calls.iter().filter(|call| call.contains(&flake)).count(), expected, "{args:?}");
    }
}

/// The flake changes after the plan is shown and before deploy-rs starts.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn deploy_rs_deploys_what_the_plan_showed() {
    let scene = Scene::new();
    scene.set_profile("two", ":");
    let edit = format!("sed -i s/two/three/ {}/facts.json", scene.flake());
    scene.sandbox.fake("deploy", &format!(r#"{edit}; exec {} "$@""#, machine::real("deploy")));
    assert!(scene.deploy(&[]).assert_code(0).stdout.ends_with("-two\n"));
    scene.assert_runs("two");
    let facts = fs::read_to_string(scene.sandbox.path("flake/facts.json")).expect("the facts");
    assert!(facts.contains("three") && !facts.contains("two"), "{facts}");
}
