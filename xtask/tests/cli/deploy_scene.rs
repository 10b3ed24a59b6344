//! A flake with one node, a host that answers and deploy-rs, all of them fakes.

use std::fs;

use crate::support::{Outcome, Sandbox};

pub const OLD: &str = "/nix/store/00000000000000000000000000000000-nixos-system-stinky-old";
pub const NEW: &str = "/nix/store/11111111111111111111111111111111-nixos-system-stinky-new";
pub const PROFILE: &str = "/nix/store/22222222222222222222222222222222-activatable-nixos-system-stinky";
pub const BEFORE: &str = "/nix/store/33333333333333333333333333333333-activatable-nixos-system-stinky";
/// The output `deploy` with nothing in it but the node, as Nix would write it.
pub const FROZEN: &str = r#"{"nodes":{"stinky":{"hostname":"stinky.lan"}}}"#;
pub const LINK: &str = "/nix/var/nix/profiles/system";

/// See the file.
pub struct Scene {
    pub sandbox: Sandbox,
}

impl Scene {
    /// deploy-rs says `said`, and ends with `code`. The host runs `after` from then on.
    pub fn new(after: &str, said: &str, code: i32) -> Self {
        let scene = Self { sandbox: Sandbox::with_fakes_only() };
        scene.write("nodes", &nodes("root"));
        scene.write("before", &answer(BEFORE, OLD, ""));
        scene.write("after", after);
        let (nodes, before, after) = (scene.file("nodes"), scene.file("before"), scene.file("after"));
        // The profile is not in the store of this machine, so it is built; nothing is known of closures.
        let work = "*' build '*) echo '[{}]';; *' copy '*) exit 0;;";
        let eval = format!("{work} *' eval '*) cat {nodes};;");
        let fakes = &scene.sandbox;
        fakes.fake("nix", &format!(r#"case "$*" in --version) echo "nix (Nix) 2.26.3";; {eval} esac"#));
        let ran = scene.sandbox.path("calls").join("deploy");
        let ran = ran.display();
        let answers = format!("if [ -e {ran} ]; then cat {after}; else cat {before}; fi");
        scene.ssh(&answers, "");
        let fakes = &scene.sandbox;
        fakes.fake("deploy", &format!("echo 'to stdout'; printf '%s\\n' '{said}' >&2; exit {code}"));
        scene
    }

    /// A host that answers questions with what `answers` prints, makes a folder for deploy-rs, and otherwise does `others`,
    /// more branches of a `case`.
    pub fn ssh(&self, answers: &str, others: &str) {
        let say = r#"say() {
            while IFS= read -r line; do
                case $line in
                    @*) printf '\000%s.%s\000' "$nonce" "${line#@}" ;;
                    *) printf '%s\n' "$line" ;;
                esac
            done
        }
        nonce="$*"; nonce=${nonce##* }; nonce=${nonce%.end}"#;
        let made = format!("*mktemp*) echo {WORKDIR};;");
        let body = format!(r#"{say}; case "$*" in *.end) {{ {answers}; }} | say;; {made} {others} esac"#);
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

pub fn nodes(ssh_user: &str) -> String {
    format!(
        r#"{{"names":["other","stinky"],"node":{{"hostname":"stinky.lan","profiles":["system"],
            "path":"{PROFILE}","drvPath":"{PROFILE}.drv","platform":null,"pinned":{FROZEN},"profilePath":null,"sshOpts":["-p","2222"],
            "sshUser":"{ssh_user}","user":"root","sudo":null,"tempPath":null,"remoteBuild":null,
            "fastConnection":null,"interactiveSudo":null,"confirmTimeout":null,"activationTimeout":null}},"system":"{NEW}"}}"#
    )
}

/// What the host answers to the probe, with a line before each part that stands for its marker.
pub fn answer(profile: &str, current: &str, failed: &str) -> String {
    format!(
        "@current\n{current}\n@booted\n@profile\n{profile}\n@offered\n{NEW}/activate\n@boot\nid\n@pgrep\n1\n\
         @activation\n@failed\n{failed}\n@way-back\n{LINK}/deploy-rs-activate\n@kernel\n@initrd\n@kernel-modules\n@end\n"
    )
}

/// `text` with a word in place of what is made anew for each question.
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
    let (profile, offered) = (format!("readlink -f {LINK}"), format!("readlink -f {PROFILE}/activate"));
    let (way_back, switch) =
        (format!("ls {LINK}/deploy-rs-activate"), format!("ls {LINK}/bin/switch-to-configuration"));
    let [kernel, initrd, modules] = ["kernel", "initrd", "kernel-modules"].map(links);
    let state = [
        ("current", "readlink -f /run/current-system"),
        ("booted", "readlink -f /run/booted-system"),
        ("profile", &profile),
        ("offered", &offered),
        ("boot", "cat /proc/sys/kernel/random/boot_id"),
        ("folder", "stat -L -c %d:%i /nix/var/nix/profiles"),
        ("pgrep", "pgrep -U root -o ."),
        ("activation", "pgrep -U root -f 'activate .*[-]-confirm-timeout'"),
        ("failed", "systemctl --failed --no-legend --plain || echo untold"),
        ("way-back", &way_back),
        ("switch", &switch),
        ("kernel", &kernel),
        ("initrd", &initrd),
        ("kernel-modules", &modules),
    ];
    command(&[before, &state, after].concat())
}

pub fn probe() -> String {
    probe_with(&[], &[])
}

/// The question once deploy-rs has said that the deploy is confirmed.
pub fn last_question() -> String {
    let (list, remove) = (format!("ls -A {WORKDIR}"), format!("rmdir {WORKDIR}"));
    probe_with(&[], &[("unconfirmed", &list), ("removed", &remove)])
}

/// The folder that the host makes for deploy-rs.
pub const WORKDIR: &str = "/tmp/xtask-deploy.0123456789";

/// The command that makes [`WORKDIR`] after it has removed those of killed runs, with this prefix of its programs.
pub fn make_workdir(sudo: &str) -> String {
    let old =
        "-maxdepth 1 -type d -name 'xtask-deploy.??????????' -user root -mmin +1440 -exec rm -rf -- '{}' +";
    format!("{sudo}find /tmp/ {old}; {sudo}mktemp -d /tmp/xtask-deploy.XXXXXXXXXX")
}

/// `control` is how the connection is shared.
pub fn ssh(control: [&str; 2], destination: &str, command: &str) -> Vec<String> {
    let options = "-o BatchMode=yes -p 2222 -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -T --";
    // What only holds the line says nothing that is read.
    let log: &[&str] = if command == "cat" { &[] } else { &["-n", "-E", "/dev/stdin"] };
    let words = ["-o", control[0], "-o", control[1]]
        .into_iter()
        .chain(log.iter().copied())
        .chain(options.split_whitespace());
    words.chain([destination, command]).map(str::to_owned).collect()
}

/// The first question, which asks for the closure of what is going to change too.
pub fn first_question() -> String {
    let spared = format!("readlink -f {LINK} | grep -qxF {PROFILE} || test ! -e /run/current-system");
    let query = format!("{spared} || nix-store --query --requisites /run/current-system");
    let sizes = format!("{query} | xargs nix-store --query --size");
    probe_with(&[("requisites", &query), ("sizes", &sizes)], &[])
}

pub const ACTIVATING: &str = "[deploy] [INFO] Activating profile `system` for node `stinky`";
