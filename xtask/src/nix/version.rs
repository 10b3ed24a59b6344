//! Which Nix this is, and whether it is recent enough.

use std::fmt;

use anyhow::Result;

use crate::base::failure::ExitKind;
use crate::base::process::Launcher;

/// The oldest Nix that the tool and deploy-rs 1.0 work with.
pub const MINIMUM: Version = Version { major: 2, minor: 18 };

/// A version of Nix. Lix counts in the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

impl Version {
    /// Reads the line of `nix --version`: `nix (Nix) 2.26.3`, `nix (Lix, like Nix) 2.93.0`,
    /// `nix (Determinate Nix 3.17.0) 2.33.3`. The version of Nix is the last word.
    pub fn parse(line: &str) -> Option<Self> {
        let mut numbers = line.split_whitespace().last()?.split(['.', '-', 'p']);
        Some(Self { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
    }

    pub fn will_do(self) -> bool {
        self >= MINIMUM
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The version of the `nix` on the launcher's `PATH`.
pub fn current(launcher: &Launcher) -> Result<Version> {
    if launcher.which("nix").is_none() {
        return Err(ExitKind::Other.error("there is no nix on PATH: run `cargo xtask setup`"));
    }
    let line = launcher.read("nix", &["--version"])?;
    let unreadable = || ExitKind::Other.error(format!("`nix --version` prints no version: {}", line.trim()));
    Version::parse(line.trim()).ok_or_else(unreadable)
}

/// The version of `nix`, refused with the remedy where it is older than [`MINIMUM`].
pub fn require(launcher: &Launcher) -> Result<Version> {
    let found = current(launcher)?;
    if found.will_do() {
        return Ok(found);
    }
    let message = format!("nix {found} is too old: {MINIMUM} or newer is needed; run `cargo xtask setup`");
    Err(ExitKind::Other.error(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_lines() {
        for (line, expected) in [
            ("nix (Nix) 2.26.3", Some((2, 26))),
            ("nix (Nix) 2.8.0", Some((2, 8))),
            ("nix (Lix, like Nix) 2.93.0", Some((2, 93))),
            ("nix (Determinate Nix 3.17.0) 2.33.3", Some((2, 33))),
            ("nix (Nix) 2.35.0pre20260101_abcdef", Some((2, 35))),
            ("nix", None),
            ("", None),
        ] {
            assert_eq!(Version::parse(line).map(|v| (v.major, v.minor)), expected, "{line}");
        }
        assert!(!Version { major: 2, minor: 8 }.will_do());
        assert!(Version { major: 2, minor: 18 }.will_do());
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&["nix (Nix) 2.26.3", "nix (Determinate Nix 3.17.0) 2.33.3"], |text| {
            Version::parse(text).is_some_and(Version::will_do)
        });
    }
}
