//! The hosts of a fleet, their flake and their cache.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::absent::AbsentHosts;
use super::kept::KeptConnections;
use super::payload::{self, Payload};
use super::role::{Role, roles};
use crate::base::process::{Cost, Launcher};
use crate::base::{FlakeRef, parallel};
use crate::dev::bench::hosts::ACTIVATION;
use crate::dev::netns::{Connection, HostsFlake, NamespaceHost, Profile};

/// The Nix settings of the tool: everything is built here, without a binary cache of others.
const NIX_CONFIG: &str = "extra-experimental-features = nix-command flakes\nsubstitute = false";

/// How long a host waits for the confirmation of an activation, in seconds: half of the default of deploy-rs.
const CONFIRM_TIMEOUT: u32 = 15;

/// The first part of the activation script: does what the host's own file `fault` says, if there is one.
const FAULT: &str = "[ ! -e /mnt/fault ] || . /mnt/fault";

/// How many hosts are prepared or read at once.
const MAX_AT_ONCE: usize = 8;

/// The settings of Nix on a host, beside its own.
const HOST_NIX: &str = "NIX_CONF_DIR=/mnt/etc NIX_CONFIG= NIX_USER_CONF_FILES=/dev/null";

/// A host of the fleet.
pub struct Member {
    pub name: String,
    pub role: Role,
    /// `None` for a dead host.
    machine: Option<NamespaceHost>,
}

/// The hosts, which run the system `base` when they are made.
pub struct Fleet {
    /// Dropped before the hosts.
    pub kept: KeptConnections,
    pub members: Vec<Member>,
    absent: AbsentHosts,
    flake_files: HostsFlake,
    flake: FlakeRef,
    dir: PathBuf,
    /// The tool.
    program: PathBuf,
    launcher: Launcher,
}

/// What a run of the tool cost, and its JSON result.
pub struct Run {
    pub cost: Cost,
    pub result: Value,
}

impl Fleet {
    /// Starts the hosts, with their files, their flake and their cache in `dir`, and lets them run `base`. The path
    /// that changes has the `payload`.
    pub fn start(
        launcher: &Launcher,
        program: &Path,
        dir: &Path,
        count: usize,
        payload: Payload,
    ) -> Result<Self> {
        let roles = roles(count);
        fs::create_dir(dir.join("shared")).context("making the folder of the cache")?;
        let flake_files = HostsFlake::new(launcher, &dir.join("flake"))?;
        payload.write(&dir.join("flake/payload"))?;
        let alive = roles.iter().enumerate().filter(|(_, role)| **role != Role::Dead);
        let dirs = alive.map(|(number, _)| dir.join(host_name(number))).collect::<Vec<_>>();
        dirs.iter().try_for_each(fs::create_dir).context("making the folders of hosts")?;
        let mut machines = NamespaceHost::start_all(launcher, &dirs, &dir.join("shared"))?.into_iter();
        let member = |(number, role): (usize, Role)| Member {
            name: host_name(number),
            role,
            machine: machines.by_ref().take(usize::from(role != Role::Dead)).next(),
        };
        let members = roles.into_iter().enumerate().map(member).collect::<Vec<_>>();
        let absent =
            AbsentHosts::make(launcher, members.iter().filter(|member| member.machine.is_none()).count())?;
        let launcher =
            launcher.clone().with_env("NIX_CONFIG", NIX_CONFIG).with_env("XTASK_STATE", dir.join("state"));
        let flake = FlakeRef::with_all_files(&dir.join("flake"));
        let fleet = Self {
            kept: KeptConnections::of(&launcher, &dir.join("state")),
            members,
            absent,
            flake_files,
            flake,
            dir: dir.to_owned(),
            program: program.to_owned(),
            launcher,
        };
        fleet.prepare()?;
        Ok(fleet)
    }

    /// Lets each host trust the cache key and run the system `base`, and gives it its fault.
    fn prepare(&self) -> Result<()> {
        self.set_system("base", ":", None)?;
        let key = self.run(&["identity", "cache-key"])?;
        let key = key.result["public"].as_str().context("reading the cache key")?.to_owned();
        let first = self.members.iter().find(|member| member.machine.is_some()).context("finding a host")?;
        let profile = format!("{}#deploy.nodes.{}.profiles.system.path", self.flake, first.name);
        let base = self.launcher.read("nix", &["build", "--no-link", "--print-out-paths", &profile])?;
        let base = base.trim();
        let seed = self.dir.join("shared/base").display().to_string();
        let export = format!("nix-store --export $(nix-store -qR {base}) >'{seed}'");
        self.launcher.read("sh", &["-c", &export])?;
        let prepared = parallel::map(MAX_AT_ONCE, &self.members, |member| member.prepare(&key, base, &seed));
        prepared.into_iter().collect()
    }

    /// Makes `system` the desired system of all hosts, with a package of `mebibytes` MiB that no host has.
    fn set_system(&self, system: &str, activation: &str, mebibytes: Option<u32>) -> Result<()> {
        let mut absent = self.absent.addresses();
        for member in &self.members {
            let any = self.members.iter().find_map(|member| member.machine.as_ref());
            let machine = member.machine.as_ref().or(any).context("finding a host")?;
            let options = machine.ssh_options(&machine.path("known_hosts"));
            let address = match &member.machine {
                Some(machine) => machine.address.clone(),
                None => absent.next().context("finding an address without a host")?,
            };
            let connection = Connection { hostname: &address, ssh_options: &options };
            self.flake_files.set_host(&member.name, connection, Profile { name: system, activation })?;
        }
        let payload = mebibytes.map(|size| json!({ "name": format!("{system}-payload"), "mebibytes": size }));
        self.flake_files.change(|facts| {
            facts["payload"] = payload.into();
            let nodes = facts["hosts"].as_object_mut().into_iter().flatten();
            nodes.for_each(|(_, host)| host["node"]["confirmTimeout"] = CONFIRM_TIMEOUT.into());
        })
    }

    /// Makes a new system with a new path the desired one of all hosts.
    pub fn set_new_system(&self, system: &str) -> Result<()> {
        self.set_system(system, &format!("{FAULT}\n{ACTIVATION}"), Some(payload::MEBIBYTES))
    }

    /// The options of `deploy` by which the hosts fetch from the folder that they share with this machine.
    pub fn cache_options(&self) -> Vec<String> {
        vec!["--via-cache".to_owned(), format!("file://{}", self.cache().display())]
    }

    fn cache(&self) -> PathBuf {
        self.dir.join("shared/cache")
    }

    /// The bytes that this machine has sent: to the hosts over their links, and to the cache.
    pub fn sent_bytes(&self) -> Result<u64> {
        let machines = self.members.iter().filter_map(|member| member.machine.as_ref());
        let to_hosts = machines.map(NamespaceHost::sent_bytes).sum::<Result<u64>>()?;
        Ok(to_hosts + self.absent.sent_bytes()? + folder_bytes(&self.cache())?)
    }

    /// Runs the tool with `args`, whose exit code may be any.
    pub fn run(&self, args: &[&str]) -> Result<Run> {
        let stdout = self.dir.join("stdout");
        // The launcher keeps no stdout of what it measures.
        let redirect = ["sh", "-c", r#"exec "$@" >"$0""#].map(OsString::from);
        let mut command = redirect.to_vec();
        command.extend([stdout.clone().into_os_string(), self.program.clone().into_os_string()]);
        command.extend(["--json", "--flake", self.flake.as_str()].iter().chain(args).map(OsString::from));
        let measured = self.launcher.measure(&[command])?;
        let file = File::open(&stdout).with_context(|| format!("opening {}", stdout.display()))?;
        let result = serde_json::from_reader(file)
            .with_context(|| format!("reading the result of {args:?}: {}", measured.stderr.trim()))?;
        Ok(Run { cost: measured.cost, result })
    }

    /// The paths of the systems that the hosts run, in the order of the members, read without ssh; `None` for dead
    /// hosts.
    pub fn running(&self) -> Result<Vec<Option<String>>> {
        let read = |member: &Member| member.machine.as_ref().map(running_system).transpose();
        parallel::map(MAX_AT_ONCE, &self.members, read).into_iter().collect()
    }
}

impl Member {
    /// Lets the host trust `key` and run the system `base`, which the file `seed` has, and gives it its fault.
    fn prepare(&self, key: &str, base: &str, seed: &str) -> Result<()> {
        let Some(machine) = &self.machine else { return Ok(()) };
        machine.write_known_hosts()?;
        let fault = match self.role {
            Role::Failing => "exit 4\n".to_owned(),
            Role::RollingBack => cut_script(),
            Role::Good | Role::Dead => String::new(),
        };
        if !fault.is_empty() {
            fs::write(machine.path("fault"), fault).context("writing the fault of a host")?;
        }
        let script = format!(
            "echo 'trusted-public-keys = {key}' >>/mnt/etc/nix.conf && export {HOST_NIX} && \
             nix-store --import <'{seed}' >/dev/null && nix-env -p /nix/var/nix/profiles/system --set {base} && \
             ln -sfn {base} /run/current-system"
        );
        machine.run_inside(&script).map(drop)
    }
}

/// The script that cuts the link for longer than the host waits for a confirmation.
fn cut_script() -> String {
    let seconds = CONFIRM_TIMEOUT + 3;
    format!(
        "ip link set eth0 down\n\
         setsid sh -c 'sleep {seconds}; ip link set eth0 up' >/dev/null 2>&1 </dev/null &\n"
    )
}

/// The system that `machine` runs.
///
/// # Errors
/// Where the profile is another one: such a host is between two systems.
fn running_system(machine: &NamespaceHost) -> Result<String> {
    let links = machine.run_inside("readlink -f /run/current-system /nix/var/nix/profiles/system")?;
    let (current, profile) = links.split_once('\n').context("reading the links of a host")?;
    anyhow::ensure!(current == profile, "a host runs {current}, but its profile is {profile}");
    Ok(current.to_owned())
}

/// The name of a host in the flake.
fn host_name(number: usize) -> String {
    format!("host{number:03}")
}

/// The size of all files below `folder` in bytes; 0 where there is none.
fn folder_bytes(folder: &Path) -> Result<u64> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(0) };
    let mut bytes = 0;
    for entry in entries {
        let entry = entry.context("listing the cache")?;
        let metadata = entry.metadata().context("listing the cache")?;
        bytes += if metadata.is_dir() { folder_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
