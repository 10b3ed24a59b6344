//! The commands that clone this repository and set the machine up.

use crate::page;
use crate::scene::Scene;
use crate::support::Sandbox;

#[test]
#[ignore = "needs git, Nix, AArch64 emulation and deploy-rs: run `cargo xtask test`"]
fn a_clone_is_set_up() {
    let sandbox = Sandbox::new();
    let home = sandbox.path("home");
    let mut scene = Scene::new(&sandbox, &home);
    scene.names.push(("REPOSITORY", page::repository().display().to_string()));
    scene.run_all("clone");
    scene.run("cargo xtask setup", false).assert_code(0).assert_stderr_contains("setup: nothing to do");
    assert!(home.join("pis/flake.nix").exists());
}
