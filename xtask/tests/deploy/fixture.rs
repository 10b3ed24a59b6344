//! The hosts of a test and their flake.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use xtask::Launcher;
use xtask::dev::netns::HostsFlake;

use crate::machine::{self, Machine};
use crate::support::{Outcome, Sandbox};

/// One host, which the flake calls `target`, and further hosts that a test adds.
pub struct Fixture {
    pub sandbox: Sandbox,
    pub machine: Machine,
    /// Additional ssh options for `target`.
    pub options: Vec<String>,
    pub known_hosts: PathBuf,
    hosts_flake: HostsFlake,
}

impl Fixture {
    pub fn new() -> Self {
        let machine = Machine::start();
        let sandbox = Sandbox::new();
        let hosts_flake =
            HostsFlake::new(&Launcher::new("/"), &sandbox.path("flake")).expect("writing the flake");
        Self { options: Vec::new(), known_hosts: machine.known_hosts(), sandbox, machine, hosts_flake }
    }

    /// Sets the profile of `target` to one that is called `name` and runs `activation`.
    pub fn set_profile(&self, name: &str, activation: &str) {
        self.set_profile_at(&self.machine.address, name, activation);
    }

    pub fn set_profile_at(&self, hostname: &str, name: &str, activation: &str) {
        let options = [self.machine.ssh_options(&self.known_hosts), self.options.clone()].concat();
        self.add_host("target", hostname, &options, name, activation);
    }

    /// Adds `host` to the flake, reached at `hostname` with these ssh options.
    pub fn add_host(&self, host: &str, hostname: &str, options: &[String], name: &str, activation: &str) {
        let written = self.hosts_flake.set_host(host, (hostname, options), (name, activation));
        written.expect("writing the flake");
    }

    /// Gives `target` a configuration without a node, whose system is called `name` and is switched to by `activation`.
    /// ssh gets its options from a file, as it does of users without a node.
    pub fn set_configuration(&self, name: &str, activation: &str, deployment: &Value) {
        let written = self.hosts_flake.set_configuration("target", (name, activation), deployment);
        written.expect("writing the flake");
        let config = self.sandbox.path("ssh_config");
        let key = self.machine.path("client_key");
        let text = format!(
            "IdentityFile {}\nUserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\n",
            key.display(),
            self.known_hosts.display()
        );
        fs::write(&config, text).expect("writing a configuration of ssh");
        let ssh = machine::real("ssh");
        self.sandbox.fake("ssh", &format!(r#"exec {ssh} -F {} "$@""#, config.display()));
    }

    /// `USER@ADDRESS` of `target`.
    pub fn login(&self) -> String {
        format!("root@{}", self.machine.address)
    }

    /// Changes the facts of the flake.
    pub fn edit(&self, change: impl FnOnce(&mut Value)) {
        self.hosts_flake.change(change).expect("writing the flake");
    }

    /// Makes the profile wrap the system `wraps`, and the flake's NixOS system of the same name `system`.
    pub fn set_nixos(&self, wraps: &str, system: &str) {
        self.edit(|facts| {
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

    /// Asserts the name of the system that the host runs, read without the tool and without ssh.
    #[track_caller]
    pub fn assert_runs(&self, name: &str) {
        for link in ["/run/current-system", "/nix/var/nix/profiles/system"] {
            let path = self.machine.inside(&format!("readlink -f {link}"));
            assert!(path.ends_with(&format!("-{name}")), "{link}: {path}, not {name}");
        }
    }

    /// Runs deploy-rs without the tool, as a user would; its exit code and its output.
    pub fn bare_deploy_rs(&self) -> (i32, String) {
        let target = format!("{}#target", self.flake());
        machine::output("deploy", &["--skip-checks", &target])
    }

    /// Leaves a canary on the host, as of an earlier deploy of the flake's current profile.
    pub fn leave_canary(&self) -> String {
        let profile = format!("{}#deploy.nodes.target.profiles.system.path", self.flake());
        let path = machine::run("nix", &["eval", "--raw", &profile]);
        let hash = &path["/nix/store/".len()..][..32];
        let canary = format!("/tmp/deploy-rs-canary-{hash}");
        self.machine.inside(&format!("touch {canary}"));
        canary
    }

    /// Pins the key in `name`, as if this project had flashed the host with it. No other `known_hosts` has
    /// the host.
    pub fn pin_key(&mut self, name: &str) {
        self.known_hosts = self.machine.path("nobody");
        fs::write(&self.known_hosts, "").expect("writing known_hosts");
        let key = fs::read_to_string(self.machine.path(name)).expect("reading a key");
        let folder = self.sandbox.path("state/identity");
        fs::create_dir_all(&folder).expect("making the folder of identities");
        fs::write(folder.join("known_hosts"), format!("target {key}")).expect("pinning");
    }
}
