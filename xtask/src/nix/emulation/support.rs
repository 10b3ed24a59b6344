//! The verdicts worth telling apart, each with its remedy.

use super::fault::{Fault, is_own, on_debian};
use crate::nix::Config;

/// Whether and how this machine builds for a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Native,
    Emulated,
    /// Nix was told, and the kernel runs it without an emulator that we know of, as one for `x86_64` runs
    /// programs of i686.
    Runs,
    Remote,
    /// Nix was told, and nobody knows whether the kernel can run it.
    Untested,
    /// The kernel can run it, but Nix was not told.
    NotPromised,
    /// Nix was told, and the kernel can run it, but not in the sandbox in which Nix builds: there this
    /// interpreter is not to be found.
    NotInSandbox(String),
    /// Nix was told, but the kernel cannot run it.
    NoEmulator(Fault),
    /// Neither.
    Impossible(Fault),
    /// Nix was not told, and nobody knows whether the kernel can run it.
    Unheard,
}

/// What the kernel does with a program of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// It runs, and no entry of the table of emulators is for it.
    Runs,
    Emulates,
    /// As [`Self::Emulates`], but only where this interpreter can be found by its path.
    EmulatesWith(String),
    Cannot(Fault),
    /// There is no program of that system to try.
    Unknown,
}

impl Verdict {
    pub fn can_build(&self) -> bool {
        matches!(self, Self::Native | Self::Emulated | Self::Runs | Self::Remote | Self::Untested)
    }
}

/// `remote`: a builder for `system` is configured.
pub fn verdict(system: &str, config: &Config, kernel: Kernel, remote: bool) -> Verdict {
    match (config.system == system, config.accepts(system), kernel) {
        (true, ..) => Verdict::Native,
        (_, false, _) if remote => Verdict::Remote,
        (_, false, Kernel::Cannot(fault)) => Verdict::Impossible(fault),
        (_, true, Kernel::Cannot(fault)) => Verdict::NoEmulator(fault),
        (_, false, Kernel::Unknown) => Verdict::Unheard,
        (_, true, Kernel::Unknown) => Verdict::Untested,
        (_, false, _) => Verdict::NotPromised,
        (_, true, Kernel::EmulatesWith(path)) if config.hides(&path) => Verdict::NotInSandbox(path),
        (_, true, Kernel::Runs) => Verdict::Runs,
        (_, true, _) => Verdict::Emulated,
    }
}

impl Verdict {
    /// The verdict about `system` in words, with the remedy where it is a bad one.
    pub fn explain(&self, system: &str) -> String {
        match self {
            Self::Native => "native".into(),
            Self::Emulated => "emulated by binfmt_misc".into(),
            Self::Runs => "the kernel runs its programs".into(),
            Self::Remote => "by a remote builder".into(),
            Self::Untested => {
                "nix.conf promises it in extra-platforms; whether the kernel runs its programs is not known"
                    .into()
            }
            Self::NotPromised => format!(
                "the kernel runs its programs, but nix was not told; \
                 NixOS: `{} = [ \"{system}\" ];`, elsewhere: \
                 add `extra-platforms = {system}` to nix.conf (and restart nix-daemon)",
                if is_own(system) { "nix.settings.extra-platforms" } else { "boot.binfmt.emulatedSystems" }
            ),
            Self::NotInSandbox(path) => format!(
                "the kernel runs its programs, but not in the sandbox of nix, which lacks {path} (its \
                 binfmt_misc entry is without the flag F); \
                 NixOS: `boot.binfmt.preferStaticEmulators = true;`, \
                 Debian or Ubuntu: remove that entry, and then `{}`",
                on_debian(system)
            ),
            Self::NoEmulator(fault) => format!(
                "nix.conf promises it in extra-platforms, but the kernel cannot run its programs: {}",
                fault.explain(system)
            ),
            Self::Impossible(fault) => format!(
                "there is no emulation and no remote builder: {}; \
                 and nix.conf needs `extra-platforms = {system}`",
                fault.explain(system)
            ),
            Self::Unheard => format!(
                "nix.conf neither promises it in extra-platforms nor names a remote builder; \
                 add a machine that builds for {system} to /etc/nix/machines"
            ),
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
            ..Config::default()
        }
    }

    #[test]
    fn every_verdict() {
        let (told, untold) = (config(&["aarch64-linux"]), config(&[]));
        let no_sandbox = Config { sandbox: false, ..told.clone() };
        let cannot = || Kernel::Cannot(Fault::NoEntry);
        let with = |path: &str| Kernel::EmulatesWith(path.into());
        for (config, kernel, remote, expected) in [
            (&told, Kernel::Emulates, false, Verdict::Emulated),
            (&told, Kernel::Runs, false, Verdict::Runs),
            (&told, with("/run/binfmt/aarch64-linux"), false, Verdict::Emulated),
            (&told, with("/run/binfmts"), false, Verdict::NotInSandbox("/run/binfmts".into())),
            (&no_sandbox, with("/run/binfmts"), false, Verdict::Emulated),
            (&told, cannot(), false, Verdict::NoEmulator(Fault::NoEntry)),
            (&told, cannot(), true, Verdict::NoEmulator(Fault::NoEntry)), // Nix would build it here, and fail
            (&untold, Kernel::Runs, false, Verdict::NotPromised),
            (&untold, with("/usr/bin/qemu"), false, Verdict::NotPromised),
            (&untold, Kernel::Runs, true, Verdict::Remote),
            (&untold, cannot(), true, Verdict::Remote),
            (&untold, cannot(), false, Verdict::Impossible(Fault::NoEntry)),
            (&told, Kernel::Unknown, false, Verdict::Untested),
            (&told, Kernel::Unknown, true, Verdict::Untested), // Nix would build it here
            (&untold, Kernel::Unknown, true, Verdict::Remote),
            (&untold, Kernel::Unknown, false, Verdict::Unheard),
        ] {
            let found = verdict("aarch64-linux", config, kernel.clone(), remote);
            assert_eq!(found, expected, "{config:?} {kernel:?} {remote}");
        }
        assert_eq!(verdict("x86_64-linux", &untold, cannot(), false), Verdict::Native);
    }

    #[test]
    fn every_remedy_is_for_the_system_that_was_asked_for() {
        for (verdict, expected) in [
            (Verdict::NotPromised, "add `extra-platforms = riscv64-linux` to nix.conf"),
            (Verdict::NotPromised, "NixOS: `boot.binfmt.emulatedSystems = [ \"riscv64-linux\" ];`"),
            (
                Verdict::NotInSandbox("/q".into()),
                "remove that entry, and then `apt install qemu-user-static`",
            ),
            (Verdict::NoEmulator(Fault::NoEntry), "Debian or Ubuntu: `apt install qemu-user-static`"),
            (Verdict::Impossible(Fault::NoEntry), "and nix.conf needs `extra-platforms = riscv64-linux`"),
            (Verdict::Unheard, "add a machine that builds for riscv64-linux to /etc/nix/machines"),
        ] {
            let said = verdict.explain("riscv64-linux");
            assert!(said.contains(expected) && !said.contains("aarch64"), "{said}");
            assert!(!verdict.can_build());
        }
        let said = Verdict::NotInSandbox("/q".into()).explain("aarch64-linux");
        assert!(said.ends_with("remove that entry, and then `cargo xtask setup`"), "{said}");
        if cfg!(target_arch = "x86_64") {
            let said = Verdict::NotPromised.explain("i686-linux");
            assert!(said.contains("NixOS: `nix.settings.extra-platforms = [ \"i686-linux\" ];`"), "{said}");
        }
        assert!(Verdict::Untested.can_build() && Verdict::Runs.can_build());
    }
}
