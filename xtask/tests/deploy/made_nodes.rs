//! Hosts without a deploy-rs node: the tool makes one of the NixOS configuration.

use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::machine;

/// Runs `deploy target --to ADDRESS`.
fn deploy(fixture: &Fixture, args: &[&str]) -> crate::support::Outcome {
    fixture.deploy(&[&["--to", &fixture.login()], args].concat())
}

/// Asserts the name of the current system on the host, and that its profile wraps it.
#[track_caller]
fn assert_runs(fixture: &Fixture, name: &str) {
    let current = fixture.machine.inside("readlink -f /run/current-system");
    assert!(current.ends_with(&format!("-{name}")), "{current}, not {name}");
    let profile = fixture.machine.inside("readlink -f /nix/var/nix/profiles/system/activate");
    assert_eq!(profile, format!("{current}/activate"));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_without_a_node_is_deployed_verified_and_shown() {
    let fixture = Fixture::new();
    fixture.set_configuration("one", ":", &json!({}));
    let outcome = deploy(&fixture, &[]);
    let proof = "compared on target: /run/current-system with nixosConfigurations.target, and \
                 /nix/var/nix/profiles/system with the profile made of nixosConfigurations.target\n";
    outcome.assert_stderr_contains(format!("deploy target as {}\n", fixture.login()));
    outcome.assert_stderr_contains(proof).assert_code(0);
    assert!(outcome.stdout.ends_with("-one\n"), "{}", outcome.stdout);
    assert_runs(&fixture, "one");
    let status = fixture.run(&["status", "target", "--to", &fixture.login()]);
    assert!(status.assert_code(0).stdout.contains("\ntarget  current  "), "{}", status.stdout);
    assert!(deploy(&fixture, &[]).assert_code(0).stdout.starts_with("target already runs /nix/store/"));
    fixture.set_configuration("two", ":", &json!({}));
    let json = fixture.run(&["--json", "status", "target", "--to", &fixture.login()]);
    let status: Value = serde_json::from_str(&json.assert_code(0).stdout).expect("JSON");
    assert_eq!(status[0]["current"], false);
    deploy(&fixture, &["--boot"]).assert_stderr_contains("which the next boot starts, with ").assert_code(0);
    assert!(fixture.machine.inside("readlink -f /run/current-system").ends_with("-one"));
    deploy(&fixture, &["--reboot"]).assert_code(0);
    assert_runs(&fixture, "two");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_activation_without_a_node_is_rolled_back() {
    let fixture = Fixture::new();
    fixture.set_configuration("good", ":", &json!({}));
    deploy(&fixture, &[]).assert_code(0);
    for (name, activation) in [("bad", "exit 4"), ("deaf", "ip link set eth0 down")] {
        fixture.set_configuration(name, activation, &json!({}));
        let outcome = deploy(&fixture, &["--", "--confirm-timeout", "4"]);
        outcome.assert_stderr_contains("target rolled back to /nix/store/").assert_code(10);
        assert_runs(&fixture, "good");
    }
}

/// A host that was flashed, or that `nixos-rebuild` deployed.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_first_deploy_without_a_node_can_roll_back() {
    let fixture = Fixture::new();
    fixture.set_configuration("old", ":", &json!({}));
    let toplevel = format!("{}#nixosConfigurations.target.config.system.build.toplevel", fixture.flake());
    let path = machine::run("nix", &["build", "--no-link", "--print-out-paths", &toplevel]);
    let path = path.trim();
    let options = format!("NIX_SSHOPTS=-F {}", fixture.sandbox.path("ssh_config").display());
    let store = format!("ssh://{}", fixture.login());
    machine::run("env", &[&options, "nix", "copy", "--no-check-sigs", "--to", &store, path]);
    let profile = "/nix/var/nix/profiles/system";
    fixture.machine.inside(&format!("nix-env -p {profile} --set {path}; ln -s {path} /run/current-system"));
    fixture.set_configuration("bad", "exit 4", &json!({}));
    deploy(&fixture, &[]).assert_stderr_contains("target rolled back to /nix/store/").assert_code(10);
    assert_runs(&fixture, "old");
}

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

/// The address of a node that is wrong by now.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_with_a_node_is_deployed_to_another_address() {
    let fixture = Fixture::new();
    fixture.set_profile_at("127.0.0.1", "one", ":");
    deploy(&fixture, &[]).assert_code(0);
    fixture.assert_runs("one");
}
