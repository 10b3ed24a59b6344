//! The programs that a boot of a snapshot runs.

use anyhow::Result;

use super::machine::PROGRAM;
use super::snapshot::IMAGE_PROGRAM;
use crate::bail;
use crate::base::Context;
use crate::base::process::Launcher;

/// The first version of QEMU with all that boots use: it named the machine `raspi3b`.
const MIN_VERSION: (u32, u32) = (5, 2);

/// Checks that this machine has the emulator and its program for images.
///
/// # Errors
/// `Refused` with what to install.
pub fn require_programs(cx: &Context) -> Result<()> {
    let missing = [PROGRAM, IMAGE_PROGRAM].into_iter().filter(|program| cx.launcher.which(program).is_none());
    let missing = missing.collect::<Vec<_>>();
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        Refused(MissingProgram), "no {} on PATH", missing.join(" and no ");
        hint: "run `cargo xtask setup --boot`, or install QEMU for AArch64: the packages qemu-system-arm and qemu-utils of Debian \
               and Ubuntu, qemu of nixpkgs"
    )
}

/// What to do about an emulator that is too old for a boot; `None` for any other.
pub fn old_version_hint(launcher: &Launcher) -> Option<String> {
    let printed = launcher.capture(PROGRAM, &["--version"]).ok()?.stdout;
    let version = version(&printed).filter(|version| *version < MIN_VERSION)?;
    let [(major, minor), (min_major, min_minor)] = [version, MIN_VERSION];
    Some(format!(
        "{PROGRAM} is of QEMU {major}.{minor}, and boots need QEMU {min_major}.{min_minor} or newer"
    ))
}

/// The version in the first line that `PROGRAM --version` prints: `QEMU emulator version 7.2.22 (Debian …)`.
fn version(printed: &str) -> Option<(u32, u32)> {
    let (_, version) = printed.lines().next()?.split_once("version ")?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_emulator_is_read() {
        for (printed, expected) in [
            ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright (c)\n", Some((7, 2))),
            ("QEMU emulator version 10.0.2", Some((10, 0))),
            ("QEMU emulator version 4.2", Some((4, 2))),
            ("QEMU emulator version v5", None),
            ("QEMU", None),
            ("", None),
        ] {
            assert_eq!(version(printed), expected, "{printed}");
        }
        crate::base::fuzz::check_text(&["QEMU emulator version 7.2.22 (Debian)"], version);
    }
}
