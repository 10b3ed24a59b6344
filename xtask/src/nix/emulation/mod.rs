//! Checks whether this machine can build for another system, and if not, why.
//!
//! Nix never checks the kernel: it trusts the setting `extra-platforms`. This module checks both: the kernel, by
//! running a program of the other system, and the settings of Nix.

mod binfmt;
mod builder_probe;
mod builders;
mod fault;
mod kernel_support;
mod probe;
mod sandbox_probe;
mod support;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::bail;
use crate::base::Context;
use crate::base::bounded::{self, Links};
use crate::base::process::Launcher;
use crate::nix::{Config, Version};

use binfmt::BinfmtTable;
use kernel_support::KernelSupport;
use probe::Architecture;

pub use builder_probe::{Answer, probe_all};
pub use builders::Builder;
pub use support::BuildSupport;

/// The most bytes that are read of a machines file.
const MAX_MACHINES: u64 = 1 << 20;

/// Whether and how this machine builds for `system`, with `options` for Nix.
///
/// # Errors
/// That of Nix where it does not print its settings; those of [`probe::can_run`].
pub fn build_support(
    launcher: &Launcher,
    version: Version,
    system: &str,
    options: &[String],
) -> Result<BuildSupport> {
    let config = Config::load(launcher, version, options)?;
    let has_remote_builder = read_builders(&config).iter().any(|builder| builder.builds_for(system));
    Ok(BuildSupport::new(system, &config, kernel_support(launcher, &config, system)?, has_remote_builder))
}

/// The file of settings that a hint names: that of the Nix of `setup`, else that of the machine. The daemon reads no
/// other, and no user of a machine without a daemon lacks it.
pub fn conf_file(launcher: &Launcher) -> PathBuf {
    let folder = launcher.env("NIX_CONF_DIR").filter(|folder| !folder.is_empty());
    PathBuf::from(folder.unwrap_or_else(|| "/etc/nix".into())).join("nix.conf")
}

/// Asks all remote builders whether they answer.
///
/// # Errors
/// That of Nix where it does not print its settings; `Interrupted` if the user stops the probes.
pub fn probe_builders(launcher: &Launcher, version: Version) -> Result<Vec<(Builder, Answer)>> {
    let config = Config::load(launcher, version, &[])?;
    probe_all(launcher, read_builders(&config))
}

/// How this machine itself builds for `system`, without remote builders.
///
/// # Errors
/// Those of [`probe::can_run`].
pub fn support_here(launcher: &Launcher, config: &Config, system: &str) -> Result<BuildSupport> {
    Ok(BuildSupport::new(system, config, kernel_support(launcher, config, system)?, false))
}

/// The remote builders of `config`, with those in the machines files that `config` names.
pub fn read_builders(config: &Config) -> Vec<Builder> {
    let read = |file: &str| {
        let bytes = bounded::read(Path::new(file), MAX_MACHINES, Links::Follow).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    builders::parse_all(&config.builders, &config.system, read)
}

/// What the kernel does with a program of `system`. The program is run, also as the sandbox of Nix would run it, if a
/// build would be in one; where it fails, `binfmt_misc` shows the reason.
fn kernel_support(launcher: &Launcher, config: &Config, system: &str) -> Result<KernelSupport> {
    let Some(architecture) = Architecture::of(system) else { return Ok(KernelSupport::Unknown) };
    let table = BinfmtTable::load(Path::new("/proc/sys/fs/binfmt_misc"));
    let head = architecture.program();
    if !probe::can_run(architecture)? {
        return Ok(KernelSupport::Fails(fault::diagnose(&table, &head, Path::exists)));
    }
    match table.matching_entry(&head) {
        Some(entry) if config.sandbox && config.accepts(system) => {
            sandbox_probe::run(launcher, config, &head, entry)
        }
        Some(_) => Ok(KernelSupport::Emulates),
        None => Ok(KernelSupport::Runs),
    }
}

/// Whether programs of `system` run on this machine: natively, or because the kernel hands them to an emulator. False
/// where there is no probe for another `system`, and where the probe cannot be written.
pub fn kernel_runs(system: &str) -> bool {
    if system == crate::nix::this_system() {
        return true;
    }
    Architecture::of(system).is_some_and(|architecture| probe::can_run(architecture).unwrap_or(false))
}

/// The system of a derivation that Nix itself builds, such as a download by `import <nix/fetchurl.nix>`.
pub const BUILTIN: &str = "builtin";

/// Checks before a build that this machine can build for `system`, with `options` for Nix. Warns where only the build
/// can show whether this machine can.
///
/// # Errors
/// `Refused` where this machine cannot build for `system`; otherwise those of [`build_support`].
pub fn require(cx: &Context, version: Version, system: &str, options: &[String]) -> Result<()> {
    require_unless(cx, version, system, options, || false)
}

/// As [`require`], but also succeeds where `builds_nothing` returns true, without a warning. It is called only where it
/// is not certain that this machine can build for `system`.
///
/// # Errors
/// `Refused` where this machine cannot build for `system`, and there is something to build; otherwise those of
/// [`build_support`].
pub fn require_unless(
    cx: &Context,
    version: Version,
    system: &str,
    options: &[String],
    builds_nothing: impl FnOnce() -> bool,
) -> Result<()> {
    if system == BUILTIN {
        return Ok(());
    }
    let support = build_support(&cx.launcher, version, system, options)?;
    let is_doubtful = !support.can_build() || support == BuildSupport::Untested;
    if is_doubtful && builds_nothing() {
        return Ok(());
    }
    let explanation = support.explain();
    match support.hint(system, &conf_file(&cx.launcher)) {
        None if support == BuildSupport::Untested => {
            cx.warn(format!(
                "whether this machine can build for {system} is unknown, so the build may fail: {explanation}"
            ));
        }
        None => {}
        Some(hint) => {
            bail!(Refused(NoEmulation), "this machine cannot build for {system}: {explanation}"; hint: "{hint}");
        }
    }
    Ok(())
}
