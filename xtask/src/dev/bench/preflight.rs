//! The preflight check of `bench flash`: its requirements.

use std::path::Path;

use anyhow::Result;

use super::assembly::native_tools;
use super::cases::Case;
use super::plan::card_size;
use super::throttle::{self, BLKIO};
use crate::bail;
use crate::base::{Bytes, Context, failure};

/// The programs that every run needs; dd also measures the speed of the card.
const PROGRAMS: &[&str] = &["blockdev", "dd", "losetup", "zstd"];

/// Checks the requirements of `cases`.
///
/// # Errors
/// `Permission` for another user than root, and `Refused` for any other missing requirement.
pub fn require(cx: &Context, cases: &[&Case]) -> Result<()> {
    require_root()?;
    refuse_missing(&missing_requirements(cx, cases))
}

/// Checks the requirements of throttled cards of together `size` bytes.
///
/// # Errors
/// As those of [`require`].
pub fn require_memory_and_throttle(cx: &Context, size: u64) -> Result<()> {
    require_root()?;
    let mut missing = missing_basics(cx, size);
    missing.extend(missing_throttle());
    refuse_missing(&missing)
}

/// Checks the requirements of cards of together `size` bytes, which are as fast as memory.
///
/// # Errors
/// As those of [`require`].
pub fn require_memory(cx: &Context, size: u64) -> Result<()> {
    require_root()?;
    refuse_missing(&missing_basics(cx, size))
}

fn require_root() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    bail!(Permission, "measuring needs a loop device with a throttle"; hint: "run this command as root")
}

fn refuse_missing(missing: &[String]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    bail!(Refused, "measuring needs {}", missing.join("; and "))
}

/// The requirements of `cases` that this machine does not meet, each as the object of "needs".
fn missing_requirements(cx: &Context, cases: &[&Case]) -> Vec<String> {
    let size = cases.iter().map(|case| card_size(case)).max().unwrap_or(0);
    let mut missing = missing_basics(cx, size);
    if cases.iter().any(|case| case.speed.is_some()) {
        missing.extend(missing_throttle());
    }
    if cases.iter().any(|case| case.is_assembled())
        && let Err(error) = native_tools(cx)
    {
        missing.push(format!("the programs of the assembler ({})", failure::with_hint(&error)));
    }
    missing
}

fn missing_throttle() -> Option<String> {
    let cgroups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    throttle::missing_requirement(Path::new(BLKIO), &cgroups)
}

/// What this machine lacks for virtual cards of together `size` bytes.
fn missing_basics(cx: &Context, size: u64) -> Vec<String> {
    let absent_programs = PROGRAMS.iter().filter(|program| cx.launcher.which(program).is_none());
    let mut missing =
        absent_programs.map(|program| format!("the program {program} on PATH")).collect::<Vec<_>>();
    for path in ["/dev/loop-control", "/proc/thread-self/children"] {
        if !Path::new(path).exists() {
            missing.push(format!("a kernel that has {path}"));
        }
    }
    let free = available_memory(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default());
    // The cards themselves, and memory for the data that a writer has in flight.
    let required = size + (512 << 20);
    if free < required {
        missing.push(format!("{} of free memory, not {}", Bytes(required), Bytes(free)));
    }
    missing
}

/// The value of the line `MemAvailable:   1234 kB` in the text of `/proc/meminfo`, in bytes; 0 without the line.
fn available_memory(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap_or_default();
    line.trim().strip_suffix(" kB").and_then(|text| text.parse().ok()).map_or(0, |kib: u64| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read_in_bytes() {
        let meminfo = "MemTotal:       24684096 kB\nMemFree:        1 kB\nMemAvailable:   2048 kB\n";
        assert_eq!(available_memory(meminfo), 2 << 20);
        assert_eq!(available_memory(""), 0);
    }
}
