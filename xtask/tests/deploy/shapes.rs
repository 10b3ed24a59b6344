//! Flakes in the shapes that public flakes with a Pi have (`tests/nix/shapes.rs`): their hosts are deployed too. The
//! system of a host is a stand-in here, as in the other tests of this suite.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::fixture::Fixture;
use crate::support::Outcome;

/// Turns the flake of `fixture` into one of the shape `outputs`, in which one host has the node or the configuration of
/// the fixture's `target`. The Nix expression `expression` is an attribute set with that part. In it, `shape` are the
/// outputs of the shape, and `hosts` those of the fixture.
fn reshape(fixture: &Fixture, outputs: &str, expression: &str) {
    let folder = fixture.flake();
    let write = |name: &str, text: &str| fs::write(Path::new(&folder).join(name), text).expect("writing");
    let hosts = Path::new(&folder).join("hosts.nix");
    if !hosts.exists() {
        fs::rename(hosts.with_file_name("flake.nix"), &hosts).expect("renaming");
    }
    let system = format!("{}-linux", std::env::consts::ARCH);
    write("make.nix", &include_str!("../nix/flakes/make.nix").replace("@system@", &system));
    write("outputs.nix", outputs);
    write(
        "flake.nix",
        &format!(
            "{{ outputs = {{ self }}: let
                 shape = import ./outputs.nix (import ./make.nix);
                 hosts = (import ./hosts.nix).outputs {{ inherit self; }};
               in shape // {expression}; }}"
        ),
    );
}

/// Asserts that the table of `status` shows `host` as current.
#[track_caller]
fn assert_current(status: &Outcome, host: &str) {
    let rows =
        status.assert_code(0).stdout.lines().map(|row| row.split_whitespace().take(2).collect::<Vec<_>>());
    assert!(rows.collect::<Vec<_>>().contains(&vec![host, "current"]), "{}", status.stdout);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_node_among_other_outputs_is_deployed() {
    let fixture = Fixture::new();
    for (name, host, outputs) in [
        ("other", "pi", include_str!("../nix/flakes/convention.nix")),
        ("first", "rpi5", include_str!("../nix/flakes/companion.nix")),
        ("second", "attic_pi", include_str!("../nix/flakes/fleet.nix")),
    ] {
        fixture.set_profile(name, ":");
        fixture.set_nixos(name, name);
        let nodes = format!(
            "{{ deploy.nodes = shape.deploy.nodes // {{ {host} = hosts.deploy.nodes.target; }};
                nixosConfigurations = shape.nixosConfigurations or {{ }} // {{ {host} = hosts.nixosConfigurations.target; }}; }}"
        );
        reshape(&fixture, outputs, &nodes);
        fixture.run(&["deploy", host]).assert_code(0);
        fixture.assert_runs(name);
        let status = fixture.run(&["status", host]);
        assert_current(&status, host);
    }
}

/// Four of five flakes have no node: the tool makes one of the configuration, wherever that is.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_configuration_in_any_shape_is_deployed_without_a_node() {
    let fixture = Fixture::new();
    fixture.set_configuration("one", ":", &json!({}));
    let system = format!("{}-linux", std::env::consts::ARCH);
    let flat = "{ nixosConfigurations = shape.nixosConfigurations or { } // { pi = hosts.nixosConfigurations.target; }; }";
    let by_system = format!(
        "{{ nixosConfigurations = shape.nixosConfigurations // {{ aarch64-linux = {{ }}; }} // \
         {{ {system} = {{ pi = hosts.nixosConfigurations.target; }}; }}; }}"
    );
    for (shape, expression) in [
        (include_str!("../nix/flakes/sd-image-module.nix"), flat),
        (include_str!("../nix/flakes/images.nix"), flat),
        (include_str!("../nix/flakes/package-of-host.nix"), flat),
        (include_str!("../nix/flakes/package-with-ending.nix"), flat),
        (include_str!("../nix/flakes/only-host.nix"), flat),
        (include_str!("../nix/flakes/build-image.nix"), flat),
        (include_str!("../nix/flakes/own-variant.nix"), flat),
        (include_str!("../nix/flakes/disko.nix"), flat),
        (include_str!("../nix/flakes/stock-variant.nix"), flat),
        (include_str!("../nix/flakes/elsewhere.nix"), flat),
        (include_str!("../nix/flakes/by-system.nix"), &*by_system),
    ] {
        reshape(&fixture, shape, expression);
        fixture.run(&["deploy", "pi", "--to", &fixture.login()]).assert_code(0);
        let status = fixture.run(&["status", "pi", "--to", &fixture.login()]);
        assert_current(&status, "pi");
    }
}
