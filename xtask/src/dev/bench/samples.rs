//! The measured costs of the runs of one case.

use schemars::JsonSchema;
use serde::Serialize;

use super::cases::Case;
use crate::base::process::Cost;

/// The name of the tool among its peers.
pub const TOOL: &str = "tool";

/// The measurements of one case.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Measurements {
    #[serde(flatten)]
    pub case: &'static Case,
    /// The samples of each program.
    // Programs that read `--json` know this name from earlier versions.
    #[serde(rename = "runs")]
    samples: Vec<Samples>,
}

/// The costs of the runs of one program, in the order of the rounds.
#[derive(Debug, Serialize, JsonSchema)]
struct Samples {
    program: &'static str,
    costs: Vec<Cost>,
}

impl Measurements {
    pub fn new(case: &'static Case) -> Self {
        Self { case, samples: Vec::new() }
    }

    /// Adds the cost of one run of `program`.
    pub fn add(&mut self, program: &'static str, cost: Cost) {
        match self.samples.iter_mut().find(|samples| samples.program == program) {
            Some(samples) => samples.costs.push(cost),
            None => self.samples.push(Samples { program, costs: vec![cost] }),
        }
    }

    /// Removes all runs of `program`.
    pub fn remove(&mut self, program: &str) {
        self.samples.retain(|samples| samples.program != program);
    }

    /// The median over all rounds of the value that `read` takes from a cost of `program`; `None` where the program
    /// did not run.
    pub fn median_of(&self, program: &str, read: fn(&Cost) -> f64) -> Option<f64> {
        let samples = self.samples.iter().find(|samples| samples.program == program)?;
        median(samples.costs.iter().map(read).collect())
    }
}

/// The median of `values`: the middle one, or the mean of the two in the middle; `None` without values.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let low = values.get(values.len().checked_sub(1)? / 2)?;
    let high = values.get(values.len() / 2)?;
    Some(f64::midpoint(*low, *high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value_or_the_mean_of_two() {
        for (values, expected) in [
            (vec![], None),
            (vec![3.0], Some(3.0)),
            (vec![9.0, 1.0], Some(5.0)),
            (vec![9.0, 1.0, 2.0], Some(2.0)),
            (vec![4.0, 1.0, 2.0, 100.0], Some(3.0)),
        ] {
            assert_eq!(median(values), expected);
        }
    }
}
