//! The hosts of `bench deploy`, and the deploys to them by the tool and by deploy-rs alone.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::bail;
use crate::base::FlakeRef;
use crate::base::process::Launcher;
use crate::dev::netns::{Connection, HostsFlake, NamespaceHost, Profile};

/// The activation script. Its time stands for a small NixOS activation on a Pi, which was not measured.
pub const ACTIVATION: &str = "sleep 3";

/// The Nix settings of the tool and of deploy-rs: everything is built here, without a binary cache.
const NIX_CONFIG: &str = "extra-experimental-features = nix-command flakes\nsubstitute = false";

/// The hosts `host0`, `host1` and so on, and their flake.
pub struct Hosts {
    machines: Vec<NamespaceHost>,
    flake_files: HostsFlake,
    /// The reference to the flake.
    flake: FlakeRef,
    launcher: Launcher,
}

impl Hosts {
    /// Starts `count` hosts, with their files and their flake in `dir`.
    pub fn start(launcher: &Launcher, dir: &Path, count: usize) -> Result<Self> {
        let flake = dir.join("flake");
        let flake_files = HostsFlake::new(launcher, &flake)?;
        let hosts = (0..count).map(|number| {
            let dir = dir.join(host_name(number));
            std::fs::create_dir(&dir).with_context(|| format!("creating {}", dir.display()))?;
            NamespaceHost::start(launcher, &dir)
        });
        let hosts = hosts.collect::<Result<Vec<_>>>()?;
        let state = dir.join("state");
        let launcher = launcher.clone().with_env("NIX_CONFIG", NIX_CONFIG).with_env("XTASK_STATE", state);
        Ok(Self { machines: hosts, flake_files, flake: FlakeRef::with_all_files(&flake), launcher })
    }

    /// Makes `system` the desired system of the first `count` hosts. `evaluation` is the amount of evaluation of the
    /// flake.
    pub fn set_system(&self, count: usize, system: &str, evaluation: u32) -> Result<()> {
        self.flake_files.change(|facts| facts["evaluation"] = evaluation.into())?;
        for (number, host) in self.machines.iter().enumerate().take(count) {
            let options = host.ssh_options(&host.write_known_hosts()?);
            let connection = Connection { hostname: &host.address, ssh_options: &options };
            let profile = Profile { name: system, activation: ACTIVATION };
            self.flake_files.set_host(&host_name(number), connection, profile)?;
        }
        Ok(())
    }

    /// Deploys `system` to the first `count` hosts by the tool, and verifies that they run it. Returns the time in
    /// seconds.
    pub fn deploy_by_tool(&self, count: usize, system: &str) -> Result<f64> {
        let program = std::env::current_exe().context("finding the tool itself")?;
        let mut command = vec![program.into_os_string()];
        command.extend(["--flake", self.flake.as_str(), "deploy"].map(OsString::from));
        command.extend((0..count).map(|number| OsString::from(host_name(number))));
        let seconds = self.run(command)?;
        self.verify(count, system).map(|()| seconds)
    }

    /// Deploys `system` to the first host by deploy-rs alone, and verifies that the host runs it. Returns the time in
    /// seconds.
    pub fn deploy_by_deploy_rs(&self, system: &str) -> Result<f64> {
        let node = format!("{}#{}", self.flake, host_name(0));
        let seconds = self.run(["deploy", "--skip-checks", &node].map(OsString::from).to_vec())?;
        self.verify(1, system).map(|()| seconds)
    }

    /// Runs `command`, and returns the time in seconds.
    fn run(&self, command: Vec<OsString>) -> Result<f64> {
        let program = PathBuf::from(&command[0]);
        let measured = self.launcher.measure(&[command])?;
        if measured.code == 0 {
            return Ok(measured.cost.seconds);
        }
        bail!(
            Other,
            "deploying with {} failed with exit code {}: {}",
            program.display(),
            measured.code,
            measured.stderr.trim()
        )
    }

    /// Verifies, without ssh, that the first `count` hosts run `system`.
    fn verify(&self, count: usize, system: &str) -> Result<()> {
        for (number, host) in self.machines.iter().enumerate().take(count) {
            let current = host.run_inside("readlink -f /run/current-system")?;
            ensure!(
                current.ends_with(&format!("-{system}")),
                "{} runs {current}, not {system}",
                host_name(number)
            );
        }
        Ok(())
    }
}

/// The name of a host in the flake.
fn host_name(number: usize) -> String {
    format!("host{number}")
}
