//! Hosts, and the flake that describes what they are to run.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use xtask::Launcher;
use xtask::dev::netns::Fleet;

use crate::machine::{self, Machine};
use crate::support::{Outcome, Sandbox};

/// One host, which the flake calls `target`, and perhaps more that a test brings.
pub struct Scene {
    pub sandbox: Sandbox,
    pub machine: Machine,
    /// What ssh is to be told beside how it gets in.
    pub options: Vec<String>,
    pub known_hosts: PathBuf,
    fleet: Fleet,
}

impl Scene {
    pub fn new() -> Self {
        let machine = Machine::start();
        let sandbox = Sandbox::new();
        let fleet = Fleet::new(&Launcher::new("/"), &sandbox.path("flake")).expect("writing the flake");
        Self { options: Vec::new(), known_hosts: machine.known_hosts(), sandbox, machine, fleet }
    }

    /// The flake now means a profile that is called `name` and does `activation` on the host.
    pub fn means(&self, name: &str, activation: &str) {
        self.means_at(&self.machine.address, name, activation);
    }

    pub fn means_at(&self, hostname: &str, name: &str, activation: &str) {
        let options = [self.machine.ssh_options(&self.known_hosts), self.options.clone()].concat();
        self.host("target", hostname, &options, name, activation);
    }

    /// The flake has the host `host`, which is reached at `hostname` with these options of ssh.
    pub fn host(&self, host: &str, hostname: &str, options: &[String], name: &str, activation: &str) {
        let known = self.fleet.host(host, (hostname, options), (name, activation));
        known.expect("writing the flake");
    }

    /// Changes what the flake says.
    pub fn say(&self, change: impl FnOnce(&mut Value)) {
        self.fleet.say(change).expect("writing the flake");
    }

    /// The node's profile wraps the system `wraps`, and the flake's NixOS system of its name is `system`.
    pub fn is_nixos(&self, wraps: &str, system: &str) {
        self.say(|facts| {
            facts["hosts"]["target"]["wraps"] = wraps.into();
            facts["systems"] = json!({ "target": system });
        });
    }

    pub fn deploy(&self, args: &[&str]) -> Outcome {
        self.run(&[&["deploy", "target"], args].concat())
    }

    pub fn run(&self, args: &[&str]) -> Outcome {
        let flake = self.flake();
        self.sandbox.run(&[&["--flake", &flake], args].concat())
    }

    pub fn flake(&self) -> String {
        self.sandbox.path("flake").display().to_string()
    }

    /// The name of what the host runs, read without the tool and without ssh.
    #[track_caller]
    pub fn runs(&self, name: &str) {
        for link in ["/run/current-system", "/nix/var/nix/profiles/system"] {
            let path = self.machine.inside(&format!("readlink -f {link}"));
            assert!(path.ends_with(&format!("-{name}")), "{link}: {path}, not {name}");
        }
    }

    /// deploy-rs alone, as a user would run it: its exit code and everything it said.
    pub fn bare_deploy_rs(&self) -> (i32, String) {
        let target = format!("{}#target", self.flake());
        machine::output("deploy", &["--skip-checks", &target])
    }

    /// Leaves the canary of an earlier deploy of the profile that the flake means on the host.
    pub fn leave_canary(&self) -> String {
        let profile = format!("{}#deploy.nodes.target.profiles.system.path", self.flake());
        let path = machine::run("nix", &["eval", "--raw", &profile]);
        let hash = &path["/nix/store/".len()..][..32];
        let canary = format!("/tmp/deploy-rs-canary-{hash}");
        self.machine.inside(&format!("touch {canary}"));
        canary
    }

    /// This project has flashed the host, and the key in `name` with it. Nobody else knows the host.
    pub fn pins(&mut self, name: &str) {
        self.known_hosts = self.machine.path("nobody");
        fs::write(&self.known_hosts, "").expect("writing known_hosts");
        let key = fs::read_to_string(self.machine.path(name)).expect("reading a key");
        let folder = self.sandbox.path("state/identity");
        fs::create_dir_all(&folder).expect("making the folder of identities");
        fs::write(folder.join("known_hosts"), format!("target {key}")).expect("pinning");
    }
}
