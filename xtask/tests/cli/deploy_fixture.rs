//! Fakes of nix with a flake of one node, of ssh with a host that answers, and of deploy-rs.

use std::fs;

use crate::support::{Outcome, Sandbox};

pub const OLD: &str = "/nix/store/00000000000000000000000000000000-nixos-system-stinky-old";
pub const NEW: &str = "/nix/store/11111111111111111111111111111111-nixos-system-stinky-new";
pub const NEW_PROFILE: &str = "/nix/store/22222222222222222222222222222222-activatable-nixos-system-stinky";
pub const OLD_PROFILE: &str = "/nix/store/33333333333333333333333333333333-activatable-nixos-system-stinky";
/// The output `deploy` with this node alone, as Nix prints it.
pub const PINNED: &str = r#"{"nodes":{"stinky":{"hostname":"stinky.lan"}}}"#;
pub const LINK: &str = "/nix/var/nix/profiles/system";

/// A sandbox with the fakes.
pub struct Fixture {
    pub sandbox: Sandbox,
}

impl Fixture {
    /// deploy-rs prints `stderr` and exits with `code`; after that the host answers with `after`.
    pub fn new(after: &str, stderr: &str, code: i32) -> Self {
        let fixture = Self { sandbox: Sandbox::with_fakes_only() };
        fixture.write("nodes", &nodes("root"));
        fixture.write("before", &probe_answer(OLD_PROFILE, OLD, ""));
        fixture.write("after", after);
        let nodes = fixture.file("nodes");
        let before = fixture.file("before");
        let after = fixture.file("after");
        // The profile is not in the store of this machine, so it is built; the closure is unknown.
        let actions = "*' build '*) echo '[{}]';; *' copy '*) exit 0;;";
        // First: the words of an evaluated function are words of this pattern, too.
        let eval = format!("*' eval '*) cat {nodes};; {actions}");
        let fakes = &fixture.sandbox;
        fakes.fake("nix", &format!(r#"case "$*" in --version) echo "nix (Nix) 2.26.3";; {eval} esac"#));
        let ran = fixture.sandbox.path("calls").join("deploy");
        let ran = ran.display();
        let answers = format!("if [ -e {ran} ]; then cat {after}; else cat {before}; fi");
        fixture.ssh(&answers, "");
        let fakes = &fixture.sandbox;
        fakes.fake("deploy", &format!("echo 'to stdout'; printf '%s\\n' '{stderr}' >&2; exit {code}"));
        fixture
    }

    /// Fakes a host that answers probes with the output of `answers` and makes a folder for deploy-rs.
    /// `others` are more branches of its `case`.
    pub fn ssh(&self, answers: &str, others: &str) {
        let print = r#"print() {
            while IFS= read -r line; do
                case $line in
                    @*) printf '\000%s.%s\000' "$nonce" "${line#@}" ;;
                    *) printf '%s\n' "$line" ;;
                esac
            done
        }
        nonce="$*"; nonce=${nonce##* }; nonce=${nonce%.end}"#;
        let mktemp = format!("*mktemp*) echo {WORKDIR};;");
        let body =
            format!(r#"{print}; case "$*" in *.end) {{ {answers}; }} | print;; {mktemp} {others} esac"#);
        self.sandbox.fake("ssh", &body);
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.sandbox.path(name), text).expect("writing an answer");
    }

    pub fn file(&self, name: &str) -> String {
        self.sandbox.path(name).display().to_string()
    }

    /// The calls of ssh that query the host, without those that open or check the shared connection.
    pub fn ssh_calls(&self) -> Vec<Vec<String>> {
        let calls = self.sandbox.calls("ssh").into_iter();
        let queries =
            calls.filter(|call| call.last().is_some_and(|command| command != "cat" && command != "true"));
        queries.map(|call| call.iter().map(|word| without_nonces(word)).collect()).collect()
    }

    pub fn run(&self, args: &[&str]) -> Outcome {
        let args = [&["--flake", "github:o/f", "deploy"], args].concat();
        self.sandbox.run(&args)
    }
}

/// The function that reads the node of `stinky`, or makes one; `is_addressed`: the command line names the address.
pub fn read_node(is_addressed: bool) -> String {
    let [read, make] = [
        include_str!("../../src/deploy/desired/node.nix"),
        include_str!("../../src/deploy/desired/profile.nix"),
    ];
    format!("({read}) {{ isAddressed = {is_addressed}; makeProfile = {make}; }} \"stinky\"")
}

pub fn nodes(ssh_user: &str) -> String {
    format!(
        r#"{{"names":["other","stinky"],"node":{{"hostname":"stinky.lan","profiles":["system"],
            "path":"{NEW_PROFILE}","drvPath":"{NEW_PROFILE}.drv","platform":null,"pinned":{PINNED},"profilePath":null,"sshOpts":["-p","2222"],
            "sshUser":"{ssh_user}","user":"root","sudo":null,"tempPath":null,"remoteBuild":null,
            "fastConnection":null,"interactiveSudo":null,"confirmTimeout":null,"activationTimeout":null}},"system":"{NEW}"}}"#
    )
}

/// The answer of the host to the probe. A line `@NAME` stands for the marker before each part.
pub fn probe_answer(profile: &str, current: &str, failed: &str) -> String {
    format!(
        "@current\n{current}\n@booted\n@profile\n{profile}\n@offered\n{NEW}/activate\n@boot\nid\n@pgrep\n1\n\
         @activation\n@failed\n{failed}\n@way-back\n{LINK}/deploy-rs-activate\n@kernel\n@initrd\n@kernel-modules\n@end\n"
    )
}

/// Replaces the nonce of each probe by `NONCE`.
fn without_nonces(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.split_once('.') {
        Some((nonce, rest)) if nonce.len() == 32 && nonce.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            format!("NONCE.{rest}")
        }
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn command(parts: &[(&str, &str)]) -> String {
    let marker = |name: &str| format!(r"printf '\000%s\000' NONCE.{name}");
    let parts = parts.iter().map(|(name, command)| format!("{}; {command}; ", marker(name)));
    format!("{}{}", parts.collect::<String>(), marker("end"))
}

fn probe_with(before: &[(&str, &str)], after: &[(&str, &str)]) -> String {
    let links =
        |name: &str| format!("readlink -f /run/booted-system/{name}; readlink -f /run/current-system/{name}");
    let profile = format!("readlink -f {LINK}");
    let offered = format!("readlink -f {NEW_PROFILE}/activate");
    let way_back = format!("ls {LINK}/deploy-rs-activate");
    let switch = format!("ls {LINK}/bin/switch-to-configuration");
    let [kernel, initrd, modules] = ["kernel", "initrd", "kernel-modules"].map(links);
    let trees = links("dtbs");
    let state = [
        ("pgrep", "pgrep -U root -o ."),
        ("activation", "pgrep -U root -f 'activate .*[-]-confirm-timeout'"),
        ("current", "readlink -f /run/current-system"),
        ("booted", "readlink -f /run/booted-system"),
        ("profile", &profile),
        ("offered", &offered),
        ("boot", "cat /proc/sys/kernel/random/boot_id"),
        ("folder", "stat -L -c %d:%i /nix/var/nix/profiles"),
        ("failed", "systemctl --failed --no-legend --plain || echo untold"),
        ("way-back", &way_back),
        ("switch", &switch),
        ("trial-command", "command -v boot-trial"),
        ("trial", "boot-trial status"),
        ("kernel", &kernel),
        ("kernel-modules", &modules),
        ("initrd", &initrd),
        ("dtbs", &trees),
        ("booted-params", "cat /run/booted-system/kernel-params"),
        ("current-params", "cat /run/current-system/kernel-params"),
    ];
    command(&[before, &state, after].concat())
}

pub fn probe() -> String {
    probe_with(&[], &[])
}

/// The probe after deploy-rs has confirmed the deploy.
pub fn last_probe() -> String {
    let list = format!("ls -A {WORKDIR}");
    let remove = format!("rmdir {WORKDIR}");
    probe_with(&[], &[("unconfirmed", &list), ("removed", &remove)])
}

/// The temporary folder that the host makes for deploy-rs.
pub const WORKDIR: &str = "/tmp/xtask-deploy.0123456789";

/// The command that makes [`WORKDIR`] and removes old ones of killed runs; `sudo` is a prefix of its
/// programs.
pub fn make_workdir(sudo: &str) -> String {
    let old =
        "-maxdepth 1 -type d -name 'xtask-deploy.??????????' -user root -mmin +1440 -exec rm -rf -- '{}' +";
    format!("{sudo}find /tmp/ {old}; {sudo}mktemp -d /tmp/xtask-deploy.XXXXXXXXXX")
}

/// The arguments of ssh; `control` are the options that share the connection.
pub fn ssh(control: [&str; 2], destination: &str, command: &str) -> Vec<String> {
    let options = "-o BatchMode=yes -p 2222 -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -T --";
    // Nobody reads the log of the process that holds the shared connection.
    let log: &[&str] = if command == "cat" { &[] } else { &["-n", "-E", "/dev/stdin"] };
    let words = ["-o", control[0], "-o", control[1]]
        .into_iter()
        .chain(log.iter().copied())
        .chain(options.split_whitespace());
    words.chain([destination, command]).map(str::to_owned).collect()
}

/// The first probe, which reads the closure of the current system too.
pub fn first_probe() -> String {
    let unless_current =
        format!("readlink -f {LINK} | grep -qxF {NEW_PROFILE} || test ! -e /run/current-system");
    let query = format!("{unless_current} || nix-store --query --requisites /run/current-system");
    let sizes = format!("{query} | xargs nix-store --query --size");
    let script = include_str!("../../src/deploy/host/boot_facts.sh");
    let boot = format!("{unless_current} || sh -c '{script}' || echo asked=no");
    let after = [
        ("store", "nix-store --store dummy:// --version 2>&1"),
        ("free", "df -Pk /nix"),
        ("boot-facts", &boot),
    ];
    probe_with(&[("requisites", &query), ("sizes", &sizes)], &after)
}

pub const ACTIVATING: &str = "[deploy] [INFO] Activating profile `system` for node `stinky`";
