//! The version of Nix, and whether it is recent enough.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::settings_fault;
use crate::base::process::{Launcher, Output};
use crate::{bail, failure};

/// The oldest Nix that this tool and deploy-rs 1.0 work with.
pub const MINIMUM: Version = Version { major: 2, minor: 18 };

/// A version of Nix. Lix continues the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

impl Version {
    /// Parses the output of `nix --version`: `nix (Nix) 2.26.3`, `nix (Lix, like Nix) 2.93.0`,
    /// `nix (Determinate Nix 3.17.0) 2.33.3`. The version of Nix is the last word; `None` where this word is no
    /// version.
    pub fn parse(line: &str) -> Option<Self> {
        // A number may be followed by `-` or by `pre`.
        let mut numbers = line.split_whitespace().last()?.split(['.', '-', 'p']);
        Some(Self { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
    }

    /// Whether this version is [`MINIMUM`] or newer.
    pub fn is_supported(self) -> bool {
        self >= MINIMUM
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A program that calls itself `nix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Implementation {
    Nix,
    Lix,
    /// Determinate Nix.
    Determinate,
}

impl fmt::Display for Implementation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nix => "Nix",
            Self::Lix => "Lix",
            Self::Determinate => "Determinate Nix",
        })
    }
}

/// What a Nix says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub implementation: Implementation,
    /// The whole version, such as `2.26.3`.
    pub version: String,
}

impl Release {
    /// Parses the output of `nix --version` as [`Version::parse`] does.
    pub fn parse(line: &str) -> Option<Self> {
        Version::parse(line)?;
        let implementation = if line.contains("(Lix") {
            Implementation::Lix
        } else if line.contains("(Determinate") {
            Implementation::Determinate
        } else {
            Implementation::Nix
        };
        Some(Self { implementation, version: line.split_whitespace().last()?.to_owned() })
    }

    /// The release of the `nix` on the launcher's `PATH`; `None` where there is no Nix, or where it prints no version.
    pub fn of(launcher: &Launcher) -> Option<Self> {
        Self::parse(launcher.read("nix", &["--version"]).ok()?.trim())
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.implementation, self.version)
    }
}

/// The `nix` of any version on the launcher's `PATH`.
///
/// # Errors
/// `Refused` where there is none.
pub fn require_any(launcher: &Launcher) -> Result<PathBuf> {
    let missing_error = || failure!(Refused(MissingNix), "no nix on PATH"; hint: "run `cargo xtask setup`");
    launcher.which("nix").ok_or_else(missing_error)
}

/// The version of the `nix` on the launcher's `PATH`, even if that Nix is too old.
///
/// # Errors
/// `Refused` where there is no Nix, or where it prints no version or cannot read its settings.
pub fn current(launcher: &Launcher) -> Result<Version> {
    require_any(launcher)?;
    let line = printed_line(launcher)?;
    let no_version_error = || {
        failure!(
            Refused, "`nix --version` prints no version: {line}";
            hint: "check which program `nix` is: `command -v nix`"
        )
    };
    Version::parse(&line).ok_or_else(no_version_error)
}

/// The output of `nix --version`, for which Nix reads its settings.
fn printed_line(launcher: &Launcher) -> Result<String> {
    let Output { code, stdout, stderr } = launcher.capture("nix", &["--version"])?;
    if code == 0 {
        return Ok(stdout.trim().to_owned());
    }
    let failed = || failure!(Other, "nix --version failed with exit code {code}: {}", stderr.trim());
    Err(settings_fault::of(&stderr).unwrap_or_else(failed))
}

/// A text that tells the `nix` on the launcher's `PATH` from any other. A program is identified by its file, without
/// starting it; a script by its output for `--version`, as it could start another Nix tomorrow. `None` where there is
/// no Nix, or where the script fails.
pub fn identity(launcher: &Launcher) -> Option<String> {
    let file = launcher.which("nix")?.canonicalize().ok()?;
    program_identity(&file).or_else(|| launcher.read("nix", &["--version"]).ok())
}

/// The path and the metadata of the ELF file `file`, which an update changes; `None` where `file` is no ELF file.
fn program_identity(file: &Path) -> Option<String> {
    let mut opened = File::open(file).ok()?;
    let mut magic = [0; 4];
    opened.read_exact(&mut magic).ok()?;
    if magic != *b"\x7fELF" {
        return None;
    }
    let stat = opened.metadata().ok()?;
    let times = (stat.mtime(), stat.mtime_nsec(), stat.ctime());
    Some(format!("{} {} {} {} {times:?}", file.display(), stat.dev(), stat.ino(), stat.size()))
}

/// Checks that the `nix` on the launcher's `PATH` is [`MINIMUM`] or newer, and returns its version.
///
/// # Errors
/// Those of [`current`]; `Refused` for an older Nix.
pub fn require(launcher: &Launcher) -> Result<Version> {
    let found = current(launcher)?;
    if !found.is_supported() {
        bail!(
            Refused(MissingNix), "nix {found} is too old: {MINIMUM} or newer is needed";
            hint: "run `cargo xtask setup`"
        );
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nix::recorded;

    #[test]
    fn the_versions_of_nix_and_its_relatives_are_read() {
        for (line, expected) in [
            ("nix (Nix) 2.26.3", Some((2, 26))),
            ("nix (Nix) 2.8.0", Some((2, 8))),
            ("nix (Lix, like Nix) 2.93.0", Some((2, 93))),
            ("nix (Determinate Nix 3.17.0) 2.33.3", Some((2, 33))),
            ("nix (Nix) 2.35.0pre20260101_abcdef", Some((2, 35))),
            ("nix", None),
            ("", None),
        ] {
            let expected = expected.map(|(major, minor)| Version { major, minor });
            assert_eq!(Version::parse(line), expected, "{line}");
        }
    }

    #[test]
    fn the_relatives_of_nix_are_told_apart() {
        for (line, expected) in [
            ("nix (Nix) 2.18.9", Some("Nix 2.18.9")),
            ("nix (Lix, like Nix) 2.90.0-rc1", Some("Lix 2.90.0-rc1")),
            ("nix (Determinate Nix 3.17.0) 2.33.3", Some("Determinate Nix 2.33.3")),
            ("nix (Lix, like Nix)", None),
        ] {
            assert_eq!(
                Release::parse(line).map(|release| release.to_string()).as_deref(),
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn the_release_of_each_version_is_read() {
        for recorded in recorded::ALL {
            let release = Release::parse(recorded.version).map(|release| release.to_string());
            assert_eq!(release.as_deref(), Some(recorded.release));
            assert!(Version::parse(recorded.version).is_some_and(Version::is_supported));
        }
    }

    #[test]
    fn an_old_nix_is_not_supported() {
        assert!(!Version { major: 2, minor: 8 }.is_supported());
        assert!(Version { major: 2, minor: 18 }.is_supported());
    }

    #[test]
    fn a_program_is_identified_by_its_file_and_a_script_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nix");
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        assert_eq!(program_identity(&file), None);
        std::fs::write(&file, b"\x7fELF and so on").unwrap();
        let first = program_identity(&file).unwrap();
        assert_eq!(program_identity(&file).as_ref(), Some(&first));
        std::fs::write(&file, b"\x7fELF of an update").unwrap();
        assert_ne!(program_identity(&file), Some(first));
        assert_eq!(program_identity(&dir.path().join("none")), None);
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&["nix (Nix) 2.26.3", "nix (Determinate Nix 3.17.0) 2.33.3"], |text| {
            Version::parse(text).is_some_and(Version::is_supported)
        });
    }
}
