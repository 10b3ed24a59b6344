//! The connection over which a host is asked before it is changed, and what is in its way.

use std::fs;

use crate::machine;
use crate::scene::Scene;

/// The processes of ssh whose socket is in the state folder of the scene.
fn left(scene: &Scene) -> String {
    let state = scene.sandbox.path("state").display().to_string();
    let all = machine::run("ps", &["-eo", "args"]);
    all.lines().filter(|line| line.starts_with("ssh") && line.contains(&state)).collect()
}

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

/// The session that holds the line is the only one that the host's sshd allows.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_that_allows_one_session() {
    let scene = Scene::new();
    let file = scene.machine.path("sshd_config");
    let settings = fs::read_to_string(&file).expect("the settings of sshd");
    fs::write(&file, format!("MaxSessions 1\n{settings}")).expect("writing the settings of sshd");
    scene.machine.inside("pkill -x sshd");
    for name in ["one", "two"] {
        scene.means(name, ":");
        scene.deploy(&["--wait"]).exits(0);
        scene.runs(name);
    }
}

/// The user's own settings keep connections open: not this one.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_user_who_shares_connections_too() {
    let scene = Scene::new();
    let (config, own) = (scene.sandbox.path("config"), scene.sandbox.path("own-%C"));
    let settings = format!("ControlMaster auto\nControlPath {}\nControlPersist 30\n", own.display());
    fs::write(&config, settings).expect("writing the settings of ssh");
    let mut options = scene.machine.ssh_options(&scene.known_hosts);
    options[1] = config.display().to_string();
    scene.host("target", &scene.machine.address, &options, "one", ":");
    scene.deploy(&[]).exits(0);
    scene.runs("one");
    assert_eq!(left(&scene), "");
}
