//! How long each phase of a deploy took.

use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{Reporter, RunningPhase};

/// The duration of one phase, in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timing {
    pub phase: String,
    pub seconds: f64,
}

/// The durations of the phases of a deploy, in the order in which the phases ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Timings(Vec<Timing>);

impl Timings {
    /// Runs `work` and records its duration as `phase`.
    pub fn time<T>(&mut self, phase: &str, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let result = work();
        self.record(phase, begin.elapsed().as_secs_f64());
        result
    }

    /// Records that `phase` took `seconds`.
    pub fn record(&mut self, phase: &str, seconds: f64) {
        self.0.push(Timing { phase: phase.to_owned(), seconds });
    }

    /// Like [`Self::time`], and reports the phase to `reporter`.
    pub fn show<T>(&mut self, reporter: &dyn Reporter, phase: &str, work: impl FnOnce() -> T) -> T {
        let _running = RunningPhase::begin(reporter, phase);
        self.time(phase, work)
    }

    /// Adds the phases of `other` at the end.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The sum of all phases, in seconds.
    pub fn total(&self) -> f64 {
        self.0.iter().map(|timing| timing.seconds).sum()
    }
}
