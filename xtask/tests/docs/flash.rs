//! The commands that flash a host: to loop devices, with the image of a fake Nix, as no machine of the suites builds a
//! real nixpkgs.

use std::fs;

use crate::card::Card;
use crate::fake_flake::{FLAKE, FakeFlake};
use crate::host_image::{CARD_MIB, host_image};
use crate::image::pack;
use crate::page::{self, Block};
use crate::scene::Scene;

/// The hosts of the pages.
const HOSTS: &[&str] = &["stinky", "smelly"];
/// The readers of the pages.
const READERS: &[&str] = &["/dev/mmcblk0", "/dev/sdX", "/dev/sdb", "/dev/sdc", "/dev/loop0"];

/// Whether the command `line` builds or flashes.
fn is_of_card(line: &str) -> bool {
    ["sd-image", "flash"].iter().any(|command| line.starts_with(&format!("cargo xtask {command} ")))
}

/// Runs each command of `block` for cards. A loop device is no card without `--allow-virtual`, and nobody types its
/// name.
#[track_caller]
fn run(block: &Block, bytes: &[u8]) {
    let mut flake = FakeFlake::of_hosts(HOSTS, bytes);
    flake.sandbox.env("XTASK_FLAKE", FLAKE);
    pack(&flake.sandbox.path("home"), "img.zst", bytes);
    let size = format!("{CARD_MIB}MiB");
    for line in block.text.lines().filter(|line| is_of_card(line)) {
        let command = line.split_once("  #").map_or(line, |(command, _)| command).trim_end();
        let cards = READERS.iter().filter(|reader| command.contains(**reader));
        let cards = cards.map(|reader| (*reader, Card::new(CARD_MIB))).collect::<Vec<_>>();
        let mut scene = Scene::new(&flake.sandbox, &flake.sandbox.path("home"));
        scene.names.extend(cards.iter().map(|(reader, card)| (*reader, card.device.device().to_owned())));
        scene.names.push(("--image FILE", "--image nixos-sd-image.img.zst".to_owned()));
        scene.names.push(("640MiB", size.clone()));
        let is_asked = command.contains(" flash ") && !command.contains("--yes");
        let more =
            if is_asked { format!(" --allow-virtual --yes --expect-size {size}") } else { String::new() };
        let text = format!("{command}{more}\n");
        scene.run_block(&Block { text, ..block.clone() });
        for (reader, card) in &cards {
            if command.contains("--dry-run") {
                card.assert_unchanged();
            } else {
                // A host key and the label of the host may be on the card beside the image.
                let after = card.device.bytes();
                assert!(after.starts_with(&bytes[..512]), "{}: {reader}", block.place());
            }
        }
    }
}

#[test]
#[ignore = "needs root, loop devices, e2fsprogs: run `cargo xtask test`"]
fn the_commands_for_cards_write_them() {
    let bytes = host_image(4096);
    let blocks = page::blocks().into_iter().filter(|block| block.scene.starts_with("flash"));
    let blocks = blocks.collect::<Vec<_>>();
    for block in &blocks {
        run(block, &bytes);
    }
    assert!(blocks.len() > 4, "{}", blocks.len());
}

/// What only a shell is needed for.
#[test]
fn the_commands_for_a_shell_succeed() {
    let sandbox = crate::support::Sandbox::new();
    fs::create_dir_all(sandbox.path("home/.local/share")).expect("making a folder");
    let scene = Scene::new(&sandbox, &sandbox.path("home"));
    for block in page::blocks().iter().filter(|block| block.scene == "workstation") {
        scene.run_block(block);
    }
    let script = fs::read_to_string(sandbox.path("home/.local/share/cargo-xtask.bash")).expect("a script");
    assert!(script.contains("complete ") && script.contains("cargo"), "{script}");
}
