//! Plans the steps from the facts, in the order of their dependencies.

use std::fmt;

use super::facts::{BINFMT, Facts, NIX_CONF, QEMU_ENTRY, Store};
use super::packages;
use super::root::RootCommand;

/// A step of the setup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Installs packages of the distribution.
    Packages(Vec<&'static str>),
    MountBinfmt,
    RegisterQemu,
    /// Adds `aarch64-linux` to `extra-platforms` of the machine's own Nix, and restarts its daemon if systemd runs.
    AddExtraPlatform {
        systemd: bool,
    },
    /// Creates the folder of the Nix store, owned by the user.
    CreateStore {
        user: String,
    },
    /// Installs a recent Nix into a folder of the project, from the first of these suites that has one.
    InstallNix {
        suites: &'static [&'static str],
    },
    /// Writes the configuration of the Nix in the folder of the project.
    ConfigureNix,
    InstallDeployRs,
}

/// Plans the steps that install what is missing; none where nothing is missing.
pub fn plan_steps(facts: &Facts) -> Vec<Step> {
    let mut steps = Vec::new();
    let packages = missing_packages(facts);
    if !packages.is_empty() {
        steps.push(Step::Packages(packages));
    }
    if !facts.runs_aarch64 {
        if !facts.is_binfmt_mounted {
            steps.push(Step::MountBinfmt);
        }
        steps.push(Step::RegisterQemu);
    }
    if facts.lacks_extra_platform {
        steps.push(Step::AddExtraPlatform { systemd: facts.has_systemd });
    }
    if !facts.has_nix {
        if facts.store == Store::Absent {
            steps.push(Step::CreateStore { user: facts.user.clone() });
        }
        steps.push(Step::InstallNix { suites: facts.distribution.suites_with_nix() });
    } else if facts.has_outdated_settings {
        steps.push(Step::ConfigureNix);
    }
    if facts.lacks_deploy_rs {
        steps.push(Step::InstallDeployRs);
    }
    steps
}

/// The names of the packages to install, sorted.
fn missing_packages(facts: &Facts) -> Vec<&'static str> {
    let mut names = facts.missing_tools.iter().map(|tool| tool.package).collect::<Vec<_>>();
    if !facts.runs_aarch64 && !facts.has_qemu_entry {
        names.push("qemu-user-static");
    }
    // The private Nix gets its library path by patchelf.
    if !facts.has_nix && !facts.has_patchelf {
        names.push("patchelf");
    }
    if !facts.has_certificates {
        names.push("ca-certificates");
    }
    names.sort_unstable();
    names.dedup();
    names
}

impl Step {
    /// The commands of the step that need root.
    pub fn root_commands(&self) -> Vec<RootCommand> {
        match self {
            Self::Packages(names) => vec![packages::update(), packages::install(names)],
            Self::MountBinfmt => {
                vec![RootCommand::new(&["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT])]
            }
            // The kernel requires an entry in a single write, and cp writes so short a file in one.
            Self::RegisterQemu => {
                vec![RootCommand::new(&["cp", QEMU_ENTRY, &format!("{BINFMT}/register")])]
            }
            Self::CreateStore { user } => {
                vec![RootCommand::new(&["install", "-d", "-m", "0755", "-o", user, "/nix"])]
            }
            Self::AddExtraPlatform { systemd } => {
                let append = RootCommand::new(&["awk", APPEND_EXTRA_PLATFORM, NIX_CONF]);
                let restart = RootCommand::new(&["systemctl", "try-restart", "nix-daemon.service"]);
                [append].into_iter().chain(systemd.then_some(restart)).collect()
            }
            Self::InstallNix { .. } | Self::ConfigureNix | Self::InstallDeployRs => Vec::new(),
        }
    }
}

/// The script for awk that appends a line to the configuration of Nix, which may be empty, or lack its last line break.
/// The line adds to the systems that are listed already.
const APPEND_EXTRA_PLATFORM: &str = r#"BEGIN { print "\nextra-extra-platforms = aarch64-linux" >> ARGV[1] }"#;

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packages(names) => {
                write!(f, "install the packages {}", names.join(", "))?;
                if names.contains(&"openssh-server") {
                    f.write_str(
                        " (openssh-server: for the suite deploy; Debian starts it as a service too)",
                    )?;
                }
                Ok(())
            }
            Self::MountBinfmt => write!(f, "mount binfmt_misc at {BINFMT}"),
            Self::RegisterQemu => write!(f, "register qemu for programs of aarch64-linux"),
            Self::AddExtraPlatform { .. } => {
                write!(f, "add aarch64-linux to extra-platforms in {NIX_CONF}")
            }
            Self::CreateStore { user } => write!(f, "create the folder /nix for {user}"),
            Self::InstallNix { .. } => write!(f, "install a recent Nix for this project only"),
            Self::ConfigureNix => write!(f, "configure the project's Nix"),
            Self::InstallDeployRs => {
                write!(f, "compile deploy-rs for this project only (takes some minutes)")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Purpose;
    use super::super::distribution::Distribution;
    use super::super::tools::required_tools;
    use super::*;
    use crate::base::process::Launcher;

    /// The facts about a machine that lacks nothing.
    fn complete_machine() -> Facts {
        Facts {
            distribution: Distribution::Debian,
            user: "pi".into(),
            has_nix: true,
            has_outdated_settings: false,
            store: Store::Writable,
            runs_aarch64: true,
            lacks_extra_platform: false,
            has_systemd: true,
            has_certificates: true,
            is_binfmt_mounted: true,
            has_qemu_entry: true,
            has_patchelf: true,
            lacks_deploy_rs: false,
            missing_tools: Vec::new(),
        }
    }

    fn steps(facts: &Facts) -> Vec<String> {
        plan_steps(facts).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_missing_parts_are_planned() {
        let none: [&str; 0] = [];
        assert_eq!(steps(&complete_machine()), none);
        let nix = "install a recent Nix for this project only";
        assert_eq!(steps(&Facts { has_nix: false, ..complete_machine() }), [nix]);
        assert_eq!(
            steps(&Facts { has_nix: false, has_outdated_settings: true, ..complete_machine() }),
            [nix]
        );
        let settings = "configure the project's Nix";
        assert_eq!(steps(&Facts { has_outdated_settings: true, ..complete_machine() }), [settings]);
        assert_eq!(
            steps(&Facts { has_nix: false, store: Store::Absent, has_patchelf: false, ..complete_machine() }),
            ["install the packages patchelf", "create the folder /nix for pi", nix]
        );
        let qemu = "register qemu for programs of aarch64-linux";
        assert_eq!(steps(&Facts { runs_aarch64: false, ..complete_machine() }), [qemu]);
        assert_eq!(
            steps(&Facts {
                runs_aarch64: false,
                has_qemu_entry: false,
                is_binfmt_mounted: false,
                ..complete_machine()
            }),
            ["install the packages qemu-user-static", "mount binfmt_misc at /proc/sys/fs/binfmt_misc", qemu]
        );
        assert_eq!(
            steps(&Facts { lacks_extra_platform: true, has_certificates: false, ..complete_machine() }),
            [
                "install the packages ca-certificates",
                "add aarch64-linux to extra-platforms in /etc/nix/nix.conf"
            ]
        );
        let missing_tools = required_tools(&[Purpose::Deploy]).collect();
        assert_eq!(
            steps(&Facts { missing_tools, lacks_deploy_rs: true, ..complete_machine() }),
            [
                "install the packages openssh-client",
                "compile deploy-rs for this project only (takes some minutes)"
            ]
        );
    }

    #[test]
    fn the_packages_of_a_boot_at_the_desk_are_planned() {
        let missing_tools = required_tools(&[Purpose::Boot, Purpose::Snapshot]).collect();
        let expected = "install the packages qemu-system-arm, qemu-utils, u-boot-qemu";
        assert_eq!(steps(&Facts { missing_tools, ..complete_machine() }), [expected]);
    }

    #[test]
    fn only_requirements_of_the_purposes_are_met() {
        let purposes = [Purpose::Build, Purpose::Deploy];
        let tools = ["git", "debugfs", "e2fsck", "e2image", "ssh-keygen", "ssh"];
        let all = [&["nix", "aarch64-linux", "deploy-rs"], &tools[..]].concat();
        assert_eq!(complete_machine().met_requirements(&purposes), all);
        assert_eq!(complete_machine().met_requirements(&purposes[..1]), [&all[..2], &tools[..5]].concat());
        let bare = Facts { has_nix: false, runs_aarch64: false, lacks_deploy_rs: true, ..complete_machine() };
        assert_eq!(bare.met_requirements(&purposes), tools);
        let missing_tools = required_tools(&purposes[1..]).collect();
        let lacking = Facts { lacks_extra_platform: true, missing_tools, ..bare };
        assert_eq!(lacking.met_requirements(&purposes), tools[..5]);
    }

    #[test]
    fn each_step_has_its_commands_for_root() {
        let steps = [
            Step::Packages(vec!["git"]),
            Step::RegisterQemu,
            Step::AddExtraPlatform { systemd: true },
            Step::AddExtraPlatform { systemd: false },
            Step::CreateStore { user: "pi".into() },
        ];
        let append =
            r#"awk 'BEGIN { print "\nextra-extra-platforms = aarch64-linux" >> ARGV[1] }' /etc/nix/nix.conf"#;
        let commands = steps.iter().flat_map(Step::root_commands).map(|command| command.to_string());
        let apt = "env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=400";
        assert_eq!(
            commands.collect::<Vec<_>>(),
            [
                format!("{apt} update"),
                format!("{apt} install --yes --no-install-recommends --no-remove git"),
                "cp /usr/lib/binfmt.d/qemu-aarch64.conf /proc/sys/fs/binfmt_misc/register".into(),
                append.into(),
                "systemctl try-restart nix-daemon.service".into(),
                append.into(),
                "install -d -m 0755 -o pi /nix".into(),
            ]
        );
    }

    #[test]
    fn the_extra_platform_is_a_line_of_its_own_whatever_nix_conf_contains() {
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("nix.conf").display().to_string();
        let commands = Step::AddExtraPlatform { systemd: false }.root_commands();
        let words = commands[0].0.iter().map(|word| word.replace(NIX_CONF, &conf)).collect::<Vec<_>>();
        for before in ["", "sandbox = true\n", "sandbox = true"] {
            std::fs::write(&conf, before).unwrap();
            let output = Launcher::new("/").capture(&words[0], &words[1..]).unwrap();
            assert!(output.success(), "{output:?}");
            let after = std::fs::read_to_string(&conf).unwrap();
            let lines = after.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>();
            let added = "extra-extra-platforms = aarch64-linux";
            assert_eq!(lines, before.lines().chain([added]).collect::<Vec<_>>(), "{before:?}");
        }
    }
}
