//! What every command is handed: where the flake is, how children run, who renders.

use std::fmt::Display;
use std::sync::Arc;

use crate::base::process::Launcher;
use crate::base::{Event, OfHost, Reporter};

/// The surroundings of a command, made once by `main`.
pub struct Context {
    /// The flake reference in Nix's form (`/path` or a URL).
    pub flake: String,
    /// Whether the user trusts the flake with options of ssh that run programs on this machine.
    pub trust_flake: bool,
    /// Output for programs instead of people.
    pub json: bool,
    pub launcher: Launcher,
    pub reporter: Arc<dyn Reporter>,
}

impl Context {
    /// The same surroundings for one of several hosts: what is reported is reported of it.
    #[must_use]
    pub fn of_host(&self, host: &str) -> Self {
        self.reporting_to(Arc::new(OfHost { host: host.to_owned(), reporter: self.reporter.clone() }))
    }

    /// The same surroundings with another renderer.
    #[must_use]
    pub fn reporting_to(&self, reporter: Arc<dyn Reporter>) -> Self {
        Self {
            flake: self.flake.clone(),
            trust_flake: self.trust_flake,
            json: self.json,
            launcher: self.launcher.clone(),
            reporter,
        }
    }

    pub fn note(&self, text: impl Into<String>) {
        self.reporter.report(&Event::note(text));
    }

    /// Reports a plan, whose lines all begin at the left edge: [`Plain`](crate::base::Plain) keeps each foreign
    /// value in its line.
    pub fn plan(&self, plan: &impl Display) {
        let text = plan.to_string();
        if self.json {
            return self.note(text);
        }
        text.lines().for_each(|line| self.note(line));
    }

    /// Does `work`, which has no progress to show, under the name `phase`.
    pub fn waiting<T>(&self, phase: &str, work: impl FnOnce() -> T) -> T {
        self.reporter.report(&Event::Phase { name: phase.into(), total: None, bytes: false });
        let done = work();
        self.reporter.report(&Event::PhaseEnded);
        done
    }

    pub fn warn(&self, text: impl Into<String>) {
        self.reporter.report(&Event::warning(text));
    }
}
