//! What it takes to measure, looked at before anything begins.

use std::path::Path;

use anyhow::Result;

use super::assembly::native_tools;
use super::cases::Case;
use super::plan::room;
use super::throttle::{BLKIO, unusable};
use crate::base::failure::ExitKind;
use crate::base::{Bytes, Context};

/// What is always called: dd also tries how fast the card is.
const PROGRAMS: [&str; 4] = ["blockdev", "dd", "losetup", "zstd"];

/// # Errors
/// Of [`ExitKind::Permission`] for another user than root, and refused where something else is missing.
pub fn require(cx: &Context, cases: &[&Case]) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        let text = "measuring takes a loop device and the kernel's brake for it: run this as root";
        return Err(ExitKind::Permission.error(text));
    }
    let missing = missing(cx, cases);
    if missing.is_empty() {
        return Ok(());
    }
    Err(ExitKind::Refused.error(format!("measuring needs {}", missing.join("; and "))))
}

fn missing(cx: &Context, cases: &[&Case]) -> Vec<String> {
    let absent = PROGRAMS.into_iter().filter(|program| cx.launcher.which(program).is_none());
    let mut missing = absent.map(|program| format!("the program {program} on PATH")).collect::<Vec<_>>();
    if cases.iter().any(|case| case.speed.is_some()) {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        missing.extend(unusable(Path::new(BLKIO), &own));
    }
    if cases.iter().any(|case| case.is_assembled()) {
        let tools = native_tools(cx).err();
        missing.extend(tools.map(|error| format!("the programs of the assembler ({error:#})")));
    }
    for path in ["/dev/loop-control", "/proc/thread-self/children"] {
        if !Path::new(path).exists() {
            missing.push(format!("a kernel that has {path}"));
        }
    }
    let free = available(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default());
    // The card itself, and as much again as a writer may have in flight.
    let wanted = cases.iter().map(|case| room(case)).max().unwrap_or(0) + (512 << 20);
    if free < wanted {
        missing.push(format!("{} of free memory, and there are {}", Bytes(wanted), Bytes(free)));
    }
    missing
}

/// The line `MemAvailable:   1234 kB` of `/proc/meminfo`, in bytes.
fn available(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap_or_default();
    line.trim().strip_suffix(" kB").and_then(|text| text.parse().ok()).map_or(0, |kib: u64| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory() {
        let meminfo = "MemTotal:       24684096 kB\nMemFree:        1 kB\nMemAvailable:   2048 kB\n";
        assert_eq!(available(meminfo), 2 << 20);
        assert_eq!(available(""), 0);
    }
}
