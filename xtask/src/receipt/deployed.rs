//! The receipt of a deploy.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::failure::{ExitKind, kind};
use crate::base::{FlakeRef, HostName, Timestamp, Tone};
use crate::deploy::{DecisionOutcome, Outcome, Plan, ReleaseMark, Timings, Verdict};
use crate::nix::Revision;

/// A deploy: the host, its systems before and after, and the verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Deployed {
    /// When the deploy ended.
    // Receipts of earlier versions have the aliases, here and below.
    #[serde(rename = "time", alias = "when")]
    pub when: Timestamp,
    pub host: HostName,
    pub flake: String,
    /// The git revision of the flake. Receipts of earlier versions do not have it.
    #[serde(default)]
    pub revision: Option<Revision>,
    /// The release that was deployed; `None` for a deploy of the flake. Receipts of earlier versions do not have it.
    #[serde(default)]
    pub release: Option<ReleaseMark>,
    /// Whether the command was `rollback`. Receipts of earlier versions do not have it.
    #[serde(default, rename = "rollback")]
    pub is_rollback: bool,
    /// The system that the host ran before the deploy, or its system profile; `None` if unknown. For a decision about a
    /// trial, the blessed system.
    #[serde(rename = "system_before", alias = "from")]
    pub from: Option<String>,
    /// The desired system, or the desired profile if the flake has no system.
    #[serde(rename = "system", alias = "to")]
    pub to: String,
    /// The verdict, as in `deploy --json`; `unreachable` or `undecided` if the state of the host could not be read at
    /// the end.
    pub verdict: String,
    pub exit_code: u8,
    /// Whether the user stopped the run. Receipts of earlier versions do not have it.
    #[serde(default, rename = "stopped")]
    pub is_stopped: bool,
    /// The reason why the host went back from the desired system, if known.
    #[serde(default)]
    pub reason: Option<String>,
    /// The durations of the phases.
    #[serde(rename = "phases", alias = "seconds")]
    pub seconds: Timings,
}

/// The command that deploys.
#[derive(Clone, Copy, Debug)]
pub struct DeployCommand<'a> {
    /// The flake that receipts name. What is deployed may be an older revision of it.
    pub flake: &'a FlakeRef,
    /// Whether the command is `rollback`.
    pub is_rollback: bool,
}

impl<'a> DeployCommand<'a> {
    /// A deploy of `flake`.
    pub fn deploy(flake: &'a FlakeRef) -> Self {
        Self { flake, is_rollback: false }
    }

    /// A rollback to an older revision of `flake`.
    pub fn rollback(flake: &'a FlakeRef) -> Self {
        Self { flake, is_rollback: true }
    }
}

impl Deployed {
    /// The receipt of a deploy by `command` that is about to begin, without a verdict.
    pub fn begin(command: &DeployCommand, plan: &Plan) -> Self {
        let target = &plan.target;
        let before = &plan.before;
        Self {
            when: Timestamp::now(),
            host: target.host.clone(),
            flake: command.flake.to_string(),
            is_rollback: command.is_rollback,
            revision: target.revision.clone(),
            release: target.release.clone(),
            from: before.current.as_ref().or(before.profile.as_ref()).map(ToString::to_string),
            to: target.named_path().to_string(),
            verdict: String::new(),
            exit_code: 0,
            is_stopped: false,
            reason: None,
            seconds: plan.timings.clone(),
        }
    }

    /// The receipt of a decision about a trial.
    pub fn of_decision(flake: &FlakeRef, outcome: &DecisionOutcome) -> Self {
        let plan = &outcome.plan;
        Self {
            when: Timestamp::now(),
            host: plan.target.host.clone(),
            flake: flake.to_string(),
            revision: None,
            release: None,
            is_rollback: false,
            from: plan.blessed().map(ToString::to_string),
            to: plan.system.to_string(),
            verdict: outcome.verdict_name(),
            exit_code: 0,
            is_stopped: false,
            reason: None,
            seconds: Timings::default(),
        }
    }

    /// Whether the deploy changed nothing: the host was as desired before.
    pub fn is_no_op(&self) -> bool {
        ["already_current", "already_blessed"].contains(&self.verdict.as_str())
    }

    /// What the verdict means to the user. One of another version counts by its exit code.
    pub fn tone(&self) -> Tone {
        match Verdict::from_name(&self.verdict) {
            _ if self.exit_code != 0 => Tone::Bad,
            verdict => verdict.map_or(Tone::Good, Verdict::tone),
        }
    }

    /// The verdict for people, such as `rolled back`.
    pub fn verdict_words(&self) -> String {
        let is_gone_back = Verdict::from_name(&self.verdict) == Some(Verdict::RolledBack);
        let stopped = if self.is_stopped && is_gone_back { ": stopped" } else { "" };
        format!("{}{stopped}", self.verdict.replace('_', " "))
    }

    /// Whether the host runs what was deployed, and nothing else is to say of it.
    pub fn is_plain_success(&self) -> bool {
        self.tone() == Tone::Good && Verdict::from_name(&self.verdict) != Some(Verdict::Ready)
    }

    /// The receipt with the `result` of the deploy. `None` where the deploy ended without a verdict: with an error
    /// other than that of a host that is unreachable, or whose state is undecided.
    pub fn with_result(self, result: &anyhow::Result<Outcome>) -> Option<Self> {
        let when = Timestamp::now();
        match result {
            Ok(outcome) => Some(Self {
                when,
                verdict: outcome.verdict_name(),
                exit_code: outcome.exit_code(),
                is_stopped: outcome.is_stopped(),
                reason: outcome.trial_reason(),
                seconds: outcome.plan.timings.clone(),
                ..self
            }),
            Err(error) => {
                let verdict = match kind(error) {
                    ExitKind::Unreachable => "unreachable",
                    ExitKind::Undecided => "undecided",
                    _ => return None,
                };
                Some(Self { when, verdict: verdict.into(), exit_code: kind(error).code(), ..self })
            }
        }
    }
}

impl fmt::Display for Deployed {
    /// `deployed 2026-11-25 12:00 UTC: done, /nix/store/…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "deployed {}: {}, {}", self.when, self.verdict_words(), self.to)
    }
}
