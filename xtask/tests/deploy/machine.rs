//! A host to deploy to: namespaces of its own for network, mounts, processes and name, with a real
//! sshd and a Nix store of its own. It shares the programs of this machine.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// How many targets this process has made.
static MADE: AtomicU8 = AtomicU8::new(0);

/// `secret`, as crypt(3) has it.
const SECRET: &str =
    "$6$xtask$IiSxD5/bdq7fkNwSo/y4kSNGsHqq/nVmim.yMe6Ot9sBrzxDoAW2nvn/627KKvJFCYP67JPeF8qsQQNfJJEsT/";

/// A running host. Dropping it ends its first process and with that all others, its mounts and its link.
pub struct Machine {
    dir: tempfile::TempDir,
    init: Child,
    /// The name of this machine's end of the link.
    link: String,
    pub address: String,
}

impl Machine {
    /// Starts a host and waits until its sshd answers.
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Starts a host where the user `pi` may become root by sudo, as `rule` says; its password is `secret`.
    pub fn start_with_user(rule: &str) -> Self {
        Self::start_with(|dir| {
            let text = format!(
                "Defaults !env_reset, !secure_path, !lecture\nroot ALL=(ALL) NOPASSWD: ALL\npi {rule}\n"
            );
            fs::write(dir.join("sudoers"), text).expect("writing the rules of sudo");
            run("chmod", &["440", &dir.join("sudoers").display().to_string()]);
        })
    }

    fn start_with(more: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().expect("making a folder for the target");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("showing it to users");
        write_files(dir.path());
        more(dir.path());
        let (link, network) = free_network();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deploy/fixture/target.sh");
        let address = format!("{network}.2");
        let log = fs::File::create(dir.path().join("log")).expect("making the target's log");
        // The target ends with the thread of its test, however that ends.
        let init = command("setpriv")
            .args([
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
            ])
            .arg(script)
            .arg(dir.path())
            .arg(format!("{address}/30"))
            .env("TOOLS", tools())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("starting the target");
        let machine = Self { dir, init, link, address };
        machine.connect(&network);
        machine
    }

    /// Lays the link into the target's network and waits for its sshd.
    fn connect(&self, network: &str) {
        let (name, pid) = (self.link.as_str(), self.init.id().to_string());
        let own = fs::read_link("/proc/self/ns/net").expect("reading the own network namespace");
        self.wait_for("the namespaces", || {
            fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|its| its != own)
        });
        let peer = ["peer", "name", "eth0", "netns", &pid];
        run("ip", &[&["link", "add", name, "type", "veth"], &peer[..]].concat());
        run("ip", &["address", "add", &format!("{network}.1/30"), "dev", name]);
        run("ip", &["link", "set", name, "up"]);
        let route = run("ip", &["route", "get", &self.address]);
        assert!(route.contains(name), "{} would leave this machine: {route}", self.address);
        let address = format!("{}:22", self.address).parse().expect("an address");
        self.wait_for("sshd", || TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok());
    }

    fn wait_for(&self, what: &str, ready: impl Fn() -> bool) {
        let begin = Instant::now();
        while !ready() {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(begin.elapsed() < Duration::from_secs(20), "no {what} after 20 s:\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The options with which ssh gets in. The key that is known for the host is in `known_hosts`.
    pub fn ssh_options(&self, known_hosts: &Path) -> Vec<String> {
        let identity = self.path("client_key").display().to_string();
        let known_hosts = format!("UserKnownHostsFile={}", known_hosts.display());
        let options = ["-F", "/dev/null", "-i", &identity, "-o", &known_hosts];
        let strict = ["-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=/dev/null"];
        options.iter().chain(&strict).map(ToString::to_string).collect()
    }

    /// The file in which the host's own key stands.
    pub fn known_hosts(&self) -> PathBuf {
        let key = fs::read_to_string(self.path("host_key.pub")).expect("reading the host key");
        let file = self.path("known_hosts");
        fs::write(&file, format!("{} {key}", self.address)).expect("writing known_hosts");
        file
    }

    /// Runs a script on the host without ssh and returns its stdout.
    pub fn inside(&self, script: &str) -> String {
        let pid = self.init.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("reading /proc");
        let first = children.split_whitespace().next().expect("the first process of the target").to_owned();
        let all = ["--target", &first, "--net", "--mount", "--uts", "--pid", "sh", "-c", script];
        run("nsenter", &all).trim().to_owned()
    }

    /// deploy-rs ends before the activation on the host does.
    pub fn wait_for_the_end_of_activations(&self) {
        let running = "pgrep -f '[-]-confirm-timeout' || echo none";
        self.wait_for("end of the activation", || self.inside(running) == "none");
    }

    /// A file in the folder that the host sees as /mnt.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.init.kill();
        let _ = self.init.wait();
        // The kernel takes its time to clear a network of which all processes have ended.
        let _ = start("ip", &["link", "delete", &self.link]);
    }
}

/// What the host finds under /mnt: keys, the settings of sshd and Nix, and a home.
fn write_files(dir: &Path) {
    for name in ["host_key", "client_key"] {
        let file = dir.join(name).display().to_string();
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &file]);
    }
    for name in ["home", "etc", "bin"] {
        fs::create_dir(dir.join(name)).expect("making a folder of the target");
    }
    let path = std::env::var("PATH").expect("PATH is set");
    let sshd = format!(
        "Port 22\nHostKey /mnt/host_key\nAuthorizedKeysFile /mnt/client_key.pub\nStrictModes no\nUsePAM no\n\
         PidFile none\nPermitRootLogin yes\n\
         SetEnv PATH=/mnt/bin:{path} HOME=/mnt/home NIX_CONF_DIR=/mnt/etc NIX_USER_CONF_FILES=/dev/null\n"
    );
    let nix = "build-users-group =\ntrusted-users = root pi\nsubstituters =\nsandbox = false\nexperimental-features = nix-command flakes\n";
    // No service manager runs there: this is the one program of the host that is not the real one. A reboot ends
    // all connections; see target.sh.
    let systemctl = "#!/bin/sh\ncase \"$1\" in\n  reboot) pkill sshd ;;\n  is-system-running) echo running ;;\n  \
                     *) cat /mnt/failed-units ;;\nesac\n";
    let passwd = fs::read_to_string("/etc/passwd").expect("reading /etc/passwd");
    for (name, text) in [
        ("sshd_config", sshd.as_str()),
        ("etc/nix.conf", nix),
        (
            "shadow",
            &format!(
                "root:*:20000:0:99999:7:::\nsshd:*:20000:0:99999:7:::\npi:{SECRET}:20000:0:99999:7:::\n"
            ),
        ),
        ("passwd", &format!("{passwd}pi:x:4711:4711::/mnt/home:/bin/sh\n")),
        ("boot-id", ""),
        ("hosts", "127.0.0.1 localhost target\n"),
        ("bin/systemctl", systemctl),
        ("failed-units", ""),
    ] {
        fs::write(dir.join(name), text).expect("writing a file of the target");
    }
    run("chmod", &["755", &dir.join("bin/systemctl").display().to_string()]);
}

/// The folder of the programs of Nix and deploy-rs, where users do not see it as it is; nothing otherwise.
fn tools() -> PathBuf {
    let path = std::env::var_os("PATH").expect("PATH is set");
    let found = std::env::split_paths(&path).map(|dir| dir.join("nix-store")).find(|file| file.exists());
    let folder = found.as_deref().and_then(|file| file.ancestors().nth(3)).unwrap_or(Path::new(""));
    if folder.starts_with("/root") { folder.to_owned() } else { PathBuf::new() }
}

/// A name for a link, and the first three numbers of a private network that nothing here leads to.
/// The host's end is made by number, so that targets of tests that run beside each other differ.
fn free_network() -> (String, String) {
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    (format!("xt{process:x}n{number}"), format!("10.{}.{}", 64 + process % 128, number))
}

/// Runs a program to its end and returns its stdout; its failure is that of the test.
pub fn run(program: &str, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = start(program, args);
    assert!(status.success(), "{program} {args:?} failed: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}

/// Runs a program to its end and returns its exit code and its stderr.
pub fn output(program: &str, args: &[&str]) -> (i32, String) {
    let Output { status, stderr, .. } = start(program, args);
    (status.code().unwrap_or(-1), String::from_utf8_lossy(&stderr).into_owned())
}

fn start(program: &str, args: &[&str]) -> Output {
    let output = command(program).args(args).output();
    output.unwrap_or_else(|error| panic!("running {program}: {error}"))
}

#[expect(clippy::disallowed_methods, reason = "the suite starts its own machine")]
fn command(program: &str) -> Command {
    Command::new(program)
}
