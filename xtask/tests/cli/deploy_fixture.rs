//! Fakes of nix with a flake of one node, of ssh with a host that answers, and of deploy-rs.

use std::fs;

use crate::support::{Outcome, Sandbox};

/// The system that the host runs before a deploy.
pub const OLD: &str = "/nix/store/00000000000000000000000000000000-nixos-system-stinky-old";
/// The system of the flake.
pub const NEW: &str = "/nix/store/11111111111111111111111111111111-nixos-system-stinky-new";
/// The profile of the flake, which wraps [`NEW`].
pub const NEW_PROFILE: &str = "/nix/store/22222222222222222222222222222222-activatable-nixos-system-stinky";
/// The profile that the host has before a deploy, which wraps [`OLD`].
pub const OLD_PROFILE: &str = "/nix/store/33333333333333333333333333333333-activatable-nixos-system-stinky";
/// The output `deploy` with the node of `stinky` alone, as Nix prints it.
pub const PINNED: &str = r#"{"nodes":{"stinky":{"hostname":"stinky.lan"}}}"#;
/// The link to the system profile on the host.
pub const PROFILE_LINK: &str = "/nix/var/nix/profiles/system";

/// A sandbox with the fakes.
pub struct Fixture {
    pub sandbox: Sandbox,
}

impl Fixture {
    /// Makes the fakes. deploy-rs prints `stderr` and exits with `code`. The host answers a probe with `before`, a
    /// file of the sandbox, and after the run of deploy-rs with `after`.
    pub fn new(after: &str, stderr: &str, code: i32) -> Self {
        let fixture = Self { sandbox: Sandbox::with_fakes_only() };
        fixture.write("nodes", &nodes_json("root"));
        fixture.write("before", &probe_answer(OLD_PROFILE, OLD, ""));
        fixture.write("after", after);
        let nodes = fixture.path("nodes");
        let before = fixture.path("before");
        let after = fixture.path("after");
        // The profile is not in the store of this machine, so it is built; the closure is unknown.
        let actions = "*' build '*) echo '[{}]';; *' copy '*) exit 0;;";
        // The branch of `eval` comes first: an evaluated function may contain the words of the other branches.
        let eval = format!("*' eval '*) cat {nodes};; {actions}");
        let sandbox = &fixture.sandbox;
        sandbox.fake("nix", &format!(r#"case "$*" in --version) echo "nix (Nix) 2.26.3";; {eval} esac"#));
        let calls_of_deploy_rs = fixture.path("calls/deploy");
        let answers = format!("if [ -e {calls_of_deploy_rs} ]; then cat {after}; else cat {before}; fi");
        fixture.fake_ssh(&answers, "");
        let sandbox = &fixture.sandbox;
        sandbox.fake("deploy", &format!("echo 'to stdout'; printf '%s\\n' '{stderr}' >&2; exit {code}"));
        fixture
    }

    /// Fakes a host that answers probes with the output of `answers` and makes a folder for deploy-rs.
    /// `others` are more branches of the `case` in the fake ssh.
    pub fn fake_ssh(&self, answers: &str, others: &str) {
        let print = r#"print() {
            while IFS= read -r line; do
                case $line in
                    @*) printf '\000%s.%s\000' "$nonce" "${line#@}" ;;
                    *) printf '%s\n' "$line" ;;
                esac
            done
        }
        nonce="$*"; nonce=${nonce%%.begin*}; nonce=${nonce##* }"#;
        let mktemp = format!("*mktemp*) echo {WORKDIR};;");
        // The shared connection stays open until its stdin ends.
        let share = r#"*ControlMaster=yes*) for word; do case $word in ControlPath=*) : >"${word#*=}";; esac; done; cat;;"#;
        let body = format!(
            r#"{print}; case "$*" in {share} *.begin*) {{ {answers}; }} | print;; {mktemp} {others} esac"#
        );
        self.sandbox.fake("ssh", &body);
    }

    /// Writes `text` to the file `name` in the sandbox.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.sandbox.path(name), text).expect("writing an answer");
    }

    /// The path of the file `name` in the sandbox.
    pub fn path(&self, name: &str) -> String {
        self.sandbox.path(name).display().to_string()
    }

    /// The calls of ssh that query the host, without those that open or check the shared connection.
    pub fn ssh_calls(&self) -> Vec<Vec<String>> {
        let calls = self.sandbox.calls("ssh").into_iter();
        let queries =
            calls.filter(|call| call.last().is_some_and(|command| command != "cat" && command != "true"));
        queries.map(|call| call.iter().map(|word| without_nonces(word)).collect()).collect()
    }

    /// Runs `deploy ARGS` with the flake.
    pub fn deploy(&self, args: &[&str]) -> Outcome {
        let args = [&["--flake", "github:o/f", "deploy"], args].concat();
        self.sandbox.run(&args)
    }
}

/// The Nix function that reads or makes the node of `stinky`, where the command line gives no address.
pub fn node_function() -> String {
    node_function_where(false)
}

/// The Nix function that reads or makes the node of `stinky`, where the command line gives the address.
pub fn node_function_with_address() -> String {
    node_function_where(true)
}

fn node_function_where(is_address_given: bool) -> String {
    let [read, make] = [
        include_str!("../../src/deploy/desired/node.nix"),
        include_str!("../../src/deploy/desired/profile.nix"),
    ];
    format!("({read}) {{ isAddressGiven = {is_address_given}; makeProfile = {make}; }} \"stinky\"")
}

/// The JSON of the evaluated flake: its nodes `other` and `stinky`, and the node of `stinky`, with the user
/// `ssh_user`.
pub fn nodes_json(ssh_user: &str) -> String {
    format!(
        r#"{{"names":["other","stinky"],"node":{{"hostname":"stinky.lan","profiles":["system"],
            "path":"{NEW_PROFILE}","drvPath":"{NEW_PROFILE}.drv","platform":null,"pinned":{PINNED},"profilePath":null,"sshOpts":["-p","2222"],
            "sshUser":"{ssh_user}","user":"root","sudo":null,"tempPath":null,"remoteBuild":null,
            "fastConnection":null,"interactiveSudo":null,"confirmTimeout":null,"activationTimeout":null}},"system":"{NEW}"}}"#
    )
}

/// The answer of a host to a probe: its `profile`, its `current` system, and its `failed` units. A line `@NAME`
/// stands for the marker before each part.
pub fn probe_answer(profile: &str, current: &str, failed: &str) -> String {
    format!(
        "@current\n{current}\n@booted\n@profile\n{profile}\n@offered\n{NEW}/activate\n@boot\nid\n@pgrep\n1\n\
         @activation\n@failed\n{failed}\n@rollback\n{PROFILE_LINK}/deploy-rs-activate\n@kernel\n@initrd\n@kernel-modules\n@end\n"
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

/// The shell command of a query, which runs the commands of `parts` and prints a marker with the name before each.
fn query_command(parts: &[(&str, &str)]) -> String {
    let marker = |name: &str| format!(r"printf '\000%s\000' NONCE.{name}");
    let parts = parts.iter().map(|(name, command)| format!("{}; {command}; ", marker(name)));
    let script = format!("{}{}", parts.collect::<String>(), marker("end"));
    let script = script.replace('\'', r"'\''");
    format!("{}; sh -c '{script}' 2>/dev/null | dd obs=16k 2>/dev/null", marker("begin"))
}

/// The command of a probe, with further parts before and after those that read the state of the host.
fn probe_with(before: &[(&str, &str)], after: &[(&str, &str)]) -> String {
    let links = |name: &str| {
        format!(
            "test -e /run/booted-system/{name} && readlink -f /run/booted-system/{name} || echo -; \
             test -e /run/current-system/{name} && readlink -f /run/current-system/{name} || echo -"
        )
    };
    let profile = format!("readlink -f {PROFILE_LINK}");
    let offered = format!("readlink -f {NEW_PROFILE}/activate");
    let rollback = format!("ls {PROFILE_LINK}/deploy-rs-activate");
    let switch = format!("ls {PROFILE_LINK}/bin/switch-to-configuration");
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
        ("trial-command", "command -v boot-trial"),
        ("trial", "boot-trial status"),
        ("folder", "stat -L -c %d:%i /nix/var/nix/profiles"),
        ("failed", "systemctl --failed --no-legend --plain || echo untold"),
        ("rollback", &rollback),
        ("switch", &switch),
        ("kernel", &kernel),
        ("kernel-modules", &modules),
        ("initrd", &initrd),
        ("dtbs", &trees),
        ("booted-params", "cat /run/booted-system/kernel-params"),
        ("current-params", "cat /run/current-system/kernel-params"),
    ];
    query_command(&[before, &state, after].concat())
}

/// The command of a probe that reads only the state of the host.
pub fn probe_command() -> String {
    probe_with(&[], &[])
}

/// The command of the probe after deploy-rs has confirmed the deploy.
pub fn last_probe_command() -> String {
    let list = format!("ls -A {WORKDIR}");
    let remove = format!("rmdir {WORKDIR}");
    probe_with(&[], &[("unconfirmed", &list), ("removed", &remove)])
}

/// The temporary folder that the host makes for deploy-rs.
pub const WORKDIR: &str = "/tmp/xtask-deploy.0123456789";

/// The command that makes [`WORKDIR`] and removes the old folders of killed runs. `sudo` is the prefix of its
/// programs.
pub fn make_workdir_command(sudo: &str) -> String {
    let old =
        "-maxdepth 1 -type d -name 'xtask-deploy.??????????' -user root -mmin +1440 -exec rm -rf -- '{}' +";
    format!("{sudo}find /tmp/ {old}; {sudo}mktemp -d /tmp/xtask-deploy.XXXXXXXXXX")
}

/// The arguments of an ssh that runs `command`. `control` has the options that share the connection.
pub fn ssh_args(control: [&str; 2], destination: &str, command: &str) -> Vec<String> {
    let options = "-n -E /dev/stdin -o BatchMode=yes -p 2222 -o Compression=yes -o ConnectTimeout=10 \
                   -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -T --";
    let words = ["-o", control[0], "-o", control[1]].into_iter().chain(options.split_whitespace());
    words.chain([destination, command]).map(str::to_owned).collect()
}

/// The arguments of the ssh that shares its connection by `socket`, and gives up a dead host soon. It carries copies,
/// which are not compressed again.
pub fn master_args(socket: &str, destination: &str) -> Vec<String> {
    let words = format!(
        "-o ControlMaster=yes -o ControlPath={socket} -E {socket}%log -o ControlPersist=no -o ClearAllForwardings=yes \
         -o BatchMode=yes -p 2222 -o ConnectTimeout=4 -o ServerAliveInterval=15 -o ServerAliveCountMax=1 \
         -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -T -- {destination} cat"
    );
    words.split_whitespace().map(str::to_owned).collect()
}

/// The command of the first probe of a deploy, which also reads the closure of the current system.
pub fn first_probe_command() -> String {
    let unless_current =
        format!("readlink -f {PROFILE_LINK} | grep -qxF {NEW_PROFILE} || test ! -e /run/current-system");
    let query = format!("{unless_current} || nix-store --query --requisites /run/current-system");
    let sizes = format!("{query} | xargs nix-store --query --size");
    let lines = include_str!("../../src/deploy/host/boot_facts.sh").lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect::<Vec<_>>();
    let script = lines.join("\n");
    let boot = format!("{unless_current} || sh -c '{script}' || echo asked=no");
    let after = [
        ("store", "nix-store --store dummy:// --version 2>&1"),
        ("free", "df -Pk /nix"),
        ("boot-facts", &boot),
    ];
    probe_with(&[("requisites", &query), ("sizes", &sizes)], &after)
}

/// The line that deploy-rs prints when it activates the profile.
pub const ACTIVATING: &str = "[deploy] [INFO] Activating profile `system` for node `stinky`";

/// The arguments of Nix for `args`.
pub fn with_features(args: &[&str]) -> Vec<String> {
    let features = ["--extra-experimental-features", "nix-command flakes"];
    features.iter().chain(args).map(ToString::to_string).collect()
}
