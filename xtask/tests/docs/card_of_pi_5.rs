//! The commands that write the card of a Pi 5 and inspect it. The assembler makes its image, whose kernel and U-Boot
//! know the board.

use std::fs;

use crate::board_layouts::assembled;
use crate::fake_flake::{FLAKE, FakeFlake};
use crate::page;
use crate::scene::Scene;
use crate::support::loops::Loop;

#[test]
#[ignore = "needs root, loop devices, the assembler's programs: run `cargo xtask test`"]
fn the_commands_of_the_checklist_write_a_card_that_boots_a_pi_5() {
    let dir = tempfile::tempdir().expect("making a folder");
    let image = fs::read(assembled(dir.path())).expect("reading an image");
    let mut flake = FakeFlake::of_hosts(&["stinky"], &image);
    flake.sandbox.env("XTASK_FLAKE", FLAKE);
    let card = Loop::new(256 << 20);
    let mut scene = Scene::new(&flake.sandbox, &flake.sandbox.path("home"));
    scene.names = vec![
        ("flash HOST DEVICE", "flash stinky DEVICE --allow-virtual".to_owned()),
        ("DEVICE", card.device().to_owned()),
    ];
    let blocks = page::blocks_of("docs/pi-5.md").into_iter().filter(|block| block.scene == "card-of-pi-5");
    let blocks = blocks.map(|block| scene.run_block(&block)).count();
    assert_eq!(blocks, 1);
    // The head of the image was written last.
    assert!(card.bytes().starts_with(&image[..512]));
}
