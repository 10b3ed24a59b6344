//! Hosts without a deploy-rs node: the tool makes one of the NixOS configuration.

use serde_json::{Value, json};

use crate::machine;
use crate::scene::Scene;

/// Runs `deploy target --to ADDRESS`.
fn deploy(scene: &Scene, args: &[&str]) -> crate::support::Outcome {
    scene.deploy(&[&["--to", &scene.login()], args].concat())
}

/// Asserts the name of the current system on the host, and that its profile wraps it.
#[track_caller]
fn assert_runs(scene: &Scene, name: &str) {
    let current = scene.machine.inside("readlink -f /run/current-system");
    assert!(current.ends_with(&format!("-{name}")), "{current}, not {name}");
    let profile = scene.machine.inside("readlink -f /nix/var/nix/profiles/system/activate");
    assert_eq!(profile, format!("{current}/activate"));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_without_a_node_is_deployed_verified_and_shown() {
    let scene = Scene::new();
    scene.set_configuration("one", ":", &json!({}));
    let outcome = deploy(&scene, &[]);
    let proof = "read on target: /run/current-system, against nixosConfigurations.target, and \
                 /nix/var/nix/profiles/system, against the profile made of nixosConfigurations.target\n";
    outcome.assert_stderr_contains(format!("deploy target as {}\n", scene.login()));
    outcome.assert_stderr_contains(proof).assert_code(0);
    assert!(outcome.stdout.ends_with("-one\n"), "{}", outcome.stdout);
    assert_runs(&scene, "one");
    let status = scene.run(&["status", "target", "--to", &scene.login()]);
    assert!(status.assert_code(0).stdout.contains("\ntarget  current  "), "{}", status.stdout);
    assert!(deploy(&scene, &[]).assert_code(0).stdout.starts_with("target already runs /nix/store/"));
    scene.set_configuration("two", ":", &json!({}));
    let json = scene.run(&["--json", "status", "target", "--to", &scene.login()]);
    let status: Value = serde_json::from_str(&json.assert_code(0).stdout).expect("JSON");
    assert_eq!(status[0]["current"], false);
    deploy(&scene, &["--boot"]).assert_stderr_contains("it is what boots\n").assert_code(0);
    assert!(scene.machine.inside("readlink -f /run/current-system").ends_with("-one"));
    deploy(&scene, &["--reboot"]).assert_code(0);
    assert_runs(&scene, "two");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_activation_without_a_node_is_rolled_back() {
    let scene = Scene::new();
    scene.set_configuration("good", ":", &json!({}));
    deploy(&scene, &[]).assert_code(0);
    for (name, activation) in [("bad", "exit 4"), ("deaf", "ip link set eth0 down")] {
        scene.set_configuration(name, activation, &json!({}));
        let outcome = deploy(&scene, &["--", "--confirm-timeout", "4"]);
        outcome.assert_stderr_contains("target rolled back to /nix/store/").assert_code(10);
        assert_runs(&scene, "good");
    }
}

/// A host that was flashed, or that `nixos-rebuild` deployed.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_first_deploy_without_a_node_can_roll_back() {
    let scene = Scene::new();
    scene.set_configuration("old", ":", &json!({}));
    let toplevel = format!("{}#nixosConfigurations.target.config.system.build.toplevel", scene.flake());
    let path = machine::run("nix", &["build", "--no-link", "--print-out-paths", &toplevel]);
    let path = path.trim();
    let options = format!("NIX_SSHOPTS=-F {}", scene.sandbox.path("ssh_config").display());
    let store = format!("ssh://{}", scene.login());
    machine::run("env", &[&options, "nix", "copy", "--no-check-sigs", "--to", &store, path]);
    let profile = "/nix/var/nix/profiles/system";
    scene.machine.inside(&format!("nix-env -p {profile} --set {path}; ln -s {path} /run/current-system"));
    scene.set_configuration("bad", "exit 4", &json!({}));
    deploy(&scene, &[]).assert_stderr_contains("target rolled back to /nix/store/").assert_code(10);
    assert_runs(&scene, "old");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_configuration_may_name_its_address_and_be_sorted_by_system() {
    let scene = Scene::new();
    let address = &scene.machine.address;
    let keys = json!({ "wifi": {}, "vpn": {} });
    let deployment = json!({ "targetHost": address, "targetUser": "root", "targetPort": 22, "keys": keys });
    scene.set_configuration("one", ":", &deployment);
    scene.edit(|facts| facts["sorted"] = true.into());
    let outcome = scene.deploy(&[]);
    let name = format!("nixosConfigurations.{}-linux.target", std::env::consts::ARCH);
    outcome
        .assert_stderr_contains(format!("`deployment.keys` of {name} are not copied to target: vpn, wifi\n"))
        .assert_stderr_contains(format!("against the profile made of {name}\n"))
        .assert_code(0);
    assert_runs(&scene, "one");
    scene.run(&["status", "target"]).assert_code(0);
    scene.set_configuration("one", ":", &json!({ "targetHost": 7 }));
    let error = format!("{name}.config.deployment.targetHost is an integer, not a string");
    scene.deploy(&[]).assert_stderr_contains(error).assert_code(3);
}

/// The address of a node that is wrong by now.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_with_a_node_is_deployed_to_another_address() {
    let scene = Scene::new();
    scene.set_profile_at("127.0.0.1", "one", ":");
    deploy(&scene, &[]).assert_code(0);
    scene.assert_runs("one");
}
