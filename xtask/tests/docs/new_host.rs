//! The commands that write a new host. A fake Nix evaluates it; the suite evaluation does so with a real nixpkgs.

use std::fs;

use crate::new_host_fixture::{Flake, KEY};
use crate::page;
use crate::scene::Scene;

#[test]
#[ignore = "needs git: run `cargo xtask test`"]
fn the_commands_write_the_files_of_a_host() {
    let blocks = page::blocks().into_iter().filter(|block| block.scene == "new-host").collect::<Vec<_>>();
    assert_eq!(blocks.len(), 2, "{blocks:#?}");
    for block in blocks {
        let flake = Flake::registry();
        let ssh = flake.sandbox.path("home/.ssh");
        fs::create_dir_all(&ssh).expect("making a folder");
        fs::write(ssh.join("id_ed25519.pub"), format!("{KEY}\n")).expect("writing a key");
        let mut scene = Scene::new(&flake.sandbox, &flake.sandbox.path("flake"));
        scene.names.push(("new-host fast", "new-host smelly".to_owned()));
        scene.run_block(&block);
        let listed = scene.run("git ls-files hosts; cat hosts/default.nix", false).stderr;
        for expected in ["hosts/common/keys/anna.pub", "hosts/smelly/", "smelly = {"] {
            assert!(listed.contains(expected), "{}: {expected}: {listed}", block.place());
        }
    }
}
