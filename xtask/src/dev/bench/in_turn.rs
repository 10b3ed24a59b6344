//! Two commands that are timed in turn.

use std::ffi::OsString;
use std::num::NonZero;

use anyhow::Result;

use crate::bail;
use crate::base::interrupt;
use crate::base::process::Launcher;

/// The times of two `commands` in each of the `rounds`, in seconds. A round before these fills caches. `doing` is what
/// the commands do, for an error.
///
/// # Errors
/// A command that fails, and Ctrl-C.
pub fn times_in_turn(
    launcher: &Launcher,
    commands: &[Vec<OsString>; 2],
    rounds: NonZero<u32>,
    doing: &str,
) -> Result<[Vec<f64>; 2]> {
    let signals = interrupt::guard()?;
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=rounds.get() {
        signals.check()?;
        for (command, times) in commands.iter().zip(&mut times) {
            let measured = launcher.measure(std::slice::from_ref(command))?;
            if measured.code != 0 {
                bail!(Other, "{doing} failed with exit code {}: {}", measured.code, measured.stderr.trim());
            }
            if round > 0 {
                times.push(measured.cost.seconds);
            }
        }
    }
    Ok(times)
}
