//! The measured costs of the runs of one case.

use serde::Serialize;

use super::cases::Case;
use crate::base::process::Cost;

/// The name of the tool among its peers.
pub const TOOL: &str = "tool";

/// The measurements of one case.
#[derive(Debug, Serialize)]
pub struct Measurements {
    #[serde(flatten)]
    pub case: &'static Case,
    runs: Vec<Samples>,
}

/// The runs of one program, in the order of the rounds.
#[derive(Debug, Serialize)]
struct Samples {
    program: &'static str,
    costs: Vec<Cost>,
}

impl Measurements {
    pub fn new(case: &'static Case) -> Self {
        Self { case, runs: Vec::new() }
    }

    pub fn add(&mut self, program: &'static str, cost: Cost) {
        match self.runs.iter_mut().find(|runs| runs.program == program) {
            Some(runs) => runs.costs.push(cost),
            None => self.runs.push(Samples { program, costs: vec![cost] }),
        }
    }

    pub fn remove(&mut self, program: &str) {
        self.runs.retain(|runs| runs.program != program);
    }

    /// The median of a figure of `program` over all rounds; `None` where it did not run.
    pub fn median_of(&self, program: &str, figure: fn(&Cost) -> f64) -> Option<f64> {
        let runs = self.runs.iter().find(|runs| runs.program == program)?;
        median(runs.costs.iter().map(figure).collect())
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
    fn medians() {
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
