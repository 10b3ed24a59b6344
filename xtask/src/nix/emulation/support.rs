//! Whether this machine builds for a system, with the remedy where it does not.

use super::fault::{BinfmtFault, debian_command, is_native_to_cpu};
use crate::nix::Config;

/// Whether and how this machine builds for a system. Nix "is configured" for a system that `extra-platforms` lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildSupport {
    /// The system is that of this machine.
    Native,
    /// Nix is configured, and an entry of `binfmt_misc` runs the programs.
    Emulated,
    /// Nix is configured, and the kernel runs the programs without an entry of `binfmt_misc`: a kernel for `x86_64`,
    /// for example, also runs programs of i686.
    RunByKernel,
    /// A remote builder builds.
    Remote,
    /// Nix is configured; there is no probe for the kernel.
    Untested,
    /// The kernel runs the programs, but Nix is not configured.
    NotConfigured,
    /// Nix is configured and the kernel runs the programs, but not in the sandbox of Nix, which lacks this interpreter.
    NotInSandbox(String),
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

/// What the kernel does with a program of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelSupport {
    /// The kernel runs the program without an entry of `binfmt_misc`.
    Runs,
    /// An entry of `binfmt_misc` runs the program everywhere, also in a sandbox.
    Emulates,
    /// An entry of `binfmt_misc` runs the program where this interpreter exists at its path.
    EmulatesWith(String),
    /// The kernel does not run the program.
    Fails(BinfmtFault),
    /// There is no probe for the system.
    Unknown,
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
            let here = Self::of_configured(config, kernel);
            return if has_remote_builder && !here.can_build() { Self::Remote } else { here };
        }
        match kernel {
            _ if has_remote_builder => Self::Remote,
            KernelSupport::Runs | KernelSupport::Emulates | KernelSupport::EmulatesWith(_) => {
                Self::NotConfigured
            }
            KernelSupport::Fails(fault) => Self::Impossible(fault),
            KernelSupport::Unknown => Self::Unknown,
        }
    }

    /// The support for another system for which Nix is configured.
    fn of_configured(config: &Config, kernel: KernelSupport) -> Self {
        match kernel {
            KernelSupport::Runs => Self::RunByKernel,
            KernelSupport::EmulatesWith(path) if config.hides(&path) => Self::NotInSandbox(path),
            KernelSupport::Emulates | KernelSupport::EmulatesWith(_) => Self::Emulated,
            KernelSupport::Fails(fault) => Self::NoEmulator(fault),
            KernelSupport::Unknown => Self::Untested,
        }
    }

    /// Whether a build for the system may begin.
    pub fn can_build(&self) -> bool {
        matches!(self, Self::Native | Self::Emulated | Self::RunByKernel | Self::Remote | Self::Untested)
    }

    /// How this machine builds for the system, or why it does not, for a message that has named the system.
    pub fn explain(&self) -> String {
        match self {
            Self::Native => "native".into(),
            Self::Emulated => "emulated by binfmt_misc".into(),
            Self::RunByKernel => "the kernel runs its programs".into(),
            Self::Remote => "by a remote builder".into(),
            Self::Untested => {
                "nix.conf lists it in extra-platforms; whether the kernel runs its programs is unknown".into()
            }
            Self::NotConfigured => {
                "the kernel runs its programs, but nix.conf does not list it in extra-platforms".into()
            }
            Self::NotInSandbox(path) => format!(
                "the kernel runs its programs, but not in the sandbox of nix, which lacks the emulator {path} (the \
                 binfmt_misc entry of this emulator lacks the flag F)"
            ),
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

    /// The hint how to make this machine build for `system`; `None` where [`Self::can_build`].
    pub fn hint(&self, system: &str) -> Option<String> {
        match self {
            Self::Native | Self::Emulated | Self::RunByKernel | Self::Remote | Self::Untested => None,
            Self::NotConfigured => {
                let setting = if is_native_to_cpu(system) {
                    "nix.settings.extra-platforms"
                } else {
                    "boot.binfmt.emulatedSystems"
                };
                Some(format!(
                    "NixOS: set `{setting} = [ \"{system}\" ];`; elsewhere: \
                     add `extra-platforms = {system}` to nix.conf, and restart nix-daemon if it runs"
                ))
            }
            Self::NotInSandbox(path) => Some(format!(
                "NixOS: set `boot.binfmt.preferStaticEmulators = true;`; \
                 Debian or Ubuntu: remove the binfmt_misc entry of {path}, then run `{}`",
                debian_command(system)
            )),
            Self::NoEmulator(fault) => Some(fault.hint(system)),
            Self::Impossible(fault) => {
                Some(format!("{}; then add `extra-platforms = {system}` to nix.conf", fault.hint(system)))
            }
            Self::Unknown => Some(format!("add a machine that builds for {system} to /etc/nix/machines")),
            Self::NoJobs => Some(format!(
                "set `max-jobs = auto` in nix.conf, or add a machine that builds for {system} to /etc/nix/machines"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(extra: &[&str]) -> Config {
        Config {
            system: "x86_64-linux".into(),
            extra_platforms: extra.iter().map(ToString::to_string).collect(),
            sandbox: true,
            sandbox_paths: vec!["/run/binfmt".into()],
            max_jobs: 1,
            ..Config::default()
        }
    }

    #[test]
    fn the_support_follows_from_the_settings_and_the_kernel() {
        let configured = config(&["aarch64-linux"]);
        let bare = config(&[]);
        let no_sandbox = Config { sandbox: false, ..configured.clone() };
        let fails = || KernelSupport::Fails(BinfmtFault::NoEntry);
        let with = |path: &str| KernelSupport::EmulatesWith(path.into());
        for (config, kernel, has_remote_builder, expected) in [
            (&configured, KernelSupport::Emulates, false, BuildSupport::Emulated),
            (&configured, KernelSupport::Runs, false, BuildSupport::RunByKernel),
            (&configured, with("/run/binfmt/aarch64-linux"), false, BuildSupport::Emulated),
            (&configured, with("/run/binfmts"), false, BuildSupport::NotInSandbox("/run/binfmts".into())),
            (&no_sandbox, with("/run/binfmts"), false, BuildSupport::Emulated),
            (&configured, fails(), false, BuildSupport::NoEmulator(BinfmtFault::NoEntry)),
            (&configured, fails(), true, BuildSupport::Remote),
            (&bare, KernelSupport::Runs, false, BuildSupport::NotConfigured),
            (&bare, with("/usr/bin/qemu"), false, BuildSupport::NotConfigured),
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
        let hint = BuildSupport::NoJobs.hint("aarch64-linux").unwrap();
        assert!(hint.starts_with("set `max-jobs = auto` in nix.conf") && !BuildSupport::NoJobs.can_build());
    }

    #[test]
    fn every_hint_is_for_the_given_system() {
        for (support, expected) in [
            (BuildSupport::NotConfigured, "add `extra-platforms = riscv64-linux` to nix.conf"),
            (
                BuildSupport::NotConfigured,
                "NixOS: set `boot.binfmt.emulatedSystems = [ \"riscv64-linux\" ];`",
            ),
            (
                BuildSupport::NotInSandbox("/q".into()),
                "remove the binfmt_misc entry of /q, then run `apt install qemu-user-static`",
            ),
            (
                BuildSupport::NoEmulator(BinfmtFault::NoEntry),
                "Debian or Ubuntu: run `apt install qemu-user-static`",
            ),
            (
                BuildSupport::Impossible(BinfmtFault::NoEntry),
                "then add `extra-platforms = riscv64-linux` to nix.conf",
            ),
            (BuildSupport::Unknown, "add a machine that builds for riscv64-linux to /etc/nix/machines"),
        ] {
            let hint = support.hint("riscv64-linux").unwrap();
            assert!(hint.contains(expected) && !hint.contains("aarch64"), "{hint}");
            assert!(!support.can_build() && !support.explain().contains("aarch64"));
        }
        let hint = BuildSupport::NotInSandbox("/q".into()).hint("aarch64-linux").unwrap();
        assert!(hint.ends_with("remove the binfmt_misc entry of /q, then run `cargo xtask setup`"), "{hint}");
        if cfg!(target_arch = "x86_64") {
            let hint = BuildSupport::NotConfigured.hint("i686-linux").unwrap();
            assert!(
                hint.contains("NixOS: set `nix.settings.extra-platforms = [ \"i686-linux\" ];`"),
                "{hint}"
            );
        }
    }

    #[test]
    fn support_that_can_build_has_no_hint() {
        for support in [BuildSupport::Untested, BuildSupport::RunByKernel] {
            assert!(support.can_build() && support.hint("riscv64-linux").is_none());
        }
    }
}
