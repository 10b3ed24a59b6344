//! How long each part of a deploy took.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// One part, in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    pub phase: String,
    pub seconds: f64,
}

/// The parts in the order in which they ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timings(pub Vec<Timing>);

impl Timings {
    /// Does `work` and notes how long it took.
    pub fn time<T>(&mut self, phase: &str, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let done = work();
        self.0.push(Timing { phase: phase.to_owned(), seconds: begin.elapsed().as_secs_f64() });
        done
    }

    /// In seconds.
    pub fn total(&self) -> f64 {
        self.0.iter().map(|lap| lap.seconds).sum()
    }
}
