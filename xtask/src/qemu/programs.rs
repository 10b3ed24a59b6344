//! The programs that a boot of a snapshot runs.

use anyhow::Result;

use super::machine::PROGRAM;
use super::snapshot::IMAGE_PROGRAM;
use crate::bail;
use crate::base::Context;

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
        Refused, "no {} on PATH", missing.join(" and no ");
        hint: "run `cargo xtask setup --boot`, or install QEMU for AArch64: the packages qemu-system-arm and qemu-utils of Debian \
               and Ubuntu, qemu of nixpkgs"
    )
}
