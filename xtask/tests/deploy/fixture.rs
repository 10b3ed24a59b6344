//! The hosts of a test and their flake.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use xtask::Launcher;
use xtask::dev::netns::{Connection, HostsFlake, Profile};

use crate::machine::{self, Machine};
use crate::support::{Outcome, Sandbox};

/// The host `target` and its flake, to which a test adds further hosts.
pub struct Fixture {
    pub sandbox: Sandbox,
    pub machine: Machine,
    /// Additional ssh options for `target`.
    pub options: Vec<String>,
    /// The file that ssh reads the known host keys from.
    pub known_hosts: PathBuf,
    hosts_flake: HostsFlake,
}

impl Fixture {
    /// Starts the host, and writes a flake without hosts.
    pub fn new() -> Self {
        let machine = Machine::start();
        let sandbox = Sandbox::new();
        let hosts_flake =
            HostsFlake::new(&Launcher::new("/"), &sandbox.path("flake")).expect("writing the flake");
        Self { options: Vec::new(), known_hosts: machine.write_known_hosts(), sandbox, machine, hosts_flake }
    }

    /// Sets the profile of `target` to one that is called `name` and runs `activation`.
    pub fn set_profile(&self, name: &str, activation: &str) {
        self.set_profile_at(&self.machine.address, name, activation);
    }

    /// Sets the profile of `target` as [`Self::set_profile`] does, and its address to `hostname`.
    pub fn set_profile_at(&self, hostname: &str, name: &str, activation: &str) {
        let options = [self.machine.ssh_options(&self.known_hosts), self.options.clone()].concat();
        self.add_host("target", hostname, &options, name, activation);
    }

    /// Adds `host` to the flake, reached at `hostname` with the ssh `options`. Its profile is called `name` and runs
    /// `activation`.
    pub fn add_host(&self, host: &str, hostname: &str, options: &[String], name: &str, activation: &str) {
        let written = self.hosts_flake.set_host(
            host,
            Connection { hostname, ssh_options: options },
            Profile { name, activation },
        );
        written.expect("writing the flake");
    }

    /// Gives `target` a configuration with the options `deployment`, and no node. Its system is called `name` and runs
    /// `activation`. ssh reads its options from a file, as for users without a node.
    pub fn set_configuration(&self, name: &str, activation: &str, deployment: &Value) {
        let written = self.hosts_flake.set_configuration("target", Profile { name, activation }, deployment);
        written.expect("writing the flake");
        let config = self.sandbox.path("ssh_config");
        let key = self.machine.path("client_key");
        let text = format!(
            "IdentityFile {}\nUserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\n",
            key.display(),
            self.known_hosts.display()
        );
        fs::write(&config, text).expect("writing a configuration of ssh");
        let ssh = machine::real_program("ssh");
        self.sandbox.fake("ssh", &format!(r#"exec {ssh} -F {} "$@""#, config.display()));
    }

    /// `USER@ADDRESS` of `target`.
    pub fn login(&self) -> String {
        format!("root@{}", self.machine.address)
    }

    /// Changes the facts of the flake by `change`.
    pub fn edit(&self, change: impl FnOnce(&mut Value)) {
        self.hosts_flake.change(change).expect("writing the flake");
    }

    /// Makes the profile of `target` wrap the system `wraps`, and `nixosConfigurations.target` the system `system`.
    pub fn set_nixos(&self, wraps: &str, system: &str) {
        self.edit(|facts| {
            facts["hosts"]["target"]["wraps"] = wraps.into();
            facts["systems"] = json!({ "target": system });
        });
    }

    /// Runs `deploy target ARGS`.
    pub fn deploy(&self, args: &[&str]) -> Outcome {
        self.run(&[&["deploy", "target"], args].concat())
    }

    /// Runs the tool with `args` on the flake.
    pub fn run(&self, args: &[&str]) -> Outcome {
        let flake = self.flake();
        self.sandbox.run(&[&["--flake", &flake], args].concat())
    }

    /// The folder of the flake.
    pub fn flake(&self) -> String {
        self.sandbox.path("flake").display().to_string()
    }

    /// Asserts the name of the system that the host runs, read without the tool and without ssh.
    #[track_caller]
    pub fn assert_runs(&self, name: &str) {
        for link in ["/run/current-system", "/nix/var/nix/profiles/system"] {
            let path = self.machine.run_inside(&format!("readlink -f {link}"));
            assert!(path.ends_with(&format!("-{name}")), "{link}: {path}, not {name}");
        }
    }

    /// Runs deploy-rs without the tool, as a user would. Returns its exit code and its stderr.
    pub fn run_deploy_rs_alone(&self) -> (i32, String) {
        let target = format!("{}#target", self.flake());
        machine::code_and_stderr("deploy", &["--skip-checks", &target])
    }

    /// Leaves a canary on the host, as an earlier deploy of the flake's current profile may, and returns its path
    /// there.
    pub fn leave_canary(&self) -> String {
        let profile = format!("{}#deploy.nodes.target.profiles.system.path", self.flake());
        let path = machine::run("nix", &["eval", "--raw", &profile]);
        let hash = &path["/nix/store/".len()..][..32];
        let canary = format!("/tmp/deploy-rs-canary-{hash}");
        self.machine.run_inside(&format!("touch {canary}"));
        canary
    }

    /// Copies the system of `nixosConfigurations.target` to the host with `ssh_options`, and makes it the current
    /// system: as after a flash or `nixos-rebuild`, the host runs a NixOS system that deploy-rs does not know.
    pub fn install_without_deploy_rs(&self, ssh_options: &str) {
        let toplevel = format!("{}#nixosConfigurations.target.config.system.build.toplevel", self.flake());
        let path = machine::run("nix", &["build", "--no-link", "--print-out-paths", &toplevel]);
        let path = path.trim();
        let options = format!("NIX_SSHOPTS={ssh_options}");
        let store = format!("ssh://{}", self.login());
        machine::run("env", &[&options, "nix", "copy", "--no-check-sigs", "--to", &store, path]);
        let profile = "/nix/var/nix/profiles/system";
        let script = format!("nix-env -p {profile} --set {path}; ln -s {path} /run/current-system");
        self.machine.run_inside(&script);
    }

    /// Pins the key in the host's file `name`, as if this project had flashed the host with that key. No other
    /// `known_hosts` has a key of the host.
    pub fn pin_key(&mut self, name: &str) {
        self.known_hosts = self.machine.path("nobody");
        fs::write(&self.known_hosts, "").expect("writing known_hosts");
        let key = fs::read_to_string(self.machine.path(name)).expect("reading a key");
        let folder = self.sandbox.path("state/identity");
        fs::create_dir_all(&folder).expect("making the folder of identities");
        fs::write(folder.join("known_hosts"), format!("target {key}")).expect("pinning");
    }
}
