//! Whether this machine builds for a system, with the remedy where it does not.

use std::path::Path;

use super::fault::{BinfmtFault, debian_command, is_native_to_cpu, write_command};
use super::kernel_support::{HiddenEmulator, KernelSupport};
use crate::nix::Config;

/// Whether and how this machine builds for a system. Nix "is configured" for a system that `extra-platforms` lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildSupport {
    /// The system is that of this machine.
    Native,
    /// Nix is configured, and an entry of `binfmt_misc` runs the programs.
    Emulated,
    /// Nix is configured, and an entry of `binfmt_misc` runs the programs. Whether also in the sandbox of Nix could not
    /// be tested, for this reason.
    EmulatedOutside(String),
    /// Nix is configured, and the kernel runs the programs without an entry of `binfmt_misc`: a kernel for `x86_64`,
    /// for example, also runs programs of i686.
    RunByKernel,
    /// A remote builder builds.
    Remote,
    /// Nix is configured; there is no probe for the kernel.
    Untested,
    /// The kernel runs the programs, but Nix is not configured.
    NotConfigured,
    /// The kernel runs the programs, but only this user's own settings list the system, which the daemon ignores.
    IgnoredByDaemon,
    /// Nix is configured and the kernel runs the programs, but not in the sandbox of Nix.
    NotInSandbox(HiddenEmulator),
    /// Nix is configured, but the kernel does not run the programs.
    NoEmulator(BinfmtFault),
    /// Nix is not configured, and the kernel does not run the programs.
    Impossible(BinfmtFault),
    /// Nix is not configured; there is no probe for the kernel.
    Unknown,
    /// Nix is configured to build nothing on this machine (`max-jobs = 0`), and no remote builder builds for the
    /// system.
    NoJobs,
}

impl BuildSupport {
    /// Combines the configuration of Nix, the support of the `kernel`, and whether the configuration
    /// `has_remote_builder` for `system`. Nix asks remote builders first, also where it is configured for `system`
    /// (measured with Nix 2.26); this machine builds what no builder takes.
    pub fn new(system: &str, config: &Config, kernel: KernelSupport, has_remote_builder: bool) -> Self {
        if config.max_jobs == 0 {
            return if has_remote_builder { Self::Remote } else { Self::NoJobs };
        }
        if config.system == system {
            return Self::Native;
        }
        if config.accepts(system) {
            let here = Self::of_configured(kernel);
            return if has_remote_builder && !here.can_build() { Self::Remote } else { here };
        }
        match kernel {
            _ if has_remote_builder => Self::Remote,
            KernelSupport::Fails(fault) => Self::Impossible(fault),
            KernelSupport::Unknown => Self::Unknown,
            _ if config.ignored_platforms.iter().any(|ignored| ignored == system) => Self::IgnoredByDaemon,
            _ => Self::NotConfigured,
        }
    }

    /// The support for another system for which Nix is configured.
    fn of_configured(kernel: KernelSupport) -> Self {
        match kernel {
            KernelSupport::Runs => Self::RunByKernel,
            KernelSupport::Emulates => Self::Emulated,
            KernelSupport::EmulatesOutside(why) => Self::EmulatedOutside(why),
            KernelSupport::Hidden(emulator) => Self::NotInSandbox(emulator),
            KernelSupport::Fails(fault) => Self::NoEmulator(fault),
            KernelSupport::Unknown => Self::Untested,
        }
    }

    /// Whether a build for the system may begin.
    pub fn can_build(&self) -> bool {
        matches!(
            self,
            Self::Native
                | Self::Emulated
                | Self::EmulatedOutside(_)
                | Self::RunByKernel
                | Self::Remote
                | Self::Untested
        )
    }

    /// How this machine builds for the system, or why it does not, for a message that has named the system.
    pub fn explain(&self) -> String {
        match self {
            Self::Native => "native".into(),
            Self::Emulated => "emulated by binfmt_misc".into(),
            Self::EmulatedOutside(why) => {
                format!("emulated by binfmt_misc; untested in the sandbox of nix: {why}")
            }
            Self::RunByKernel => "the kernel runs its programs".into(),
            Self::Remote => "by a remote builder".into(),
            Self::Untested => {
                "nix.conf lists it in extra-platforms; whether the kernel runs its programs is unknown".into()
            }
            Self::NotConfigured => {
                "the kernel runs its programs, but nix.conf does not list it in extra-platforms".into()
            }
            Self::IgnoredByDaemon => {
                "only your own settings list it in extra-platforms, and nix-daemon ignores those of users that it does \
                 not trust"
                    .into()
            }
            Self::NotInSandbox(emulator) => emulator.explain(),
            Self::NoEmulator(fault) => format!(
                "nix.conf lists it in extra-platforms, but the kernel does not run its programs: {}",
                fault.explain()
            ),
            Self::Impossible(fault) => {
                format!("there is no emulation and no remote builder: {}", fault.explain())
            }
            Self::Unknown => {
                "nix.conf neither lists it in extra-platforms nor names a remote builder for it".into()
            }
            Self::NoJobs => {
                "nix builds nothing here (`max-jobs = 0`), and no remote builder builds for it".into()
            }
        }
    }

    /// The hint how to make this machine build for `system`, where Nix reads the file of settings `conf`; `None` where
    /// [`Self::can_build`].
    pub fn hint(&self, system: &str, conf: &Path) -> Option<String> {
        let conf = conf.display();
        match self {
            Self::NotConfigured | Self::IgnoredByDaemon => {
                let setting = if is_native_to_cpu(system) {
                    "nix.settings.extra-platforms"
                } else {
                    "boot.binfmt.emulatedSystems"
                };
                Some(format!(
                    "NixOS: set `{setting} = [ \"{system}\" ];`; elsewhere: \
                     add `extra-platforms = {system}` to {conf}, and restart nix-daemon if it runs"
                ))
            }
            Self::NotInSandbox(HiddenEmulator { entry, .. }) => Some(format!(
                "NixOS: set `boot.binfmt.preferStaticEmulators = true;`; \
                 Debian or Ubuntu: remove the binfmt_misc entry with {}, then run `{}`",
                write_command("-1", entry),
                debian_command(system)
            )),
            Self::NoEmulator(fault) => Some(fault.hint(system)),
            Self::Impossible(fault) => {
                Some(format!("{}; then add `extra-platforms = {system}` to {conf}", fault.hint(system)))
            }
            Self::Unknown => Some(format!("add a machine that builds for {system} to /etc/nix/machines")),
            Self::NoJobs => Some(format!(
                "set `max-jobs = auto` in {conf}, or add a machine that builds for {system} to /etc/nix/machines"
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONF: &str = "/c/nix.conf";

    fn emulator(fixed: bool) -> HiddenEmulator {
        HiddenEmulator { entry: "q".into(), path: "/q".into(), fixed }
    }

    fn config(extra: &[&str]) -> Config {
        Config {
            system: "x86_64-linux".into(),
            extra_platforms: extra.iter().map(ToString::to_string).collect(),
            sandbox: true,
            max_jobs: 1,
            ..Config::default()
        }
    }

    #[test]
    fn the_support_follows_from_the_settings_and_the_kernel() {
        let configured = config(&["aarch64-linux"]);
        let bare = config(&[]);
        let ignored = Config { ignored_platforms: vec!["aarch64-linux".into()], ..config(&[]) };
        let fails = || KernelSupport::Fails(BinfmtFault::NoEntry);
        let hidden = || KernelSupport::Hidden(emulator(true));
        let outside = || KernelSupport::EmulatesOutside("why".into());
        for (config, kernel, has_remote_builder, expected) in [
            (&configured, KernelSupport::Emulates, false, BuildSupport::Emulated),
            (&configured, KernelSupport::Runs, false, BuildSupport::RunByKernel),
            (&configured, hidden(), false, BuildSupport::NotInSandbox(emulator(true))),
            (&configured, hidden(), true, BuildSupport::Remote),
            (&configured, outside(), false, BuildSupport::EmulatedOutside("why".into())),
            (&configured, fails(), false, BuildSupport::NoEmulator(BinfmtFault::NoEntry)),
            (&configured, fails(), true, BuildSupport::Remote),
            (&bare, KernelSupport::Runs, false, BuildSupport::NotConfigured),
            (&bare, KernelSupport::Emulates, false, BuildSupport::NotConfigured),
            (&ignored, KernelSupport::Emulates, false, BuildSupport::IgnoredByDaemon),
            (&ignored, KernelSupport::Emulates, true, BuildSupport::Remote),
            (&ignored, fails(), false, BuildSupport::Impossible(BinfmtFault::NoEntry)),
            (&bare, KernelSupport::Runs, true, BuildSupport::Remote),
            (&bare, fails(), true, BuildSupport::Remote),
            (&bare, fails(), false, BuildSupport::Impossible(BinfmtFault::NoEntry)),
            (&configured, KernelSupport::Unknown, false, BuildSupport::Untested),
            (&configured, KernelSupport::Unknown, true, BuildSupport::Untested),
            (&bare, KernelSupport::Unknown, true, BuildSupport::Remote),
            (&bare, KernelSupport::Unknown, false, BuildSupport::Unknown),
        ] {
            let found = BuildSupport::new("aarch64-linux", config, kernel.clone(), has_remote_builder);
            assert_eq!(found, expected, "{config:?} {kernel:?} {has_remote_builder}");
        }
        let has_remote_builder = false;
        let native = BuildSupport::new("x86_64-linux", &bare, fails(), has_remote_builder);
        assert_eq!(native, BuildSupport::Native);
    }

    #[test]
    fn without_jobs_only_remote_builders_build() {
        for (extra, kernel) in
            [(&["aarch64-linux"][..], KernelSupport::Emulates), (&[], KernelSupport::Unknown)]
        {
            let config = Config { max_jobs: 0, ..config(extra) };
            for system in ["aarch64-linux", "x86_64-linux"] {
                let support = |has_remote_builder| {
                    BuildSupport::new(system, &config, kernel.clone(), has_remote_builder)
                };
                assert_eq!([support(false), support(true)], [BuildSupport::NoJobs, BuildSupport::Remote]);
            }
        }
    }

    #[test]
    fn without_jobs_and_remote_builders_the_hint_is_to_allow_jobs() {
        let hint = BuildSupport::NoJobs.hint("aarch64-linux", CONF.as_ref()).unwrap();
        assert!(
            hint.starts_with("set `max-jobs = auto` in /c/nix.conf") && !BuildSupport::NoJobs.can_build()
        );
    }

    #[test]
    fn every_hint_is_for_the_given_system() {
        for (support, expected) in [
            (BuildSupport::NotConfigured, "add `extra-platforms = riscv64-linux` to /c/nix.conf"),
            (
                BuildSupport::NotConfigured,
                "NixOS: set `boot.binfmt.emulatedSystems = [ \"riscv64-linux\" ];`",
            ),
            (
                BuildSupport::NotInSandbox(emulator(false)),
                "with `echo -1 | sudo tee /proc/sys/fs/binfmt_misc/q`, then run `apt install qemu-user-static`",
            ),
            (
                BuildSupport::NoEmulator(BinfmtFault::NoEntry),
                "Debian or Ubuntu: run `apt install qemu-user-static`",
            ),
            (
                BuildSupport::Impossible(BinfmtFault::NoEntry),
                "then add `extra-platforms = riscv64-linux` to /c/nix.conf",
            ),
            (BuildSupport::IgnoredByDaemon, "add `extra-platforms = riscv64-linux` to /c/nix.conf"),
            (BuildSupport::Unknown, "add a machine that builds for riscv64-linux to /etc/nix/machines"),
        ] {
            let hint = support.hint("riscv64-linux", CONF.as_ref()).unwrap();
            assert!(hint.contains(expected) && !hint.contains("aarch64"), "{hint}");
            assert!(!support.can_build() && !support.explain().contains("aarch64"));
        }
        let hint = BuildSupport::NotInSandbox(emulator(false)).hint("aarch64-linux", CONF.as_ref()).unwrap();
        assert!(hint.ends_with("/binfmt_misc/q`, then run `cargo xtask setup`"), "{hint}");
        if cfg!(target_arch = "x86_64") {
            let hint = BuildSupport::NotConfigured.hint("i686-linux", CONF.as_ref()).unwrap();
            assert!(
                hint.contains("NixOS: set `nix.settings.extra-platforms = [ \"i686-linux\" ];`"),
                "{hint}"
            );
        }
    }

    #[test]
    fn support_that_can_build_has_no_hint() {
        for support in
            [BuildSupport::Untested, BuildSupport::RunByKernel, BuildSupport::EmulatedOutside("why".into())]
        {
            assert!(support.can_build() && support.hint("riscv64-linux", CONF.as_ref()).is_none());
        }
    }
}
