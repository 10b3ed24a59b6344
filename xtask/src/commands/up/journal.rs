//! The record of the steps of a run.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::plan::{Before, Plan, Step};
use crate::base::{Context, ErrorReport};

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "StepOutcome")]
pub enum Outcome {
    /// The run did it.
    Done,
    /// An earlier run did it.
    AlreadyDone,
    /// The user left it out, or it had to wait.
    Skipped,
    Failed,
    /// The run ended before it, or only showed it.
    NotReached,
}

/// A step with its outcome.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StepResult")]
pub struct Entry {
    step: Step,
    outcome: Outcome,
    /// What is known of the step, in words.
    text: Option<String>,
    error: Option<ErrorReport>,
}

/// All steps of a run, in their order.
pub struct Journal(Vec<Entry>);

impl Journal {
    pub fn new(plan: &Plan) -> Self {
        let entries = plan.steps.iter().map(|(step, before)| {
            let (outcome, text) = match before {
                Before::ToDo(text) => (Outcome::NotReached, text),
                Before::Done(text) => (Outcome::AlreadyDone, text),
                Before::Skipped => (Outcome::Skipped, &String::new()),
            };
            let text = (!text.is_empty()).then(|| text.clone());
            Entry { step: *step, outcome, text, error: None }
        });
        Self(entries.collect())
    }

    pub fn into_steps(self) -> Vec<Entry> {
        self.0
    }

    /// Runs `work` as `step`, and records how it ended.
    ///
    /// # Errors
    /// That of `work`.
    pub fn run<T>(&mut self, cx: &Context, step: Step, work: impl FnOnce() -> Result<T>) -> Result<T> {
        begin(cx, step);
        self.end(step, work())
    }

    /// Records how `step` `ended`, of which [`begin`] told the user.
    ///
    /// # Errors
    /// That of the step.
    pub fn end<T>(&mut self, step: Step, ended: Result<T>) -> Result<T> {
        match &ended {
            Ok(_) => self.record(step, Outcome::Done, None),
            Err(error) => self.fail(step, error),
        }
        ended
    }

    /// Records how `step` ended, with a `text` in place of what was known of it.
    pub fn record(&mut self, step: Step, outcome: Outcome, text: Option<String>) {
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.step == step) {
            entry.outcome = outcome;
            entry.text = text;
        }
    }

    /// Records that `step` failed with `error`.
    pub fn fail(&mut self, step: Step, error: &anyhow::Error) {
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.step == step) {
            entry.outcome = Outcome::Failed;
            entry.text = None;
            entry.error = Some(ErrorReport::of(error));
        }
    }
}

/// Tells the user that `step` begins.
pub fn begin(cx: &Context, step: Step) {
    let number = Step::ALL.iter().position(|other| *other == step).unwrap_or_default() + 1;
    cx.note(format!("step {number} of {}: {step}", Step::ALL.len()));
}
