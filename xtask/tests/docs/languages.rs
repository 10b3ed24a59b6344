//! Whether each block is run, compared, or said to be for the reader's own hands.

use crate::page::{self, Block};

/// The scenes of this suite.
const SCENES: &[&str] = &[
    "age",
    "boot",
    "boot-card",
    "card",
    "card-of-pi-5",
    "ci",
    "ci-deploy",
    "clone",
    "demo",
    "deploy",
    "flash",
    "flash-and-pi",
    "new-host",
    "pi",
    "pi-cache",
    "pi-login",
    "pi-release",
    "restore",
    "uninstall",
    "up",
    "workstation",
];
/// The people and machines of docs/identities.md, whose blocks `identity_walks.rs` of the suite `cli` runs.
const WORKSTATIONS: &[&str] = &["", "anna", "ben", "old", "new"];

/// How many blocks no suite runs. Each has its reason behind `by-hand`, which says what no machine of the suites has;
/// the unit tests parse the commands of the tool in it.
const BY_HAND_COUNT: usize = 6;

/// Why `block` is not accounted for.
fn fault(block: &Block) -> Option<String> {
    let Block { language, scene, .. } = block;
    let is_known = match (language.as_str(), scene.as_str()) {
        ("sh", "by-hand") => block.reason.split(' ').count() > 2,
        _ if !block.reason.is_empty() => false,
        ("sh", scene) if block.page == "docs/identities.md" && WORKSTATIONS.contains(&scene) => true,
        ("console" | "sh", scene) => SCENES.contains(&scene),
        // The unit tests compare lines of `output` with the messages in the code, and parse the commands of `yaml`.
        // `nix` is parsed here, and evaluated by the suite evaluation.
        ("json" | "output" | "yaml", "") | ("nix", "module" | "registry" | "flake" | "host") => true,
        ("text", "") => !block.text.contains("cargo xtask"),
        _ => false,
    };
    (!is_known).then(|| format!("{}: {language} {scene}", block.place()))
}

#[test]
fn every_block_is_run_or_compared_or_for_the_readers_hands() {
    let blocks = page::blocks();
    assert!(blocks.len() > 60, "{}", blocks.len());
    assert_eq!(blocks.iter().filter_map(fault).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn no_block_more_is_left_to_the_reader() {
    let blocks = page::blocks().into_iter().filter(|block| block.scene == "by-hand");
    let listed = blocks.map(|block| format!("{}: {}", block.place(), block.reason)).collect::<Vec<_>>();
    assert_eq!(listed.len(), BY_HAND_COUNT, "{listed:#?}");
}

#[test]
fn a_block_without_a_scene_or_a_reason_is_a_fault() {
    for (info, text) in [
        ("", "x"),
        ("console", "$ x"),
        ("sh by-hand", "rm x"),
        ("sh by-hand true", "rm x"),
        ("sh demo because", "rm x"),
        ("text", "cargo xtask flash"),
    ] {
        let blocks = page::parse("README.md", &format!("```{info}\n{text}\n```\n"));
        assert!(blocks.iter().all(|block| fault(block).is_some()) && blocks.len() == 1, "{info}");
    }
}
