//! The hosts that are deployed to for measuring, and the two ways to do it.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::base::failure::ExitKind;
use crate::base::process::Launcher;
use crate::dev::netns::{Fleet, Machine};
use crate::nix;

/// What an activation does. It stands for a small one of NixOS on a Pi, which was not measured.
const ACTIVATION: &str = "sleep 3";

/// For both: what is built is made here, and no cache is asked for it.
const NIX_CONFIG: &str = "extra-experimental-features = nix-command flakes\nsubstitute = false";

/// Hosts that are called `host0` and so on, and their flake.
pub struct Hosts {
    machines: Vec<Machine>,
    fleet: Fleet,
    /// The reference to the flake.
    flake: String,
    launcher: Launcher,
}

impl Hosts {
    /// Starts `count` hosts, whose files and whose flake are in `dir`.
    pub fn start(launcher: &Launcher, dir: &Path, count: usize) -> Result<Self> {
        let flake = dir.join("flake");
        let fleet = Fleet::new(launcher, &flake)?;
        let hosts = (0..count).map(|number| {
            let dir = dir.join(name(number));
            std::fs::create_dir(&dir).with_context(|| format!("creating {}", dir.display()))?;
            Machine::start(launcher, &dir)
        });
        let hosts = hosts.collect::<Result<Vec<_>>>()?;
        let state = dir.join("state");
        let launcher = launcher.clone().with_env("NIX_CONFIG", NIX_CONFIG).with_env("XTASK_STATE", state);
        Ok(Self { machines: hosts, fleet, flake: nix::path_flake(&flake), launcher })
    }

    /// The flake now means systems that are called `system` for the first `count` hosts, and takes `evaluation` to be
    /// evaluated.
    pub fn means(&self, count: usize, system: &str, evaluation: u32) -> Result<()> {
        self.fleet.change(|facts| facts["evaluation"] = evaluation.into())?;
        for (number, host) in self.machines.iter().enumerate().take(count) {
            let options = host.ssh_options(&host.known_hosts()?);
            self.fleet.set_host(&name(number), (&host.address, &options), (system, ACTIVATION))?;
        }
        Ok(())
    }

    /// Deploys to the first `count` hosts with the tool; they run `system` then. Returns how long it took, in seconds.
    pub fn tool(&self, count: usize, system: &str) -> Result<f64> {
        let own = std::env::current_exe().context("looking for the tool itself")?;
        let words = ["--flake", &self.flake, "deploy"].into_iter().map(OsString::from);
        let hosts = (0..count).map(|number| name(number).into());
        let seconds = self.run(std::iter::once(own.into()).chain(words).chain(hosts).collect())?;
        self.prove(count, system).map(|()| seconds)
    }

    /// Deploys to the first host with deploy-rs alone; it runs `system` then. Returns how long it took, in seconds.
    pub fn deploy_rs(&self, system: &str) -> Result<f64> {
        let node = format!("{}#{}", self.flake, name(0));
        let seconds = self.run(["deploy", "--skip-checks", &node].map(OsString::from).to_vec())?;
        self.prove(1, system).map(|()| seconds)
    }

    fn run(&self, words: Vec<OsString>) -> Result<f64> {
        let measured = self.launcher.measure(&[words])?;
        if measured.code == 0 {
            return Ok(measured.cost.seconds);
        }
        let text = format!("a deploy ended with exit code {}: {}", measured.code, measured.stderr.trim());
        Err(ExitKind::Other.error(text))
    }

    /// Reads without ssh what the hosts run.
    fn prove(&self, count: usize, system: &str) -> Result<()> {
        for (number, host) in self.machines.iter().enumerate().take(count) {
            let runs = host.run_inside("readlink -f /run/current-system")?;
            ensure!(runs.ends_with(&format!("-{system}")), "{} runs {runs}, not {system}", name(number));
        }
        Ok(())
    }
}

fn name(number: usize) -> String {
    format!("host{number}")
}
