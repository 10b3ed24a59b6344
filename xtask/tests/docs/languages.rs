//! Whether each block is run, compared, or said to be for the reader's own hands.

use crate::page::{self, Block};

/// The scenes of this suite.
const SCENES: &[&str] = &["boot", "card", "ci", "ci-deploy", "demo", "deploy", "uninstall"];
/// The people and machines of docs/identities.md, whose blocks `identity_walks.rs` of the suite `cli` runs.
const WORKSTATIONS: &[&str] = &["", "anna", "ben", "old", "new"];

/// The beginnings of the commands that no suite runs from a page, each with the reason. The unit tests parse those of
/// the tool.
const BY_HAND: &[(&str, &str)] = &[
    ("cargo xtask flash", "a card of the reader, and an image of a host with real firmware"),
    ("cargo xtask sd-image", "the closure of a real host; the suite evaluation evaluates it"),
    ("cargo xtask deploy", "a Pi that runs; the suite deploy deploys to hosts in namespaces"),
    (
        "cargo xtask identity cache-key",
        "a Pi that runs; `via_cache.rs` of the suite deploy deploys with a cache key",
    ),
    ("nix-store --export", "a Pi that runs"),
    ("cargo xtask release", "a cache and a key of the reader; `releases.rs` of the suite deploy runs it"),
    ("cargo xtask status", "Pis that run; `releases.rs` of the suite deploy runs it"),
    ("ssh-keygen -t", "a key of the reader; `releases.rs` of the suite deploy makes one"),
    ("cargo xtask demo", "the suites build and boot run it"),
    ("cargo xtask completions", "the shell of the reader; the suite shells sources the scripts"),
    ("cargo xtask log", "`logs.rs` of the suite cli runs it"),
    ("cargo xtask new-host", "a checkout of the reader; the suite evaluation evaluates what it writes"),
    ("cargo xtask up", "a card of the reader; `up.rs` of the suites cli and deploy runs it"),
    ("cargo xtask restore", "a repository of the reader; the suite host restores one"),
    ("truncate", "see the command after it"),
    ("deploy .#", "a Pi that runs"),
    ("ssh ", "a Pi that runs"),
    ("cat /proc", "a Pi that runs"),
    ("age -d", "a backup of the reader; `identity_backups.rs` of the suite cli decrypts one with age"),
    ("tools=", "variables of the reader's shell"),
    ("nix run", "a repository of the reader"),
    ("cat ~/.ssh", "a Pi that runs"),
    ("sudo apt-get", "packages of the reader's machine"),
    ("git clone", "the address of this repository"),
    ("grep -h", "packages of the reader's machine"),
    ("sudo rm -rf /nix", "the store of the reader's machine"),
];

/// Why `block` is not accounted for.
fn fault(block: &Block) -> Option<String> {
    let Block { language, scene, .. } = block;
    let is_by_hand = || BY_HAND.iter().any(|(start, _)| block.text.starts_with(start));
    let is_known = match (language.as_str(), scene.as_str()) {
        ("sh", "by-hand") => is_by_hand(),
        ("sh", scene) if block.page == "docs/identities.md" => WORKSTATIONS.contains(&scene),
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
fn each_reason_has_a_block() {
    let blocks = page::blocks().into_iter().filter(|block| block.scene == "by-hand").collect::<Vec<_>>();
    let is_used = |start: &str| blocks.iter().any(|block| block.text.starts_with(start));
    let unused = BY_HAND.iter().filter(|(start, _)| !is_used(start)).collect::<Vec<_>>();
    assert_eq!(unused, [] as [&(&str, &str); 0]);
}

#[test]
fn a_block_without_a_scene_or_a_reason_is_a_fault() {
    let block = |language: &str, scene: &str, text: &str| Block {
        page: "README.md".to_owned(),
        line: 1,
        language: language.to_owned(),
        scene: scene.to_owned(),
        text: text.to_owned(),
    };
    for (language, scene, text) in
        [("", "", "x"), ("console", "", "$ x"), ("sh", "by-hand", "rm x"), ("text", "", "cargo xtask flash")]
    {
        assert!(fault(&block(language, scene, text)).is_some(), "{language} {scene}");
    }
}
