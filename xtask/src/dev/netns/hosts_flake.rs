//! The flake of the hosts: their profiles are plain derivations, made without nixpkgs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::base::process::Launcher;

/// The files of the flake. The flake also reads `facts.json`.
const FILES: &[(&str, &str)] = &[
    ("boot.sh", include_str!("fixture/boot.sh")),
    ("deploy-rs.sh", include_str!("fixture/deploy-rs.sh")),
    ("firmware.sh", include_str!("fixture/firmware.sh")),
    ("flake.nix", include_str!("fixture/flake.nix")),
    ("image.sh", include_str!("fixture/image.sh")),
    ("package.sh", include_str!("fixture/package.sh")),
    ("payload.sh", include_str!("fixture/payload.sh")),
    ("profile.sh", include_str!("fixture/profile.sh")),
    ("toplevel.sh", include_str!("fixture/toplevel.sh")),
];

/// How a host is reached by ssh.
#[derive(Clone, Copy)]
pub struct Connection<'a> {
    pub hostname: &'a str,
    pub ssh_options: &'a [String],
}

/// A desired profile or system.
#[derive(Clone, Copy)]
pub struct Profile<'a> {
    pub name: &'a str,
    /// The script that activates it.
    pub activation: &'a str,
}

/// The flake of the hosts, in a folder.
pub struct HostsFlake {
    dir: PathBuf,
    /// The content of `facts.json`, which parameterizes the flake.
    facts: Mutex<Value>,
}

impl HostsFlake {
    /// Writes a flake without hosts to `dir`.
    ///
    /// # Errors
    /// A failure to write, and no busybox on `PATH`: a static busybox makes the profiles.
    pub fn new(launcher: &Launcher, dir: &Path) -> Result<Self> {
        let busybox = launcher.which("busybox").context("there is no static busybox on PATH")?;
        fs::create_dir_all(dir.join("busybox")).context("making the folder of a flake")?;
        fs::copy(busybox, dir.join("busybox/busybox")).context("copying busybox")?;
        for (name, text) in FILES {
            fs::write(dir.join(name), text).with_context(|| format!("writing {name} of a flake"))?;
        }
        let facts = json!({
            "system": format!("{}-linux", std::env::consts::ARCH), "evaluation": 0,
            "kernel": "linux-6.1", "packages": ["curl-8.1"], "systems": {}, "hosts": {},
            "configurations": {}, "sorted": false, "pi": null, "payload": null,
        });
        Ok(Self { dir: dir.to_owned(), facts: Mutex::new(facts) })
    }

    /// Adds or changes the node of `host`, with its desired `profile`.
    pub fn set_host(&self, host: &str, connection: Connection<'_>, profile: Profile<'_>) -> Result<()> {
        let Connection { hostname, ssh_options } = connection;
        let Profile { name, activation } = profile;
        let node = json!({
            "hostname": hostname, "sshUser": "root", "sshOpts": ssh_options,
            "fastConnection": true, "confirmTimeout": 4, "activationTimeout": 30,
        });
        let facts_of_host = json!({ "name": name, "activation": activation, "wraps": null, "node": node });
        self.change(|facts| facts["hosts"][host] = facts_of_host)
    }

    /// Adds or changes the configuration of `host`, which has no node: its `system`, and its options `deployment`. It
    /// has no image and no other options.
    pub fn set_configuration(&self, host: &str, system: Profile<'_>, deployment: &Value) -> Result<()> {
        let Profile { name, activation } = system;
        let facts_of_host = json!({
            "name": name, "activation": activation, "deployment": deployment, "options": {}, "image": null,
        });
        self.change(|facts| facts["configurations"][host] = facts_of_host)
    }

    /// Changes the facts of the flake by `change`, and writes them.
    pub fn change(&self, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut facts);
        fs::write(self.dir.join("facts.json"), facts.to_string()).context("writing the facts of a flake")
    }
}
