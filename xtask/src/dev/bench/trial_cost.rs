//! `bench trial`: how much longer a reboot takes with a trial, in a guest in QEMU.

use std::num::NonZero;

use anyhow::{Context as _, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::samples::median;
use crate::bail;
use crate::base::{Context, Event, interrupt};
use crate::dev::suites::{GUEST, Requirement};

/// The environment variable with the number of rounds.
pub const ROUNDS: &str = "XTASK_ROUNDS";

/// The limit of the additional time of a reboot on trial, in seconds.
const MAX_DIFFERENCE: f64 = 6.0;

/// The times of one round: the seconds from the reboot to the verdict, with a trial and without one.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
struct Round {
    trial: f64,
    plain: f64,
}

/// The times of all rounds, and the cost of a trial.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TrialCost {
    rounds: Vec<Round>,
    /// The median with a trial minus the median without one, in seconds; `None` without rounds.
    difference: Option<f64>,
    /// The limit of the difference, in seconds.
    at_most: f64,
    /// Whether the difference is within the limit; `None` without rounds.
    kept: Option<bool>,
}

impl TrialCost {
    fn new(rounds: Vec<Round>) -> Self {
        let median_of = |time: fn(&Round) -> f64| median(rounds.iter().map(time).collect());
        let times = median_of(|round| round.trial).zip(median_of(|round| round.plain));
        let difference = times.map(|(trial, plain)| trial - plain);
        let kept = difference.map(|seconds| seconds <= MAX_DIFFERENCE);
        Self { rounds, difference, at_most: MAX_DIFFERENCE, kept }
    }

    /// The result in one line.
    pub fn summary(&self) -> String {
        let rounds = self.rounds.iter();
        let rounds = rounds.map(|round| format!("{:.1} s and {:.1} s", round.trial, round.plain));
        let rounds = rounds.collect::<Vec<_>>().join(", ");
        let difference = self.difference.unwrap_or_default();
        let kept = if self.kept == Some(true) { "kept" } else { "not kept" };
        format!(
            "a trial costs {difference:.1} s (at most {MAX_DIFFERENCE} s: {kept}); reboots with and without a trial: {rounds}"
        )
    }
}

/// Reboots guests in each of the `rounds`, with a trial and without one.
///
/// # Errors
/// `Refused` for a missing requirement, `Other` for a deploy that fails, and Ctrl-C.
pub fn trial_cost(cx: &Context, rounds: NonZero<u32>) -> Result<TrialCost> {
    let requirements = [&[Requirement::Nix, Requirement::DeployRs], GUEST].concat();
    let missing = requirements.iter().filter_map(|requirement| requirement.missing(cx)).collect::<Vec<_>>();
    if !missing.is_empty() {
        bail!(
            Refused, "measuring a trial {}", missing.join("; ");
            hint: "run `cargo xtask test trial`, which installs missing programs"
        );
    }
    let signals = interrupt::guard()?;
    let launcher = cx.launcher.clone().with_env(ROUNDS, rounds.to_string());
    let launcher = launcher.with_env("NIX_CONFIG", "substitute = false");
    let args = ["test", "--package", "xtask", "--bench", "trial-cost"];
    let output = launcher.stream("cargo", &args, |line| cx.reporter.report(&Event::log(line)))?;
    signals.check()?;
    if !output.success() {
        bail!(Other, "measuring a trial failed with exit code {}", output.code);
    }
    let lines = output.stdout.lines().filter(|line| line.starts_with('{'));
    let rounds = lines.map(serde_json::from_str).collect::<Result<_, _>>();
    Ok(TrialCost::new(rounds.context("reading the times of a trial")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_medians_decide_whether_a_trial_costs_too_much() {
        let rounds = |rounds: &[(f64, f64)]| {
            TrialCost::new(rounds.iter().map(|&(trial, plain)| Round { trial, plain }).collect())
        };
        let cost = rounds(&[(25.0, 20.0), (90.0, 21.0), (26.0, 80.0)]);
        let expected = "a trial costs 5.0 s (at most 6 s: kept); reboots with and without a trial: \
                        25.0 s and 20.0 s, 90.0 s and 21.0 s, 26.0 s and 80.0 s";
        assert_eq!((cost.summary().as_str(), cost.kept), (expected, Some(true)));
        assert_eq!((rounds(&[(27.0, 20.0)]).kept, rounds(&[]).kept), (Some(false), None));
    }
}
