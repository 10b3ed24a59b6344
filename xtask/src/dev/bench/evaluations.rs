//! `bench evaluate`: the hosts of a flake evaluated together, against each on its own.

use std::ffi::OsString;
use std::fs;
use std::num::NonZero;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::preflight::require_nix;
use super::samples::median;
use super::stats::Row;
use super::workdir::{TemporaryFolder, Workdir};
use crate::bail;
use crate::base::{Context, FlakeRef, interrupt, memory};
use crate::dev;

/// What the flake of this repository needs to evaluate.
const SOURCES: &[&str] =
    &["flake.nix", "flake.lock", "hosts", "nix", "templates", "xtask", "Cargo.toml", "Cargo.lock"];

/// The host of this repository whose copies are evaluated.
const HOST: &str = "stinky";

/// The limit of the time of the evaluation together, as a multiple of the time of one after the other.
const MAX_TIME_RATIO: f64 = 0.6;

/// Evaluates `count` hosts in each of the `rounds`, with `nix_args` for Nix.
///
/// # Errors
/// `Refused` without Nix, `Other` for an evaluation that fails, and Ctrl-C.
pub fn evaluations(
    cx: &Context,
    count: NonZero<u32>,
    rounds: NonZero<u32>,
    nix_args: &[String],
) -> Result<Vec<Row>> {
    require_nix(cx, "evaluations")?;
    let signals = interrupt::guard()?;
    let workdir = Workdir::take(cx)?;
    let folder = TemporaryFolder::new(workdir.join("evaluation"))?;
    let names = (1..=count.get()).map(|number| format!("copy{number}")).collect::<Vec<_>>();
    let free = memory::available(Path::new("/")).context("reading the available memory")?;
    let run = Run { cx, folder: folder.path(), flake: write_flake(cx, folder.path(), &names)?, nix_args };
    let all = names.iter().map(String::as_str).collect::<Vec<_>>();
    let (mut together, mut alone, mut peak) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds.get() {
        let (seconds, bytes) = run.evaluate(&all)?;
        cx.note(format!("{round}/{rounds}: {count} hosts together: {seconds:.1} s"));
        together.push(seconds);
        peak.push(bytes);
        let mut sum = 0.0;
        for name in &all {
            signals.check()?;
            sum += run.evaluate(&[*name])?.0;
        }
        cx.note(format!("{round}/{rounds}: one after the other: {sum:.1} s"));
        alone.push(sum);
    }
    Ok(rows(together, alone, peak, free))
}

/// The rows with the medians of the times in seconds and of the memory in bytes, of which `free` were available.
fn rows(together: Vec<f64>, alone: Vec<f64>, peak: Vec<f64>, free: u64) -> Vec<Row> {
    let (case, against) = ("hosts together", "one after the other");
    let time = Row::of_times(case, against, median(together), median(alone), Some(MAX_TIME_RATIO));
    vec![time, Row::of_memory(case, median(peak), free)]
}

/// Writes a flake with the hosts `names`, each a copy of the first host of this repository, to `folder`.
fn write_flake(cx: &Context, folder: &Path, names: &[String]) -> Result<FlakeRef> {
    let flake = folder.join("flake");
    let doing = || format!("copying the flake to {}", flake.display());
    fs::create_dir(&flake).with_context(doing)?;
    let mut words = vec![OsString::from("-rL")];
    words.extend(SOURCES.iter().map(|source| dev::checkout().join(source).into_os_string()));
    words.push(flake.clone().into());
    cx.launcher.read("cp", &words).with_context(doing)?;
    let hosts = flake.join("hosts");
    fs::rename(hosts.join("default.nix"), hosts.join("registry.nix")).with_context(doing)?;
    for name in names {
        cx.launcher.in_dir(&hosts).read("cp", &["-r", HOST, name]).with_context(doing)?;
    }
    let registry = names.iter().map(|name| format!("{name} = (import ./registry.nix).{HOST};\n"));
    let text = format!("{{\n{}}}\n", registry.collect::<String>());
    fs::write(hosts.join("default.nix"), text).with_context(doing)?;
    Ok(FlakeRef::with_all_files(&flake))
}

/// Evaluations by the tool.
struct Run<'a> {
    cx: &'a Context,
    folder: &'a Path,
    flake: FlakeRef,
    nix_args: &'a [String],
}

impl Run<'_> {
    /// Evaluates `hosts` without anything that an earlier run has remembered. Returns the time in seconds, and the peak
    /// memory in bytes.
    fn evaluate(&self, hosts: &[&str]) -> Result<(f64, f64)> {
        let state = TemporaryFolder::new(self.folder.join("state"))?;
        let launcher = self.cx.launcher.clone().with_env("XTASK_STATE", state.path());
        let config = launcher.env("NIX_CONFIG").unwrap_or_default();
        let launcher =
            launcher.with_env("NIX_CONFIG", format!("{}\neval-cache = false", config.to_string_lossy()));
        let own = std::env::current_exe().context("finding the tool itself")?;
        let flake = self.flake.as_str();
        let mut command = vec![own.into_os_string()];
        command.extend(["--flake", flake, "deploy", "--plan"].map(OsString::from));
        command.extend(hosts.iter().map(OsString::from));
        command.extend(["--", "--"].map(OsString::from));
        command.extend(self.nix_args.iter().map(OsString::from));
        let measured = launcher.measure(&[command])?;
        if measured.code != 0 {
            bail!(
                Other,
                "evaluating {hosts:?} failed with exit code {}: {}",
                measured.code,
                measured.stderr.trim()
            );
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let bytes = measured.cost.peak_bytes as f64;
        let log = fs::read_to_string(state.path().join("logs/last-run.log")).context("reading the log")?;
        let seconds = evaluation_seconds(&log);
        ensure!(seconds > 0.0, "the log of the run has no evaluation of {hosts:?}");
        Ok((seconds, bytes))
    }
}

/// The seconds of all phases that evaluate, in the `log` of a run.
fn evaluation_seconds(log: &str) -> f64 {
    let mut begin = None;
    let mut sum = 0.0;
    for line in log.lines() {
        let Some((time, text)) = line.trim_start().split_once(' ') else { continue };
        let Ok(time) = time.parse::<f64>() else { continue };
        // The phase of one host has its name in front.
        match text.rsplit(": ").next().unwrap_or_default() {
            "evaluate begins" => begin = Some(time),
            "the phase ended" => sum += begin.take().map_or(0.0, |begin| time - begin),
            _ => {}
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_phases_that_evaluate_count() {
        let log = "log of cargo xtask\n    0.007 [1] $ nix config show --json\n    0.063 pi: evaluate begins\n    \
                   0.463 [3] exit code 0 after 0.399 s\n    1.563 pi: the phase ended\n    1.600 plan begins\n    \
                   5.000 the phase ended\n    5.100 evaluate begins\n    5.600 the phase ended\n";
        assert!((evaluation_seconds(log) - 2.0).abs() < 1e-9);
    }
}
