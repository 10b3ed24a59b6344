//! The commands that take a new host from the flake to its first deploy, with a host that boots from the card.

use crate::card::Card;
use crate::new_pi::NewPi;
use crate::page::{self, Block};
use crate::scene::{QUESTION, Scene};

/// The size of the card in MiB, which no other test of this suite has.
const SIZE_MIB: usize = 59;

/// Runs `block` with a new host, a new card, and somebody who puts the card into the host.
fn run(block: &Block) {
    let mut pi = NewPi::new();
    let card = Card::new(SIZE_MIB);
    let (device, size) = (card.device.device(), format!("{SIZE_MIB}MiB"));
    let flake = pi.fixture.flake();
    pi.fixture.sandbox.env("XTASK_FLAKE", flake);
    let key = pi.fixture.sandbox.path("home/me.pub");
    let options = format!("--allow-virtual --ssh-key {}", key.display());
    let is_asked = !block.text.contains("--yes");
    let mut scene = Scene::new(&pi.fixture.sandbox, &pi.fixture.sandbox.path("flake"));
    scene.names = vec![
        ("up fast", format!("up target {options} --expect-size {size}")),
        ("up stinky /dev/sdb", format!("up target {device} {options}")),
        ("62.5GB", size),
    ];
    let mut terminal = scene.start(&scene.here(&block.text));
    if is_asked {
        terminal.answer("Type ", "1").answer(QUESTION, device);
    }
    terminal.wait_for("does not answer yet");
    pi.boot(device);
    terminal.finish().assert_code(0);
    pi.assert_runs("one");
}

#[test]
#[ignore = "needs root, loop devices, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_commands_take_a_new_host_to_its_first_deploy() {
    let blocks = page::blocks().into_iter().filter(|block| block.scene == "up").collect::<Vec<_>>();
    assert_eq!(blocks.len(), 2, "{blocks:#?}");
    blocks.iter().for_each(run);
}
