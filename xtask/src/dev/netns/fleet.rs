//! The flake that describes hosts: profiles that are plain derivations, made without nixpkgs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::base::process::Launcher;

/// The flake and the scripts that build what it says; it also reads `facts.json`.
const FILES: [(&str, &str); 4] = [
    ("flake.nix", include_str!("fixture/flake.nix")),
    ("package.sh", include_str!("fixture/package.sh")),
    ("profile.sh", include_str!("fixture/profile.sh")),
    ("toplevel.sh", include_str!("fixture/toplevel.sh")),
];

/// A flake in a folder.
pub struct Fleet {
    dir: PathBuf,
    /// What the flake says, and is made of `facts.json`.
    facts: Mutex<Value>,
}

impl Fleet {
    /// Writes a flake without hosts to `dir`.
    ///
    /// # Errors
    /// Where there is no static busybox on PATH, of which the profiles are made.
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
        });
        Ok(Self { dir: dir.to_owned(), facts: Mutex::new(facts) })
    }

    /// The flake has the host `host`, which is reached at `hostname` with these options of ssh, and is meant to have a
    /// profile that is called `name` and does `activation` there.
    pub fn host(
        &self,
        host: &str,
        (hostname, options): (&str, &[String]),
        (name, activation): (&str, &str),
    ) -> Result<()> {
        let node = json!({
            "hostname": hostname, "sshUser": "root", "sshOpts": options,
            "fastConnection": true, "confirmTimeout": 4, "activationTimeout": 30,
        });
        let known = json!({ "name": name, "activation": activation, "wraps": null, "node": node });
        self.say(|facts| facts["hosts"][host] = known)
    }

    /// Changes what the flake says.
    pub fn say(&self, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut facts);
        fs::write(self.dir.join("facts.json"), facts.to_string()).context("writing what a flake says")
    }
}
