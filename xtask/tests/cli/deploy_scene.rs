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
        scene.write("before", &answer(BEFORE, OLD, "", ""));
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
        fakes.fake("ssh", &format!(r#"case "$*" in *@end) {answers};; esac"#));
        fakes.fake("deploy", &format!("echo 'to stdout'; printf '%s\\n' '{said}' >&2; exit {code}"));
        scene
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.sandbox.path(name), text).expect("writing an answer");
    }

    pub fn file(&self, name: &str) -> String {
        self.sandbox.path(name).display().to_string()
    }

    /// How ssh was called to ask the host something: not for the line over which that goes, or whether it carries.
    pub fn asked(&self) -> Vec<Vec<String>> {
        let calls = self.sandbox.calls("ssh").into_iter();
        calls
            .filter(|call| call.last().is_some_and(|command| command != "cat" && command != "true"))
            .collect()
    }

    pub fn run(&self, args: &[&str]) -> Outcome {
        let args = [&["--flake", "github:o/f", "deploy"], args].concat();
        self.sandbox.run(&args)
    }
}

pub fn nodes(ssh_user: &str) -> String {
    format!(
        r#"{{"names":["other","stinky"],"node":{{"hostname":"stinky.lan","profiles":["system"],
            "path":"{PROFILE}","drvPath":"{PROFILE}.drv","platform":null,"frozen":{FROZEN},"profilePath":null,"sshOpts":["-p","2222"],
            "sshUser":"{ssh_user}","user":"root","sudo":null,"tempPath":null,"remoteBuild":null,
            "fastConnection":null,"interactiveSudo":null,"confirmTimeout":null,"activationTimeout":null}},"system":"{NEW}"}}"#
    )
}

/// What the host answers to the probe.
pub fn answer(profile: &str, current: &str, leftovers: &str, failed: &str) -> String {
    format!(
        "@current\n{current}\n@booted\n@profile\n{profile}\n@offered\n{NEW}/activate\n@boot\nid\n@pgrep\n/bin/pgrep\n\
         @activation\n@leftovers\n{leftovers}\n@failed\n{failed}\n@way-back\n{LINK}/deploy-rs-activate\n@kernel\n@initrd\n@kernel-modules\n@end\n"
    )
}

pub fn probe() -> String {
    let boot = ["kernel", "initrd", "kernel-modules"].map(|name| {
        format!(
            "echo @{name}; readlink -f /run/booted-system/{name}; readlink -f /run/current-system/{name}; "
        )
    });
    format!(
        "echo @current; readlink -f /run/current-system; echo @booted; readlink -f /run/booted-system; \
         echo @profile; readlink -f {LINK}; \
         echo @offered; readlink -f {PROFILE}/activate; echo @boot; cat /proc/sys/kernel/random/boot_id; \
         echo @pgrep; command -v pgrep; echo @activation; pgrep -f 'activate .*[-]-confirm-timeout'; \
         echo @leftovers; find /tmp -maxdepth 1 -name 'deploy-rs-canary-*' -o -name 'deploy-rs-cancel-*'; \
         echo @failed; systemctl --failed --no-legend --plain || echo @untold; echo @way-back; ls {LINK}/deploy-rs-activate; \
         echo @switch; ls {LINK}/bin/switch-to-configuration; \
         {}echo @end",
        boot.concat()
    )
}

/// `control` is how the connection is shared.
pub fn ssh(control: [&str; 2], destination: &str, command: &str) -> Vec<String> {
    let options = "-o BatchMode=yes -p 2222 -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -T --";
    let words = ["-o", control[0], "-o", control[1]].into_iter().chain(options.split_whitespace());
    words.chain([destination, command]).map(str::to_owned).collect()
}

/// The first question, which asks for the closure of what is going to change too.
pub fn first_question() -> String {
    let spared = format!("readlink -f {LINK} | grep -qxF {PROFILE} || test ! -e /run/current-system");
    let query = "nix-store --query --requisites /run/current-system";
    format!(
        "echo @requisites; {spared} || {query}; echo @sizes; {spared} || {query} | xargs nix-store --query --size; {}",
        probe()
    )
}

pub const ACTIVATING: &str = "[deploy] [INFO] Activating profile `system` for node `stinky`";
