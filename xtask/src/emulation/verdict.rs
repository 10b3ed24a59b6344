//! The verdicts worth telling apart, each with its remedy.

use std::fmt;

use crate::nix::Config;

/// Whether and how this machine builds for a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Native,
    Emulated,
    Remote,
    /// The kernel can run it, but Nix was not told.
    NotPromised,
    /// Nix was told, but the kernel cannot run it; `binfmt_misc` is mounted.
    NoEmulator,
    /// Neither, or `binfmt_misc` is not even mounted.
    Impossible,
}

impl Verdict {
    pub fn can_build(self) -> bool {
        matches!(self, Self::Native | Self::Emulated | Self::Remote)
    }
}

/// `runs`: a program of `system` ran on this kernel. `remote`: a builder for it is configured.
/// `mounted`: `binfmt_misc` is mounted.
pub fn verdict(system: &str, config: &Config, runs: bool, remote: bool, mounted: bool) -> Verdict {
    match (config.system == system, config.promises(system), runs) {
        (true, ..) => Verdict::Native,
        (_, true, true) => Verdict::Emulated,
        (_, false, _) if remote => Verdict::Remote,
        (_, false, true) => Verdict::NotPromised,
        (_, true, false) if mounted => Verdict::NoEmulator,
        _ => Verdict::Impossible,
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Emulated => "emulated by binfmt_misc",
            Self::Remote => "by a remote builder",
            Self::NotPromised => {
                "the kernel runs its programs, but nix was not told; \
                 add `extra-platforms = aarch64-linux` to nix.conf (and restart nix-daemon)"
            }
            Self::NoEmulator => {
                "nix.conf promises it in extra-platforms, but the kernel cannot run its programs; \
                 NixOS: `boot.binfmt.emulatedSystems = [ \"aarch64-linux\" ];`, \
                 Debian or Ubuntu: install qemu-user-static and register its binfmt entry"
            }
            Self::Impossible => {
                "there is no emulation and no remote builder; \
                 NixOS: `boot.binfmt.emulatedSystems = [ \"aarch64-linux\" ];`, \
                 Debian or Ubuntu: install qemu-user-static, mount binfmt_misc, register its entry, \
                 and add `extra-platforms = aarch64-linux` to nix.conf"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict() {
        let config = |extra: &[&str]| Config {
            system: "x86_64-linux".into(),
            extra_platforms: extra.iter().map(ToString::to_string).collect(),
            ..Config::default()
        };
        let (told, untold) = (config(&["aarch64-linux"]), config(&[]));
        for (config, runs, remote, mounted, expected) in [
            (&told, true, false, true, Verdict::Emulated),
            (&told, false, false, true, Verdict::NoEmulator),
            (&told, false, true, true, Verdict::NoEmulator), // Nix would build it here, and fail
            (&untold, true, false, true, Verdict::NotPromised),
            (&untold, true, true, true, Verdict::Remote),
            (&untold, false, true, false, Verdict::Remote),
            (&untold, false, false, false, Verdict::Impossible),
        ] {
            let found = verdict("aarch64-linux", config, runs, remote, mounted);
            assert_eq!(found, expected, "{config:?} {runs} {remote} {mounted}");
        }
        assert_eq!(verdict("x86_64-linux", &untold, false, false, false), Verdict::Native);
    }
}
