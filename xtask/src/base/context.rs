//! The context of every command: the flake, the launcher of child processes and the reporter.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::host_name::HostName;
use crate::base::process::Launcher;
use crate::base::run_log::RunLog;
use crate::base::{Approver, Event, FlakeRef, Reporter, RunningPhase, Subject, SubjectReporter};

/// The context of a command, made once at its start.
pub struct Context {
    pub flake: FlakeRef,
    /// The state folder of the flake.
    pub state: PathBuf,
    /// Whether the user trusts the flake with ssh options that run programs on this machine.
    pub trust_flake: bool,
    /// Whether results and events are JSON (`--json`).
    pub json: bool,
    pub launcher: Launcher,
    pub reporter: Arc<dyn Reporter>,
    /// Who answers the questions of domains.
    pub approver: Arc<dyn Approver>,
    /// The log of the run.
    pub log: Arc<RunLog>,
}

impl Context {
    /// The same context for one of several hosts: its events name the host.
    #[must_use]
    pub fn for_host(&self, host: &HostName) -> Self {
        self.for_subject(Subject::Host(host.to_owned()))
    }

    /// The same context for one of several hosts or cards: its events name the `subject`.
    #[must_use]
    pub fn for_subject(&self, subject: Subject) -> Self {
        self.with_reporter(Arc::new(SubjectReporter { subject, reporter: self.reporter.clone() }))
    }

    /// The same context with another reporter.
    #[must_use]
    pub fn with_reporter(&self, reporter: Arc<dyn Reporter>) -> Self {
        Self {
            flake: self.flake.clone(),
            state: self.state.clone(),
            trust_flake: self.trust_flake,
            json: self.json,
            launcher: self.launcher.clone().with_reporter(&reporter),
            reporter,
            approver: self.approver.clone(),
            log: self.log.clone(),
        }
    }

    /// The same context for another flake, or another version of the flake.
    #[must_use]
    pub fn with_flake(&self, flake: FlakeRef) -> Self {
        Self { flake, ..self.with_reporter(self.reporter.clone()) }
    }

    pub fn note(&self, text: impl Into<String>) {
        self.reporter.report(&Event::note(text));
    }

    pub fn warn(&self, text: impl Into<String>) {
        self.reporter.report(&Event::warning(text));
    }

    /// Warns of `error`, with its hint.
    pub fn warn_of(&self, error: &anyhow::Error) {
        self.reporter.report(&Event::warning_of(error));
    }

    /// Reports a plan: each line as a note, or with `--json` the whole plan as an event with the `facts`, which
    /// `PlanFacts` of the commands describes. All lines begin at the left edge, so the plan must escape its foreign
    /// values by [`Plain`](crate::base::Plain).
    pub fn show_plan(&self, plan: &impl Display, facts: &impl Serialize) {
        let text = plan.to_string();
        if self.json {
            return self.reporter.report(&Event::plan(text, facts));
        }
        text.lines().for_each(|line| self.note(line));
    }

    /// Like [`Self::show_plan`], for a plan whose first line alone begins at the left edge.
    pub fn note_plan(&self, plan: &impl Display, facts: &impl Serialize) {
        let text = plan.to_string();
        self.reporter.report(&if self.json { Event::plan(text, facts) } else { Event::note(text) });
    }

    /// Runs `work` as the phase `phase`, and returns what `work` returns. The events of the phase have no progress and
    /// no result.
    pub fn in_phase<T>(&self, phase: &str, work: impl FnOnce() -> T) -> T {
        let _running = RunningPhase::begin(self.reporter.as_ref(), phase);
        work()
    }
}
