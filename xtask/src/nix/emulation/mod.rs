//! Whether this machine can build for another system, and if not, why.
//!
//! Nix never checks the kernel: it trusts `extra-platforms`. This module checks both: the kernel, by running a
//! program of that system, and the settings of Nix.

mod binfmt;
mod builder_probe;
mod builders;
mod fault;
mod probe;
mod support;

use std::path::Path;

use anyhow::Result;

use crate::bail;
use crate::base::Context;
use crate::base::bounded::{self, Links};
use crate::base::process::Launcher;
use crate::nix::{Config, Version};

use binfmt::BinfmtTable;
use probe::Architecture;
use support::KernelSupport;

pub use builder_probe::Answer;
pub use builders::Builder;
pub use support::BuildSupport;

/// The most bytes that are read of a machines file.
const MAX_MACHINES: u64 = 1 << 20;

/// Whether and how this machine builds for `system`, with `options` for Nix.
pub fn build_support(
    launcher: &Launcher,
    version: Version,
    system: &str,
    options: &[String],
) -> Result<BuildSupport> {
    let config = Config::load(launcher, version, options)?;
    let remote = builders(&config).iter().any(|builder| builder.builds_for(system));
    Ok(BuildSupport::new(system, &config, kernel_support(system)?, remote))
}

/// Asks all remote builders whether they answer.
///
/// # Errors
/// That of Nix where it does not print its settings; `Interrupted` if the user stops it.
pub fn probe_builders(launcher: &Launcher, version: Version) -> Result<Vec<(Builder, Answer)>> {
    builder_probe::probe_all(launcher, builders(&Config::load(launcher, version, &[])?))
}

fn builders(config: &Config) -> Vec<Builder> {
    let read = |file: &str| bounded::read(Path::new(file), MAX_MACHINES, Links::Follow).ok();
    builders::all(&config.builders, &config.system, |file| {
        read(file).map(|text| String::from_utf8_lossy(&text).into_owned())
    })
}

/// Runs a program of `system`; where that fails, `binfmt_misc` shows why.
fn kernel_support(system: &str) -> Result<KernelSupport> {
    let Some(architecture) = Architecture::of(system) else { return Ok(KernelSupport::Unknown) };
    let table = BinfmtTable::load(Path::new("/proc/sys/fs/binfmt_misc"));
    let head = architecture.program();
    if !probe::runs(architecture)? {
        return Ok(KernelSupport::Fails(fault::diagnose(&table, &head, Path::exists)));
    }
    Ok(match table.matching_entry(&head) {
        Some(entry) if entry.fixed => KernelSupport::Emulates,
        Some(entry) => KernelSupport::EmulatesWith(entry.interpreter.display().to_string()),
        None => KernelSupport::Runs,
    })
}

/// Whether programs of `system` run here: natively, or because the kernel hands them to an emulator.
pub fn kernel_runs(system: &str) -> bool {
    let probed = || Architecture::of(system).map(probe::runs);
    system == crate::nix::this_system() || matches!(probed(), Some(Ok(true)))
}

/// The system of a derivation that Nix itself builds, such as a download by `import <nix/fetchurl.nix>`.
const BUILTIN: &str = "builtin";

/// Checks before a build that this machine can build for `system`, with `options` for Nix; warns where only a build can
/// show it.
///
/// # Errors
/// `Refused` where it cannot.
pub fn require(cx: &Context, version: Version, system: &str, options: &[String]) -> Result<()> {
    if system == BUILTIN {
        return Ok(());
    }
    let support = build_support(&cx.launcher, version, system, options)?;
    let explanation = support.explain();
    match support.hint(system) {
        None if support == BuildSupport::Untested => {
            cx.warn(format!(
                "whether this machine can build for {system} is unknown, so the build may fail: {explanation}"
            ));
        }
        None => {}
        Some(hint) => {
            bail!(Refused, "this machine cannot build for {system}: {explanation}"; hint: "{hint}");
        }
    }
    Ok(())
}
