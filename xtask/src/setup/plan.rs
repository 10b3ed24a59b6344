//! From the facts to the steps, in the order in which they depend on each other.

use std::fmt;

use super::facts::{BINFMT, ENTRY, Facts, NIX_CONF, Store};
use super::root::RootCommand;

/// One thing to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Packages of the system.
    Packages(Vec<&'static str>),
    MountBinfmt,
    RegisterQemu,
    /// The line in the settings of the machine's own Nix, and a new start of its daemon.
    Promise {
        systemd: bool,
    },
    /// The folder of the Nix store, owned by the user.
    MakeStore {
        user: String,
    },
    /// A recent Nix in a folder of the project's own, out of the first of these suites that has one.
    InstallNix {
        suites: &'static [&'static str],
    },
    /// The configuration of that Nix.
    ConfigureNix,
    InstallDeploy,
}

/// What is missing; nothing where everything is there.
pub fn plan(facts: &Facts) -> Vec<Step> {
    let mut steps = Vec::new();
    let packages = packages(facts);
    if !packages.is_empty() {
        steps.push(Step::Packages(packages));
    }
    if !facts.runs_aarch64 {
        if !facts.binfmt_mounted {
            steps.push(Step::MountBinfmt);
        }
        steps.push(Step::RegisterQemu);
    }
    if facts.lacks_promise {
        steps.push(Step::Promise { systemd: facts.systemd });
    }
    if !facts.nix {
        if facts.store == Store::Absent {
            steps.push(Step::MakeStore { user: facts.user.clone() });
        }
        steps.push(Step::InstallNix { suites: facts.distribution.suites_with_nix() });
    } else if facts.outdated_settings {
        steps.push(Step::ConfigureNix);
    }
    if facts.lacks_deploy {
        steps.push(Step::InstallDeploy);
    }
    steps
}

fn packages(facts: &Facts) -> Vec<&'static str> {
    let qemu = (!facts.runs_aarch64 && !facts.entry).then_some("qemu-user-static");
    let patchelf = (!facts.nix && !facts.patchelf).then_some("patchelf");
    let certificates = (!facts.certificates).then_some("ca-certificates");
    let mut names = facts
        .lacks
        .iter()
        .map(|tool| tool.package)
        .chain(qemu)
        .chain(patchelf)
        .chain(certificates)
        .collect::<Vec<_>>();
    names.sort_unstable();
    names.dedup();
    names
}

impl Step {
    /// What of it only root may do.
    pub fn as_root(&self, user: &str) -> Vec<RootCommand> {
        match self {
            Self::Packages(names) => vec![
                apt(&["update"]),
                apt(&[&["install", "--yes", "--no-install-recommends"], &names[..]].concat()),
            ],
            Self::MountBinfmt => {
                vec![RootCommand::new(&["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT])]
            }
            // The kernel takes an entry in one write, which is how cp writes so short a file.
            Self::RegisterQemu => vec![RootCommand::new(&["cp", ENTRY, &format!("{BINFMT}/register")])],
            Self::MakeStore { .. } => {
                vec![RootCommand::new(&["install", "-d", "-m", "0755", "-o", user, "/nix"])]
            }
            Self::Promise { systemd } => {
                let line = RootCommand::new(&["sed", "-i", PROMISE, NIX_CONF]);
                let restart = RootCommand::new(&["systemctl", "try-restart", "nix-daemon.service"]);
                [line].into_iter().chain(systemd.then_some(restart)).collect()
            }
            Self::InstallNix { .. } | Self::ConfigureNix | Self::InstallDeploy => Vec::new(),
        }
    }
}

/// Appends the promise as the last line; what is promised there already stays.
const PROMISE: &str = "$a extra-extra-platforms = aarch64-linux";

/// apt-get without questions; where another one runs, it waits for that to end.
fn apt(words: &[&str]) -> RootCommand {
    let fixed = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=400"];
    RootCommand::new(&[&fixed, words].concat())
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packages(names) => {
                write!(f, "install the packages {}", names.join(", "))?;
                let server = names.contains(&"openssh-server");
                if server {
                    f.write_str(" (openssh-server: the suite deploy runs it; Debian starts one too)")
                } else {
                    Ok(())
                }
            }
            Self::MountBinfmt => write!(f, "mount binfmt_misc at {BINFMT}"),
            Self::RegisterQemu => write!(f, "register qemu for programs of aarch64-linux"),
            Self::Promise { .. } => write!(f, "tell nix in {NIX_CONF} that aarch64-linux runs here"),
            Self::MakeStore { user } => write!(f, "make the folder /nix for {user}"),
            Self::InstallNix { .. } => write!(f, "install a recent Nix for this project alone"),
            Self::ConfigureNix => write!(f, "give builds of the project's Nix a sandbox"),
            Self::InstallDeploy => write!(f, "compile deploy-rs for this project alone (some minutes)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Needs;
    use super::super::distribution::Distribution;
    use super::super::tools::needed_for;
    use super::*;

    fn ready() -> Facts {
        Facts {
            distribution: Distribution::Debian,
            user: "pi".into(),
            nix: true,
            outdated_settings: false,
            store: Store::Writable,
            runs_aarch64: true,
            lacks_promise: false,
            systemd: true,
            certificates: true,
            binfmt_mounted: true,
            entry: true,
            patchelf: true,
            lacks_deploy: false,
            lacks: Vec::new(),
        }
    }

    fn shown(facts: &Facts) -> Vec<String> {
        plan(facts).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_what_is_missing() {
        let none: [&str; 0] = [];
        assert_eq!(shown(&ready()), none);
        let nix = "install a recent Nix for this project alone";
        assert_eq!(shown(&Facts { nix: false, ..ready() }), [nix]);
        assert_eq!(shown(&Facts { nix: false, outdated_settings: true, ..ready() }), [nix]);
        let settings = "give builds of the project's Nix a sandbox";
        assert_eq!(shown(&Facts { outdated_settings: true, ..ready() }), [settings]);
        assert_eq!(
            shown(&Facts { nix: false, store: Store::Absent, patchelf: false, ..ready() }),
            ["install the packages patchelf", "make the folder /nix for pi", nix]
        );
        let qemu = "register qemu for programs of aarch64-linux";
        assert_eq!(shown(&Facts { runs_aarch64: false, ..ready() }), [qemu]);
        assert_eq!(
            shown(&Facts { runs_aarch64: false, entry: false, binfmt_mounted: false, ..ready() }),
            ["install the packages qemu-user-static", "mount binfmt_misc at /proc/sys/fs/binfmt_misc", qemu]
        );
        assert_eq!(
            shown(&Facts { lacks_promise: true, certificates: false, ..ready() }),
            [
                "install the packages ca-certificates",
                "tell nix in /etc/nix/nix.conf that aarch64-linux runs here"
            ]
        );
        let lacks = needed_for(&[Needs::Deploy]).collect();
        assert_eq!(
            shown(&Facts { lacks, lacks_deploy: true, ..ready() }),
            [
                "install the packages openssh-client",
                "compile deploy-rs for this project alone (some minutes)"
            ]
        );
    }

    #[test]
    fn what_is_there_already() {
        let needs = [Needs::Build, Needs::Deploy];
        let tools = ["git", "debugfs", "e2fsck", "e2image", "ssh-keygen", "ssh"];
        let all = [&["nix", "aarch64-linux", "deploy-rs"], &tools[..]].concat();
        assert_eq!(ready().there(&needs), all);
        assert_eq!(ready().there(&needs[..1]), [&all[..2], &tools[..5]].concat());
        let bare = Facts { nix: false, runs_aarch64: false, lacks_deploy: true, ..ready() };
        assert_eq!(bare.there(&needs), tools);
        let lacks = needed_for(&needs[1..]).collect();
        assert_eq!(Facts { lacks_promise: true, lacks, ..bare }.there(&needs), tools[..5]);
    }

    #[test]
    fn what_root_is_asked_to_run() {
        let steps = [
            Step::Packages(vec!["git"]),
            Step::RegisterQemu,
            Step::Promise { systemd: true },
            Step::Promise { systemd: false },
            Step::MakeStore { user: "pi".into() },
        ];
        let promise = "sed -i '$a extra-extra-platforms = aarch64-linux' /etc/nix/nix.conf";
        let commands = steps.iter().flat_map(|step| step.as_root("pi")).map(|it| it.to_string());
        let apt = "env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=400";
        assert_eq!(
            commands.collect::<Vec<_>>(),
            [
                format!("{apt} update"),
                format!("{apt} install --yes --no-install-recommends git"),
                "cp /usr/lib/binfmt.d/qemu-aarch64.conf /proc/sys/fs/binfmt_misc/register".into(),
                promise.into(),
                "systemctl try-restart nix-daemon.service".into(),
                promise.into(),
                "install -d -m 0755 -o pi /nix".into(),
            ]
        );
    }
}
