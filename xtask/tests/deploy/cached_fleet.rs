//! Hosts, and a binary cache that all of them reach.

use std::fs;

use serde_json::{Value, json};

use crate::cache_server::{Answer, CacheServer};
use crate::fixture::Fixture;
use crate::machine::Machine;
use crate::support::Outcome;

/// Hosts `host0` and so on beside `target`, and a cache that all of them reach.
pub struct Fleet {
    pub fixture: Fixture,
    pub machines: Vec<Machine>,
    pub server: CacheServer,
    /// The public key of the project.
    pub key: String,
}

impl Fleet {
    /// `count` hosts with one new profile, which trust the key of the project.
    pub fn new(count: usize, answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        Self::of((0..count).map(|_| Machine::start()).collect(), answer)
    }

    /// The hosts `machines` with one new profile, which trust the key of the project.
    pub fn of(machines: Vec<Machine>, answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let fixture = Fixture::new();
        let server = CacheServer::start(fixture.sandbox.path("cache"), answer);
        let made = fixture.run(&["identity", "cache-key"]);
        let key = made.assert_code(0).stdout.trim().to_owned();
        let fleet = Self { fixture, machines, server, key };
        for number in 0..fleet.machines.len() {
            fleet.trust(number, &fleet.key);
            // The workstation has another address in the network of each host.
            let gateway = fleet.workstation(number);
            fleet.machines[number].run_inside(&format!("ip route add 10.0.0.0/8 via {gateway}"));
        }
        // A new name: a path that an earlier run built is signed by another key.
        fleet.set_profiles(&fixture_name("first"));
        fleet
    }

    /// Gives all hosts a profile called `name`.
    pub fn set_profiles(&self, name: &str) {
        for (number, machine) in self.machines.iter().enumerate() {
            let options = machine.ssh_options(&machine.write_known_hosts());
            self.fixture.add_host(&format!("host{number}"), &machine.address, &options, name, ":");
        }
        self.fixture.edit(|facts| facts["packages"] = json!([format!("{name}-package")]));
    }

    /// Lets the host trust `key` alone.
    pub fn trust(&self, number: usize, key: &str) {
        let conf = self.machines[number].path("etc/nix.conf");
        let text = fs::read_to_string(&conf).expect("the settings of Nix");
        let others = text.lines().filter(|line| !line.starts_with("trusted-public-keys"));
        let lines = others.map(|line| format!("{line}\n")).collect::<String>();
        fs::write(&conf, format!("{lines}trusted-public-keys = {key}\n")).expect("writing them");
    }

    /// The address of this machine in the network of the host.
    pub fn workstation(&self, number: usize) -> String {
        let (network, _) = self.machines[number].address.rsplit_once('.').expect("an address");
        format!("{network}.1")
    }

    /// The URL of the cache for all hosts.
    pub fn url(&self) -> String {
        format!("http://{}:{}", self.workstation(0), self.server.port)
    }

    /// Deploys to all hosts by way of the cache, to which this machine pushes by its folder.
    pub fn deploy(&self, more: &[&str]) -> Outcome {
        let (url, folder) = (self.url(), self.server.folder_url());
        self.deploy_with(&[&["--via-cache", &url, "--push-to", &folder], more].concat())
    }

    /// Deploys to all hosts with the options `more`.
    pub fn deploy_with(&self, more: &[&str]) -> Outcome {
        let hosts = (0..self.machines.len()).map(|number| format!("host{number}")).collect::<Vec<_>>();
        let hosts = hosts.iter().map(String::as_str).collect::<Vec<_>>();
        self.fixture.run(&[&["deploy"], &hosts[..], more].concat())
    }

    /// Asserts that all hosts run a profile whose name ends with `name`.
    #[track_caller]
    pub fn assert_run(&self, name: &str) {
        for machine in &self.machines {
            let path = machine.run_inside("readlink -f /nix/var/nix/profiles/system");
            assert!(path.ends_with(name), "{path}, not {name}");
        }
    }
}

/// A name that no earlier run of the suite has used.
pub fn fixture_name(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

/// How the system of each host came to it.
pub fn copied(result: &Value) -> Vec<Value> {
    let hosts = result["hosts"].as_array().expect("hosts");
    hosts.iter().map(|host| host["copied"].clone()).collect()
}

/// What the fallback of each host is called.
pub fn fallbacks(result: &Value) -> Vec<String> {
    let copied = copied(result);
    let reason = |copied: &Value| copied["fallback"]["reason"].as_str().unwrap_or("none").to_owned();
    copied.iter().map(reason).collect()
}
