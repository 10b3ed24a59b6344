//! The verdicts worth telling apart, each with its remedy.

use std::fmt;

use super::fault::Fault;
use crate::nix::Config;

/// Whether and how this machine builds for a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Native,
    Emulated,
    Remote,
    /// The kernel can run it, but Nix was not told.
    NotPromised,
    /// Nix was told, and the kernel can run it, but not in the sandbox in which Nix builds: there this
    /// interpreter is not to be found.
    NotInSandbox(String),
    /// Nix was told, but the kernel cannot run it.
    NoEmulator(Fault),
    /// Neither.
    Impossible(Fault),
}

/// What the kernel does with a program of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kernel {
    Runs,
    /// As [`Self::Runs`], but only where this interpreter can be found by its path.
    RunsWith(String),
    Cannot(Fault),
}

impl Verdict {
    pub fn can_build(&self) -> bool {
        matches!(self, Self::Native | Self::Emulated | Self::Remote)
    }
}

/// `remote`: a builder for `system` is configured.
pub fn verdict(system: &str, config: &Config, kernel: Kernel, remote: bool) -> Verdict {
    match (config.system == system, config.promises(system), kernel) {
        (true, ..) => Verdict::Native,
        (_, false, _) if remote => Verdict::Remote,
        (_, false, Kernel::Cannot(fault)) => Verdict::Impossible(fault),
        (_, true, Kernel::Cannot(fault)) => Verdict::NoEmulator(fault),
        (_, false, _) => Verdict::NotPromised,
        (_, true, Kernel::RunsWith(path)) if config.hides(&path) => Verdict::NotInSandbox(path),
        (_, true, _) => Verdict::Emulated,
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("native"),
            Self::Emulated => f.write_str("emulated by binfmt_misc"),
            Self::Remote => f.write_str("by a remote builder"),
            Self::NotPromised => f.write_str(
                "the kernel runs its programs, but nix was not told; \
                 NixOS: `boot.binfmt.emulatedSystems = [ \"aarch64-linux\" ];`, elsewhere: \
                 add `extra-platforms = aarch64-linux` to nix.conf (and restart nix-daemon)",
            ),
            Self::NotInSandbox(path) => write!(
                f,
                "the kernel runs its programs, but not in the sandbox of nix, which lacks {path} (its \
                 binfmt_misc entry is without the flag F); \
                 NixOS: `boot.binfmt.preferStaticEmulators = true;`, \
                 Debian or Ubuntu: remove that entry, and then `cargo xtask setup`"
            ),
            Self::NoEmulator(fault) => {
                write!(
                    f,
                    "nix.conf promises it in extra-platforms, but the kernel cannot run its programs: {fault}"
                )
            }
            Self::Impossible(fault) => {
                write!(f, "there is no emulation and no remote builder: {fault}; ")?;
                f.write_str("and nix.conf needs `extra-platforms = aarch64-linux`")
            }
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
        let with = |path: &str| Kernel::RunsWith(path.into());
        for (config, kernel, remote, expected) in [
            (&told, Kernel::Runs, false, Verdict::Emulated),
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
        ] {
            let found = verdict("aarch64-linux", config, kernel.clone(), remote);
            assert_eq!(found, expected, "{config:?} {kernel:?} {remote}");
        }
        assert_eq!(verdict("x86_64-linux", &untold, cannot(), false), Verdict::Native);
    }
}
