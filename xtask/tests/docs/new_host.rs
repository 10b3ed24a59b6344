//! The command that writes a new host. A fake Nix evaluates it; the suite evaluation does so with a real nixpkgs.

use std::fs;

use crate::new_host_fixture::{Flake, KEY};
use crate::scene::Scene;

#[test]
#[ignore = "needs git: run `cargo xtask test`"]
fn the_command_writes_the_files_of_a_host() {
    let flake = Flake::registry();
    let ssh = flake.sandbox.path("home/.ssh");
    fs::create_dir_all(&ssh).expect("making a folder");
    fs::write(ssh.join("id_ed25519.pub"), format!("{KEY}\n")).expect("writing a key");
    let scene = Scene::new(&flake.sandbox, &flake.sandbox.path("flake"));
    scene.run_all("new-host");
    let listed = scene.run("git ls-files hosts; cat hosts/default.nix", false).stderr;
    for expected in ["hosts/common/keys/anna.pub", "hosts/smelly/", "smelly = {"] {
        assert!(listed.contains(expected), "{expected}: {listed}");
    }
}
