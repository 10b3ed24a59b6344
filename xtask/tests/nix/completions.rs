//! Completing hosts by real Nix: names alone, without a build.

use std::fs;

use crate::fixture::{Fixture, FlakeFile, builder};
use crate::support::Outcome;

/// A flake in git whose outputs are `text`, with a builder that a name may need.
fn fixture(text: &str) -> Fixture {
    let built = builder("names", "echo late > $out");
    let flake = format!("{{ outputs = {{ self }}: let built = {built}; in {{ {text} }}; }}\n");
    let fixture = Fixture::repository(&[FlakeFile::Tracked("flake.nix", &flake)]);
    fixture.git(&["add", "busybox"]);
    fixture
}

/// The completions of `deploy WORD` on the flake, each without its help.
fn hosts(fixture: &Fixture, word: &str) -> Vec<String> {
    let flake = fixture.path("flake").display().to_string();
    let args = ["__complete", "fish", "--", "xtask", "--flake", &flake, "deploy", word];
    let outcome = fixture.sandbox().run(&args);
    let Outcome { stdout, .. } = outcome.assert_code(0).assert_stderr("");
    stdout.lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn hosts_are_completed_by_their_names() {
    let fixture = fixture(
        "nixosConfigurations = { stinky = throw \"not evaluated\"; \"a b\" = {}; }; deploy.nodes.\"$(reboot)\" = {};",
    );
    assert_eq!(hosts(&fixture, "s"), ["stinky"]);
    // A shell would have to quote the others.
    assert_eq!(hosts(&fixture, ""), ["stinky"]);
    // Once there is a cache, the names are in it; a change of the flake is seen.
    fs::create_dir_all(fixture.path("state/evaluations")).expect("making the cache");
    for _ in 0..2 {
        assert_eq!(hosts(&fixture, "s"), ["stinky"]);
    }
    let cached = fs::read_dir(fixture.path("state/evaluations")).expect("the cache").count();
    assert_eq!(cached, 1);
    fs::write(fixture.path("flake/flake.nix"), "{ outputs = _: { deploy.nodes.smelly = {}; }; }")
        .expect("a flake");
    assert_eq!(hosts(&fixture, "s"), ["smelly"]);
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_name_that_needs_a_build_is_not_completed() {
    let fixture = fixture("nixosConfigurations.${builtins.readFile built} = {};");
    assert_eq!(hosts(&fixture, "l"), [""; 0]);
    // Nor is the lock written, nor a state folder made.
    assert!(!fixture.path("flake/flake.lock").exists() && !fixture.path("state").exists());
}
