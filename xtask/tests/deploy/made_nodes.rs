//! Hosts without a node in the flake: the tool makes a node of the NixOS configuration.

use serde_json::json;

use crate::fixture::Fixture;

/// Runs `deploy target --to USER@ADDRESS ARGS`.
fn deploy_to_login(fixture: &Fixture, args: &[&str]) -> crate::support::Outcome {
    fixture.deploy(&[&["--to", &fixture.login()], args].concat())
}

/// Asserts that the host runs the system `name`, and that its profile wraps that system.
#[track_caller]
fn assert_runs(fixture: &Fixture, name: &str) {
    let current = fixture.machine.run_inside("readlink -f /run/current-system");
    assert!(current.ends_with(&format!("-{name}")), "{current}, not {name}");
    let profile = fixture.machine.run_inside("readlink -f /nix/var/nix/profiles/system/activate");
    assert_eq!(profile, format!("{current}/activate"));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_without_a_node_is_deployed_verified_and_shown() {
    let fixture = Fixture::new();
    fixture.set_configuration("one", ":", &json!({}));
    let outcome = deploy_to_login(&fixture, &[]);
    let comparison = "compared on target: /run/current-system with nixosConfigurations.target, and \
                 /nix/var/nix/profiles/system with the profile made of nixosConfigurations.target\n";
    outcome.assert_stderr_contains(format!("deploy target as {}\n", fixture.login()));
    outcome.assert_stderr_contains(comparison).assert_code(0);
    assert!(outcome.stdout.ends_with("-one\n"), "{}", outcome.stdout);
    assert_runs(&fixture, "one");
    let status = fixture.run(&["status", "target", "--to", &fixture.login()]);
    assert!(status.assert_code(0).stdout.contains("\ntarget  current  "), "{}", status.stdout);
    assert!(
        deploy_to_login(&fixture, &[]).assert_code(0).stdout.starts_with("target already runs /nix/store/")
    );
    fixture.set_configuration("two", ":", &json!({}));
    let json = fixture.run(&["--json", "status", "target", "--to", &fixture.login()]);
    let status = json.assert_code(0).json();
    assert_eq!(status["hosts"][0]["current"], false);
    deploy_to_login(&fixture, &["--boot"])
        .assert_stderr_contains("which the next boot starts, with ")
        .assert_code(0);
    assert!(fixture.machine.run_inside("readlink -f /run/current-system").ends_with("-one"));
    deploy_to_login(&fixture, &["--reboot"]).assert_code(0);
    assert_runs(&fixture, "two");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_activation_without_a_node_is_rolled_back() {
    let fixture = Fixture::new();
    fixture.set_configuration("good", ":", &json!({}));
    deploy_to_login(&fixture, &[]).assert_code(0);
    for (name, activation) in [("bad", "exit 4"), ("deaf", "ip link set eth0 down")] {
        fixture.set_configuration(name, activation, &json!({}));
        let outcome = deploy_to_login(&fixture, &["--", "--confirm-timeout", "4"]);
        outcome.assert_stderr_contains("target rolled back to /nix/store/").assert_code(10);
        assert_runs(&fixture, "good");
    }
}

/// The host was flashed, or deployed by `nixos-rebuild`.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_first_deploy_without_a_node_can_roll_back() {
    let fixture = Fixture::new();
    fixture.set_configuration("old", ":", &json!({}));
    fixture.install_without_deploy_rs(&format!("-F {}", fixture.sandbox.path("ssh_config").display()));
    fixture.set_configuration("bad", "exit 4", &json!({}));
    deploy_to_login(&fixture, &[])
        .assert_stderr_contains("target rolled back to /nix/store/")
        .assert_code(10);
    assert_runs(&fixture, "old");
}

/// `release` has no `--to`.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_release_of_a_host_without_an_address_names_only_the_flake_as_a_remedy() {
    let fixture = Fixture::new();
    fixture.set_configuration("one", ":", &json!({}));
    let file = fixture.sandbox.path("release.json").display().to_string();
    let release = |of: &str| fixture.run(&["release", of, "--allow-dirty", "--out", &file]);
    release("target")
        .assert_code(2)
        .assert_stderr_contains("no address of the host\nhint: add deploy.nodes.target to the flake\n");
    release("--all")
        .assert_code(2)
        .assert_stderr_contains("has no deploy nodes\nhint: add `deploy.nodes.HOST` to the flake\n");
}

/// The `deployment.keys` of the configuration are not copied, which a warning reports. An address that is no text is
/// refused.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_configuration_may_name_its_address_and_be_sorted_by_system() {
    let fixture = Fixture::new();
    let address = &fixture.machine.address;
    let keys = json!({ "wifi": {}, "vpn": {} });
    let deployment = json!({ "targetHost": address, "targetUser": "root", "targetPort": 22, "keys": keys });
    fixture.set_configuration("one", ":", &deployment);
    fixture.edit(|facts| facts["sorted"] = true.into());
    let outcome = fixture.deploy(&[]);
    let name = format!("nixosConfigurations.{}-linux.target", std::env::consts::ARCH);
    outcome
        .assert_stderr_contains(format!("`deployment.keys` of {name} are not copied to target: vpn, wifi\n"))
        .assert_stderr_contains(format!("with the profile made of {name}\n"))
        .assert_code(0);
    assert_runs(&fixture, "one");
    fixture.run(&["status", "target"]).assert_code(0);
    fixture.set_configuration("one", ":", &json!({ "targetHost": 7 }));
    let error = format!("{name}.config.deployment.targetHost is an integer, not a string");
    fixture.deploy(&[]).assert_stderr_contains(error).assert_code(3);
}

/// The address in the node is out of date.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_with_a_node_is_deployed_to_another_address() {
    let fixture = Fixture::new();
    fixture.set_profile_at("127.0.0.1", "one", ":");
    deploy_to_login(&fixture, &[]).assert_code(0);
    fixture.assert_runs("one");
}
