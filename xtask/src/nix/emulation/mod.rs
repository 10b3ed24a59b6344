//! Can this machine build for another system, and if not, why not.
//!
//! Nix never looks at the kernel: a system in `extra-platforms` is a promise. Both halves are checked:
//! the kernel, by running a program of that system, and the settings of Nix.

mod binfmt;
mod builders;
mod fault;
mod probe;
mod support;

use std::path::Path;

use anyhow::Result;

use crate::base::Context;
use crate::base::failure::ExitKind;
use crate::base::process::Launcher;
use crate::nix::{Config, Version};

use binfmt::BinfmtTable;
use probe::Machine;
use support::Kernel;

pub use support::Verdict;

/// What this machine can do for `system`.
pub fn judge(launcher: &Launcher, version: Version, system: &str) -> Result<Verdict> {
    let config = Config::load(launcher, version)?;
    let remote = builders::any_for(&config.builders, system, |file| std::fs::read_to_string(file).ok());
    Ok(support::verdict(system, &config, ask_kernel(system)?, remote))
}

/// The kernel itself decides whether it runs programs of `system`; its table of emulators says why not.
fn ask_kernel(system: &str) -> Result<Kernel> {
    let Some(machine) = Machine::of(system) else { return Ok(Kernel::Unknown) };
    let table = BinfmtTable::load(Path::new("/proc/sys/fs/binfmt_misc"));
    let head = machine.program();
    if !probe::runs(machine)? {
        return Ok(Kernel::Cannot(fault::diagnose(&table, &head, Path::exists)));
    }
    Ok(match table.taker(&head) {
        Some(entry) if entry.fixed => Kernel::Emulates,
        Some(entry) => Kernel::EmulatesWith(entry.interpreter.display().to_string()),
        None => Kernel::Runs,
    })
}

/// Whether programs of `system` run here: natively, or because the kernel hands them to an emulator.
pub fn kernel_runs(system: &str) -> bool {
    let tried = || Machine::of(system).map(probe::runs);
    system == crate::nix::this_system() || matches!(tried(), Some(Ok(true)))
}

/// Refuses, before anything is built, where `system` cannot be built here; warns where only a build can tell.
pub fn require(cx: &Context, version: Version, system: &str) -> Result<()> {
    let verdict = judge(&cx.launcher, version, system)?;
    let words = verdict.explain(system);
    match verdict {
        Verdict::Untested => cx.warn(format!("building for {system}: {words}")),
        able if able.can_build() => {}
        _ => return Err(ExitKind::Refused.error(format!("this machine cannot build for {system}: {words}"))),
    }
    Ok(())
}
