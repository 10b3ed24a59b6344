//! Real deploys: deploy-rs and Nix on this machine, and a host with its own sshd and store.

#[path = "deploy/machine.rs"]
mod machine;
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use machine::Machine;
use serde_json::json;
use support::{Outcome, Sandbox};

/// A host, and the flake that describes what it is to run.
struct Scene {
    sandbox: Sandbox,
    machine: Machine,
    /// What ssh is to be told beside how it gets in.
    options: Vec<String>,
    known_hosts: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let machine = Machine::start();
        let scene = Self {
            sandbox: Sandbox::new(),
            options: Vec::new(),
            known_hosts: machine.known_hosts(),
            machine,
        };
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deploy/fixture");
        let flake = scene.sandbox.path("flake");
        for name in ["flake.nix", "profile.sh", "toplevel.sh"] {
            fs::copy(fixture.join(name), flake.join(name)).expect("copying the fixture");
        }
        fs::create_dir(flake.join("busybox")).expect("making a folder");
        fs::copy(busybox(), flake.join("busybox/busybox")).expect("copying busybox");
        scene
    }

    /// The flake now means a profile that is called `name` and does `activation` on the host.
    fn means(&self, name: &str, activation: &str) {
        self.means_at(&self.machine.address, name, activation);
    }

    fn means_at(&self, hostname: &str, name: &str, activation: &str) {
        let options = [self.machine.ssh_options(&self.known_hosts), self.options.clone()].concat();
        let system = format!("{}-linux", std::env::consts::ARCH);
        let node = json!({
            "hostname": hostname, "sshUser": "root", "sshOpts": options,
            "fastConnection": true, "confirmTimeout": 4, "activationTimeout": 30,
        });
        let facts = json!({
            "name": name, "system": system, "activation": activation, "node": node,
            "wraps": null, "systems": {},
        });
        fs::write(self.sandbox.path("flake/facts.json"), facts.to_string()).expect("writing the facts");
    }

    /// The node's profile wraps the system `wraps`, and the flake's NixOS system of its name is `system`.
    fn is_nixos(&self, wraps: &str, system: &str) {
        let file = self.sandbox.path("flake/facts.json");
        let facts = fs::read_to_string(&file).expect("reading the facts");
        let mut facts: serde_json::Value = serde_json::from_str(&facts).expect("the facts as JSON");
        facts["wraps"] = wraps.into();
        facts["systems"] = json!({ "target": system });
        fs::write(&file, facts.to_string()).expect("writing the facts");
    }

    fn deploy(&self, args: &[&str]) -> Outcome {
        let flake = self.flake();
        self.sandbox.run(&[&["--flake", &flake, "deploy", "target"], args].concat())
    }

    fn flake(&self) -> String {
        self.sandbox.path("flake").display().to_string()
    }

    /// The name of what the host runs, read without the tool and without ssh.
    #[track_caller]
    fn runs(&self, name: &str) {
        let (current, profile) =
            ("readlink -f /run/current-system", "readlink -f /nix/var/nix/profiles/system");
        for link in [current, profile] {
            let path = self.machine.inside(link);
            assert!(path.ends_with(&format!("-{name}")), "{link}: {path}, not {name}");
        }
    }
}

/// A static busybox for this machine, of which the fixture's profiles are made.
fn busybox() -> PathBuf {
    let path = std::env::var_os("PATH").expect("PATH is set");
    let found = std::env::split_paths(&path).map(|dir| dir.join("busybox")).find(|file| file.exists());
    found.expect("a static busybox on PATH")
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_deploy_and_the_same_again() {
    let scene = Scene::new();
    scene.means("one", ":");
    let first = scene.deploy(&[]);
    assert!(first.exits(0).starts_with("target runs /nix/store/"), "{}", first.stdout);
    scene.runs("one");
    let again = scene.deploy(&[]);
    assert!(again.exits(0).starts_with("target already runs /nix/store/"), "{}", again.stdout);
    assert!(!again.stderr.contains("[deploy]"), "deploy-rs ran: {}", again.stderr);
}

impl Scene {
    /// deploy-rs alone, as a user would run it: its exit code and everything it said.
    fn bare_deploy_rs(&self) -> (i32, String) {
        let target = format!("{}#target", self.flake());
        machine::output("deploy", &["--skip-checks", &target])
    }

    /// Leaves the canary of an earlier deploy of the profile that the flake means on the host.
    fn leave_canary(&self) -> String {
        let profile = format!("{}#deploy.nodes.target.profiles.system.path", self.flake());
        let path = machine::run("nix", &["eval", "--raw", &profile]);
        let hash = &path["/nix/store/".len()..][..32];
        let canary = format!("/tmp/deploy-rs-canary-{hash}");
        self.machine.inside(&format!("touch {canary}"));
        canary
    }
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_failing_activation_is_a_rollback() {
    let scene = Scene::new();
    scene.means("good", ":");
    scene.deploy(&[]).exits(0);
    scene.means("bad", "exit 4");
    scene.deploy(&[]).says("target went back to /nix/store/").exits(10);
    scene.runs("good");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_activation_that_cuts_the_network_is_rolled_back() {
    let scene = Scene::new();
    scene.means("good", "ip link set eth0 up");
    scene.deploy(&[]).exits(0);
    scene.means("deaf", "ip link set eth0 down");
    let outcome = scene.deploy(&[]);
    outcome.says("target went back to /nix/store/").exits(10);
    scene.runs("good");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_stale_canary_deceives_deploy_rs_but_not_the_tool() {
    let scene = Scene::new();
    scene.means("good", ":");
    scene.deploy(&[]).exits(0);
    scene.means("bad", "sleep 1; exit 4");
    scene.leave_canary();
    let (code, said) = scene.bare_deploy_rs();
    assert_eq!(code, 0, "deploy-rs is not deceived any more: {said}");
    assert!(said.contains("Deployment confirmed."), "{said}");
    scene.machine.wait_for_the_end_of_activations();
    scene.runs("good");
    let canary = scene.leave_canary();
    scene.deploy(&[]).says("target went back to /nix/store/").exits(10);
    scene.runs("good");
    assert_eq!(scene.machine.inside(&format!("ls {canary} 2>/dev/null || echo gone")), "gone");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn failed_units_are_no_success() {
    let scene = Scene::new();
    scene.means("ill", "echo 'octoprint.service loaded failed failed OctoPrint' >/mnt/failed-units");
    scene.deploy(&[]).says("but units have failed: octoprint.service").exits(11);
    scene.runs("ill");
    let again = scene.deploy(&[]);
    again.says("but is degraded: units had failed before, and still are: octoprint.service").exits(11);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_build_that_fails_leaves_the_host_alone() {
    let scene = Scene::new();
    scene.means("good", ":");
    scene.deploy(&[]).exits(0);
    scene.means("broken", ":");
    fs::write(scene.sandbox.path("flake/profile.sh"), "exit 3").expect("breaking the build");
    scene.deploy(&[]).says("nix failed on").exits(1);
    scene.runs("good");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn hosts_that_cannot_be_reached() {
    let mut scene = Scene::new();
    scene.options = ["-o", "ConnectTimeout=2"].map(str::to_owned).to_vec();
    scene.means("one", ":");
    scene.machine.inside("ip link set eth0 down");
    scene.deploy(&[]).says("target cannot be reached as root@10.").exits(12);
    scene.options = ["-p", "1"].map(str::to_owned).to_vec();
    scene.means_at("127.0.0.1", "one", ":");
    scene.deploy(&[]).says("target cannot be reached as root@127.0.0.1").exits(12);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn another_host_key() {
    let mut scene = Scene::new();
    let (address, key) = (&scene.machine.address, fs::read_to_string(scene.machine.path("client_key.pub")));
    scene.known_hosts = scene.machine.path("wrong_hosts");
    fs::write(&scene.known_hosts, format!("{address} {}", key.expect("reading a key"))).expect("writing");
    scene.means("one", ":");
    scene.deploy(&[]).says("either its card was flashed again with new keys").exits(13);
    fs::write(&scene.known_hosts, "").expect("emptying known_hosts");
    scene.deploy(&[]).says("the host key of target is not known here").exits(13);
}

impl Scene {
    /// This project has flashed the host, and the key in `name` with it. Nobody else knows the host.
    fn pins(&mut self, name: &str) {
        self.known_hosts = self.machine.path("nobody");
        fs::write(&self.known_hosts, "").expect("writing known_hosts");
        let key = fs::read_to_string(self.machine.path(name)).expect("reading a key");
        let folder = self.sandbox.path("state/identity");
        fs::create_dir_all(&folder).expect("making the folder of identities");
        fs::write(folder.join("known_hosts"), format!("target {key}")).expect("pinning");
    }
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_key_that_the_project_knows() {
    let mut scene = Scene::new();
    scene.pins("host_key.pub");
    scene.means("one", ":");
    scene.deploy(&[]).exits(0);
    scene.runs("one");
    scene.pins("client_key.pub");
    scene.means("two", ":");
    let outcome = scene.deploy(&[]);
    outcome.says("either someone re-flashed it").says("or this is not your host").exits(13);
    scene.runs("one");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_that_the_flake_does_not_have() {
    let scene = Scene::new();
    scene.means("one", ":");
    let flake = scene.flake();
    let outcome = scene.sandbox.run(&["--flake", &flake, "deploy", "targte"]);
    outcome.says("has no deploy node 'targte'; did you mean 'target'? (nodes: target)").exits(2);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_running_system_is_that_of_the_flake() {
    let scene = Scene::new();
    scene.means("profile", ":");
    scene.is_nixos("nixos-one", "nixos-one");
    let outcome = scene.deploy(&[]);
    outcome.says("against nixosConfigurations.target, and").says("  to    /nix/store/");
    assert!(outcome.exits(0).ends_with("-nixos-one\n"), "{}", outcome.stdout);
    scene.is_nixos("nixos-two", "nixos-one");
    scene.deploy(&[]).says("-nixos-two, which is not nixosConfigurations.target").exits(10);
    scene.is_nixos("nixos-two", "nixos-two");
    assert!(scene.deploy(&[]).exits(0).starts_with("target already runs /nix/store/"));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_deploy_that_is_stopped_still_says_what_the_host_runs() {
    let scene = Scene::new();
    scene.means("good", ":");
    scene.deploy(&[]).exits(0);
    scene.means("slow", "sleep 3");
    let flake = scene.flake();
    let outcome =
        scene.sandbox.interrupt_at(&["--flake", &flake, "deploy", "target"], "Activating profile `");
    outcome.says("stopped; finding out what target runs").says("target went back to /nix/store/").exits(10);
    scene.runs("good");
}
