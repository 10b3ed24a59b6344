//! What every command is handed: where the flake is, how children run, who renders.

use crate::process::Launcher;
use crate::ui::{Event, Reporter};

/// The surroundings of a command, made once by `main`.
pub struct Context {
    /// The flake reference in Nix's form (`/path` or a URL).
    pub flake: String,
    /// Output for programs instead of people.
    pub json: bool,
    pub launcher: Launcher,
    pub reporter: Box<dyn Reporter>,
}

impl Context {
    pub fn note(&self, text: impl Into<String>) {
        self.reporter.report(&Event::note(text));
    }

    /// Does `work`, which has no progress to show, under the name `phase`.
    pub fn waiting<T>(&self, phase: &str, work: impl FnOnce() -> T) -> T {
        self.reporter.report(&Event::Phase { name: phase.into(), total: None, bytes: false });
        let done = work();
        self.reporter.report(&Event::Over);
        done
    }

    pub fn warn(&self, text: impl Into<String>) {
        self.reporter.report(&Event::warning(text));
    }
}
