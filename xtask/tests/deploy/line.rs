//! The connection over which a host is asked before it is changed, and what is in its way.

use crate::scene::Scene;

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_state_folder_whose_name_has_spaces() {
    let mut scene = Scene::new();
    let state = scene.sandbox.path("my state");
    scene.sandbox.env("XTASK_STATE", state);
    for name in ["one", "two"] {
        scene.means(name, ":");
        scene.deploy(&[]).exits(0);
        scene.runs(name);
    }
}
