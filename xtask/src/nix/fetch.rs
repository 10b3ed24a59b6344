//! Fetching store paths from the caches of this machine, without an evaluation and without a build.

use anyhow::Result;

use super::build::eval_args;
use super::build_monitor::BuildMonitor;
use super::build_sandbox::refuse_weakening_settings;
use super::programs::Programs;
use super::{FEATURES, StorePath};
use crate::base::{Context, RunningPhase};

/// Fetches `paths` with all that they refer to, as far as the store lacks them, and reports the progress. `options` are
/// the user's for Nix.
///
/// # Errors
/// The cause that Nix names, where no cache has a path.
pub fn fetch(cx: &Context, paths: &[StorePath], options: &[String]) -> Result<()> {
    refuse_weakening_settings(options)?;
    let reporter = cx.reporter.as_ref();
    let phase = RunningPhase::begin(reporter, "fetch");
    let fixed = ["build", "--no-link", "--keep-going", "--log-format", "internal-json"];
    let options = eval_args(options);
    let words = paths.iter().map(StorePath::as_str).chain(options.iter().map(String::as_str));
    let args = FEATURES.into_iter().chain(fixed).chain(words).collect::<Vec<_>>();
    let mut monitor = BuildMonitor::new(reporter);
    let output = cx.launcher.stream_killable("nix", &args, None, |line| monitor.process_line(line))?;
    if !output.success() {
        let names = paths.iter().map(StorePath::as_str).collect::<Vec<_>>().join(" ");
        return Err(monitor.into_failures().error(&names, &Programs::of(&cx.launcher)));
    }
    phase.end(monitor.made_count());
    Ok(())
}
