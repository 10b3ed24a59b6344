//! The preflight checks of benchmarks: their requirements.

use std::path::Path;

use anyhow::Result;

use super::assembly::native_tools;
use super::cases::Case;
use super::plan::card_size;
use super::throttle::{self, BLKIO};
use crate::bail;
use crate::base::{Bytes, Context, failure, memory};
use crate::dev::suites::Requirement;

/// The programs that every run needs; dd also measures the speed of the card.
const PROGRAMS: &[&str] = &["blockdev", "dd", "losetup", "zstd"];

/// What hosts in namespaces need, to which the tool deploys.
const OF_HOSTS: &[Requirement] = &[
    Requirement::Root,
    Requirement::Nix,
    Requirement::DeployRs,
    Requirement::VisibleTools,
    Requirement::NetworkNamespaces,
];

/// Checks the requirements of hosts in namespaces, for measuring `what`.
///
/// # Errors
/// `Refused` for a missing requirement.
pub fn require_hosts(cx: &Context, what: &str) -> Result<()> {
    let missing = OF_HOSTS.iter().filter_map(|requirement| requirement.missing(cx)).collect::<Vec<_>>();
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        Refused, "measuring {what} {}", missing.join("; ");
        hint: "run `cargo xtask test deploy`, which installs missing programs"
    )
}

/// Checks that there is a Nix, for measuring `what`.
///
/// # Errors
/// `Refused` without Nix.
pub fn require_nix(cx: &Context, what: &str) -> Result<()> {
    match Requirement::Nix.missing(cx) {
        Some(missing) => bail!(Refused, "measuring {what} {missing}"; hint: "run `cargo xtask setup`"),
        None => Ok(()),
    }
}

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
    bail!(Permission, "measuring needs loop devices"; hint: "run this command as root")
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
    let free = memory::available(Path::new("/")).unwrap_or_default();
    // The cards themselves, and memory for the data that a writer has in flight.
    let required = size + (512 << 20);
    if free < required {
        missing.push(format!("{} of free memory, not {}", Bytes(required), Bytes(free)));
    }
    missing
}
