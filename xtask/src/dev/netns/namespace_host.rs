//! A host to deploy to, in its own network, mount, PID and UTS namespaces, with a real sshd and its own Nix store. It
//! shares the programs of this machine.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::files;
use crate::base::parallel;
use crate::base::process::{Background, Launcher};
use crate::base::ssh_path;

/// The number of hosts that this process has started.
static HOST_COUNT: AtomicU8 = AtomicU8::new(0);

/// The time limit of each wait for a host.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// How many hosts are made at once.
const MAX_STARTS: usize = 8;

/// The arguments of setpriv that make the namespaces. A host ends with the thread that started it, in any way.
const NAMESPACES: &[&str] = &[
    "--pdeathsig",
    "KILL",
    "unshare",
    "--net",
    "--mount",
    "--uts",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "sh",
];

/// A running host. Dropping this value kills the first process of the host, which ends all its other processes, its
/// mounts and its link.
pub struct NamespaceHost {
    /// The folder that the host sees as /mnt.
    dir: PathBuf,
    launcher: Launcher,
    /// The name of this machine's end of the veth link.
    link: String,
    /// The IP address of the host.
    pub address: String,
    /// The first process; `None` once the host is being dropped.
    init: Option<Background>,
}

impl NamespaceHost {
    /// Starts a host and waits until its sshd answers. The folder `dir` must be empty; the caller removes it.
    pub fn start(launcher: &Launcher, dir: &Path) -> Result<Self> {
        files::write_all(launcher, dir)?;
        Self::start_with_files(launcher, dir)
    }

    /// Starts a host as [`Self::start`] does, where the user `pi`, with the password `secret`, may use sudo by `rule`.
    pub fn start_with_user(launcher: &Launcher, dir: &Path, rule: &str) -> Result<Self> {
        files::write_all(launcher, dir)?;
        files::allow_sudo(dir, rule)?;
        Self::start_with_files(launcher, dir)
    }

    /// Starts a host in each of the empty folders `dirs`, as [`Self::start`] does. The hosts also see the folder
    /// `shared` at its path.
    pub fn start_all(launcher: &Launcher, dirs: &[PathBuf], shared: &Path) -> Result<Vec<Self>> {
        let launcher = launcher.clone().with_env("SHARED", shared);
        let written = parallel::map(MAX_STARTS, dirs, |dir| files::write_all(&launcher, dir));
        written.into_iter().collect::<Result<()>>()?;
        let mut hosts = Vec::new();
        // A few at a time: the first process of a host polls for its link.
        for dirs in dirs.chunks(MAX_STARTS) {
            // A host ends with the thread that started it.
            let started = dirs.iter().map(|dir| Self::start_init(&launcher, dir));
            let started = started.collect::<Result<Vec<_>>>()?;
            let connected = parallel::map(MAX_STARTS, &started, Self::connect);
            connected.into_iter().collect::<Result<()>>()?;
            hosts.extend(started);
        }
        Ok(hosts)
    }

    /// Lets the host try new systems, from its next deploy on.
    pub fn add_trials(&self) -> Result<()> {
        files::add_trials(&self.launcher, &self.dir)?;
        self.run_inside(include_str!("fixture/mount-trial.sh")).map(drop)
    }

    /// Starts a host whose files are in `dir`.
    fn start_with_files(launcher: &Launcher, dir: &Path) -> Result<Self> {
        let host = Self::start_init(launcher, dir)?;
        host.connect().map(|()| host)
    }

    /// Starts the first process of a host whose files are in `dir`, which waits for its link.
    fn start_init(launcher: &Launcher, dir: &Path) -> Result<Self> {
        let (link, network) = next_link_and_network();
        let address = format!("{network}.2");
        let log = fs::File::create(dir.join("log")).context("making the log of a host")?;
        let init_command =
            [dir.join("init").display().to_string(), dir.display().to_string(), format!("{address}/30")];
        let args =
            NAMESPACES.iter().copied().chain(init_command.iter().map(String::as_str)).collect::<Vec<_>>();
        let init =
            launcher.clone().with_env("TOOLS", tools_below_root(launcher)).start("setpriv", &args, log)?;
        Ok(Self { dir: dir.to_owned(), launcher: launcher.clone(), link, address, init: Some(init) })
    }

    /// The address of this machine in the network of the host.
    fn gateway(&self) -> String {
        let network = self.address.rsplit_once('.').map_or("", |(network, _)| network);
        format!("{network}.1")
    }

    /// Connects the host by a veth link, and waits for its sshd.
    fn connect(&self) -> Result<()> {
        let link = self.link.as_str();
        let pid = self.init_pid().to_string();
        let own_namespace =
            fs::read_link("/proc/self/ns/net").context("reading the network namespace of this process")?;
        let is_separate =
            || fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|namespace| namespace != own_namespace);
        self.wait_for("the namespaces of a host", is_separate)?;
        let peer = ["peer", "name", "eth0", "netns", &pid];
        self.run_ip(&[&["link", "add", link, "type", "veth"], &peer[..]].concat())?;
        self.run_ip(&["address", "add", &format!("{}/30", self.gateway()), "dev", link])?;
        self.run_ip(&["link", "set", link, "up"])?;
        let route = self.run_ip(&["route", "get", &self.address])?;
        ensure!(route.contains(link), "{} would leave this machine: {route}", self.address);
        let address = format!("{}:22", self.address).parse::<SocketAddr>().context("parsing an address")?;
        let is_answering = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok();
        self.wait_for("sshd of a host", is_answering)
    }

    /// Runs ip(8) on this machine, and returns its stdout.
    fn run_ip(&self, args: &[&str]) -> Result<String> {
        self.launcher.read("ip", args)
    }

    /// The process id of the first process; 0 once the host is being dropped.
    fn init_pid(&self) -> u32 {
        self.init.as_ref().map(Background::id).unwrap_or_default()
    }

    /// Waits until `is_reached`. `goal` names the awaited state in the error.
    ///
    /// # Errors
    /// After [`WAIT_TIMEOUT`], with the log of the host.
    fn wait_for(&self, goal: &str, is_reached: impl Fn() -> bool) -> Result<()> {
        let begin = Instant::now();
        while !is_reached() {
            if begin.elapsed() > WAIT_TIMEOUT {
                let log = fs::read_to_string(self.path("log")).unwrap_or_default();
                bail!("waiting for {goal}: timed out after {} s:\n{log}", WAIT_TIMEOUT.as_secs());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The ssh options to log in to the host, whose key is read from the file `known_hosts`.
    pub fn ssh_options(&self, known_hosts: &Path) -> Vec<String> {
        let identity = self.path("client_key").display().to_string();
        let known_hosts = format!("UserKnownHostsFile={}", ssh_path(known_hosts));
        let options = ["-F", "/dev/null", "-i", &identity, "-o", &known_hosts];
        let strict = ["-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=/dev/null"];
        options.iter().chain(&strict).map(ToString::to_string).collect()
    }

    /// Writes a `known_hosts` file with the host's key, and returns its path.
    pub fn write_known_hosts(&self) -> Result<PathBuf> {
        let key = fs::read_to_string(self.path("host_key.pub")).context("reading a host key")?;
        let file = self.path("known_hosts");
        fs::write(&file, format!("{} {key}", self.address)).context("writing known_hosts")?;
        Ok(file)
    }

    /// Runs a shell script on the host without ssh, and returns its stdout without white space around it.
    pub fn run_inside(&self, script: &str) -> Result<String> {
        let id = self.init_pid();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.context("reading the first process of a host")?;
        let first = children.split_whitespace().next().context("finding a process of a host")?;
        let args = ["--target", first, "--net", "--mount", "--uts", "--pid", "sh", "-c", script];
        Ok(self.launcher.read("nsenter", &args)?.trim().to_owned())
    }

    /// The bytes that this machine has sent to the host over its link.
    pub fn sent_bytes(&self) -> Result<u64> {
        let file = format!("/sys/class/net/{}/statistics/tx_bytes", self.link);
        let text = fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
        text.trim().parse().with_context(|| format!("reading {file}"))
    }

    /// Waits for the end of activations: deploy-rs ends before the activation on the host does.
    pub fn wait_for_the_end_of_activations(&self) -> Result<()> {
        // The activation of deploy-rs has this option. The bracket keeps the pattern from matching the shell that runs
        // `pgrep`.
        let list_activations = "pgrep -f '[-]-confirm-timeout' || echo none";
        self.wait_for("the end of activations on a host", || {
            self.run_inside(list_activations).is_ok_and(|output| output == "none")
        })
    }

    /// The path of the file that the host sees as /mnt/`name`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl Drop for NamespaceHost {
    fn drop(&mut self) {
        drop(self.init.take());
        // The kernel removes the network of ended processes only after a while.
        let _ = self.launcher.capture("ip", &["link", "delete", &self.link]);
    }
}

/// The folder of the programs of Nix and deploy-rs, if it is below /root, which users cannot read; else an empty path.
fn tools_below_root(launcher: &Launcher) -> PathBuf {
    let nix_store = launcher.which("nix-store");
    // The program is `nix/bin/nix-store` in the folder.
    let folder = nix_store.as_deref().and_then(|file| file.ancestors().nth(3)).unwrap_or(Path::new(""));
    if folder.starts_with("/root") { folder.to_owned() } else { PathBuf::new() }
}

/// A name for the next veth link, and the first three octets of the addresses of a private network for it. Both contain
/// the numbers of this process and of the host, so that parallel processes do not collide; the network has the number
/// of the process modulo 128.
fn next_link_and_network() -> (String, String) {
    let number = HOST_COUNT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    (format!("xt{process:x}n{number}"), format!("10.{}.{}", 64 + process % 128, number))
}
