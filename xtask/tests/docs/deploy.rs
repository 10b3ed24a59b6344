//! Deploys to a host in a network namespace, from one system to the next.

use crate::fixture::Fixture;
use crate::scene::Scene;

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_deploys_print_what_the_pages_show() {
    let fixture = Fixture::new();
    let flake = fixture.sandbox.path("flake");
    for (release, kernel) in [("1", "linux-6.1"), ("2", "linux-6.3")] {
        fixture.set_profile(&format!("profile-{release}"), ":");
        fixture.set_nixos(&format!("nixos-{release}"), &format!("nixos-{release}"));
        fixture.edit(|facts| facts["kernel"] = kernel.into());
        if release == "1" {
            fixture.deploy(&["--reboot"]).assert_code(0);
        }
    }
    Scene::new(&fixture.sandbox, &flake).run_all("deploy");
}
