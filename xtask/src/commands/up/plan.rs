//! The steps of `up`, with what is known of each before the first is done.

use std::fmt;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::facts::{Answer, Facts, LastFlash};
use crate::bail;
use crate::base::HostName;
use crate::cli::{SkippedStep, Up};
use crate::ui;

/// A step, in the order of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    LoginKeys,
    Image,
    Card,
    Flash,
    Deploy,
    Status,
}

impl Step {
    pub const ALL: [Self; 6] =
        [Self::LoginKeys, Self::Image, Self::Card, Self::Flash, Self::Deploy, Self::Status];

    fn is_skipped(self, args: &Up) -> bool {
        let of_user: &[SkippedStep] = match self {
            // The keys are those of the image.
            Self::LoginKeys => &[SkippedStep::LoginKeys, SkippedStep::Flash],
            Self::Image | Self::Card | Self::Flash => &[SkippedStep::Flash],
            Self::Deploy => &[SkippedStep::Deploy],
            Self::Status => &[SkippedStep::Status],
        };
        of_user.iter().any(|step| args.skip.contains(step))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::LoginKeys => "login keys",
            Self::Image => "image",
            Self::Card => "card",
            Self::Flash => "flash",
            Self::Deploy => "deploy",
            Self::Status => "status",
        })
    }
}

/// What is known of a step before the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    ToDo(String),
    /// Nothing is left to do, for this reason.
    Done(String),
    /// The user left the step out.
    Skipped,
}

/// A step of a plan, for programs.
#[derive(Serialize, JsonSchema)]
pub struct PlannedStep {
    step: Step,
    state: StepState,
    /// What is known of the step, in words.
    text: Option<String>,
}

/// Whether a step is left to do.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum StepState {
    ToDo,
    Done,
    /// The user left the step out.
    Skipped,
}

impl PlannedStep {
    fn new(step: Step, before: &Before) -> Self {
        let (state, text) = match before {
            Before::ToDo(text) => (StepState::ToDo, Some(text)),
            Before::Done(text) => (StepState::Done, Some(text)),
            Before::Skipped => (StepState::Skipped, None),
        };
        Self { step, state, text: text.filter(|text| !text.is_empty()).cloned() }
    }
}

/// The steps for a host.
pub struct Plan {
    host: HostName,
    pub steps: Vec<(Step, Before)>,
}

impl Plan {
    pub fn new(args: &Up, facts: &Facts) -> Self {
        let flashed = reason_against_flash(args, facts);
        let steps = Step::ALL.map(|step| {
            let before = if step.is_skipped(args) {
                Before::Skipped
            } else {
                match (step, &flashed) {
                    (Step::LoginKeys | Step::Image | Step::Card, Some(_)) => Before::Done(String::new()),
                    (Step::Flash, Some(reason)) => Before::Done(reason.clone()),
                    (Step::Deploy, _) => deploy(args, facts, flashed.is_none()),
                    (step, _) => Before::ToDo(intention(step, args, facts)),
                }
            };
            (step, before)
        });
        Self { host: facts.host.clone(), steps: steps.into() }
    }

    /// The steps, for programs.
    pub fn facts(&self) -> Vec<PlannedStep> {
        self.steps.iter().map(|(step, before)| PlannedStep::new(*step, before)).collect()
    }

    pub fn has_to_do(&self, step: Step) -> bool {
        self.steps.iter().any(|(other, before)| *other == step && matches!(before, Before::ToDo(_)))
    }

    /// # Errors
    /// `Refused` for a flash without a card, where no terminal can ask for one.
    pub fn check(&self, args: &Up) -> Result<()> {
        if self.has_to_do(Step::Flash) && args.device.is_none() && !args.write.dry_run && !ui::can_ask() {
            bail!(
                Refused(NotConfirmed), "{} has to be flashed, and no card is named", self.host;
                hint: "name the card behind the host, as `cargo xtask devices` lists it; or run the command on a terminal"
            );
        }
        Ok(())
    }

    /// Whether no step is left that changes anything.
    pub fn is_done(&self) -> bool {
        self.left().next().is_none()
    }

    /// The steps that are left to do, but the status, which changes nothing.
    fn left(&self) -> impl Iterator<Item = Step> {
        let steps = self.steps.iter().map(|(step, _)| *step);
        steps.filter(|step| *step != Step::Status && self.has_to_do(*step))
    }

    /// One line that says what is left to do.
    pub fn summary(&self) -> String {
        match &self.left().map(|step| step.to_string()).collect::<Vec<_>>()[..] {
            [] => format!("{} is up: nothing to do", self.host),
            left => format!("left to do for {}: {}", self.host, left.join(", ")),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "up {}", self.host)?;
        for (step, before) in &self.steps {
            let (state, text) = match before {
                Before::ToDo(text) => ("to do", text.as_str()),
                Before::Done(text) => ("done", text.as_str()),
                Before::Skipped => ("skipped", ""),
            };
            let line = format!("  {step:<10}  {state:<7}  {text}");
            write!(f, "\n{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Why no card is flashed; `None` where one is.
fn reason_against_flash(args: &Up, facts: &Facts) -> Option<String> {
    if args.flash {
        return None;
    }
    match (&facts.flash, facts.answer()) {
        (LastFlash::Whole(time), _) => Some(format!("card written {time}")),
        (_, Answer::Current | Answer::Differs) => Some(format!("{} runs", facts.host)),
        (_, Answer::Refuses) => Some(format!("{} answers", facts.host)),
        (_, Answer::None) => None,
    }
}

/// What is left of the deploy. After a flash the host runs another card than it does now.
fn deploy(args: &Up, facts: &Facts, will_flash: bool) -> Before {
    let wait = || format!("waits up to {} min for {}", args.wait, facts.host);
    match facts.answer() {
        _ if will_flash => Before::ToDo(wait()),
        Answer::Current => Before::Done(format!("{} runs the system of the flake", facts.host)),
        Answer::Differs => Before::ToDo(format!("{} runs another system", facts.host)),
        Answer::Refuses => Before::ToDo(facts.refusal().unwrap_or_default()),
        Answer::None => Before::ToDo(wait()),
    }
}

/// What a step will do.
fn intention(step: Step, args: &Up, facts: &Facts) -> String {
    match (step, &facts.flash, &args.device) {
        (Step::LoginKeys, _, _) => "checked before the build".to_owned(),
        (Step::Card, _, Some(device)) => device.display().to_string(),
        (Step::Card, _, None) => "one that you pick or insert".to_owned(),
        (Step::Flash, LastFlash::Broken(time), _) => format!("again: broken off on {time}"),
        _ => String::new(),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
