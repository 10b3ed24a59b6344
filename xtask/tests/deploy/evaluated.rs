//! What is evaluated, and how often: programs on PATH stand before the real ones, and call them.

use std::fs;

use crate::machine;
use crate::scene::Scene;

/// The program that the suite was given.
fn real(program: &str) -> String {
    let path = std::env::var_os("PATH").expect("PATH is set");
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.exists());
    found.expect(program).display().to_string()
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_flake_is_evaluated_once() {
    let scene = Scene::new();
    scene.sandbox.fake("nix", &format!(r#"exec {} "$@""#, real("nix")));
    let flake = format!("{}#.", scene.flake());
    let evaluations = || scene.sandbox.calls("nix").iter().filter(|call| call.contains(&flake)).count();
    scene.means("one", ":");
    for (args, expected) in [
        (&[][..], 1),
        (&[], 1),
        // Options for nix may change what a flake means.
        (&["--", "--", "--no-eval-cache"], 2),
        (&["--dry-run"], 2),
    ] {
        scene.deploy(args).exits(0);
        assert_eq!(evaluations(), expected, "{args:?}");
    }
    scene.say(|facts| facts["edited"] = true.into());
    assert!(scene.deploy(&[]).exits(0).starts_with("target already runs "));
    assert_eq!(evaluations(), 3);
    let answers = fs::read_dir(scene.sandbox.path("state/evaluations")).expect("the answers");
    assert_eq!(answers.count(), 2);
}

/// Some keep their secrets out of git in that way, and Nix sees them all the same.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn no_answer_is_kept_where_git_hides_changes() {
    let scene = Scene::new();
    scene.sandbox.fake("nix", &format!(r#"exec {} "$@""#, real("nix")));
    let flake = format!("{}#.", scene.flake());
    scene.means("one", ":");
    let git = |words: &[&str]| machine::run("git", &[&["-C", &scene.flake()], words].concat());
    git(&["init", "--quiet"]);
    for (words, expected) in [
        (&["add", "."][..], 1),
        (&["status"], 1),
        (&["update-index", "--assume-unchanged", "facts.json"], 2),
        (&["status"], 3),
        (&["update-index", "--no-assume-unchanged", "facts.json"], 3),
    ] {
        git(words);
        scene.deploy(&[]).exits(0);
        let calls = scene.sandbox.calls("nix");
        assert_eq!(calls.iter().filter(|call| call.contains(&flake)).count(), expected, "{words:?}");
    }
}

/// Somebody edits the flake after the plan was shown, before deploy-rs begins.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn what_was_shown_is_done() {
    let scene = Scene::new();
    scene.means("two", ":");
    let edit = format!("sed -i s/two/three/ {}/facts.json", scene.flake());
    scene.sandbox.fake("deploy", &format!(r#"{edit}; exec {} "$@""#, real("deploy")));
    assert!(scene.deploy(&[]).exits(0).ends_with("-two\n"));
    scene.runs("two");
    let facts = fs::read_to_string(scene.sandbox.path("flake/facts.json")).expect("the facts");
    assert!(facts.contains("three") && !facts.contains("two"), "{facts}");
}
