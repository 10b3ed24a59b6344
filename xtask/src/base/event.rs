//! Events that domains report while they work. Domains never print; a [`Reporter`] renders.

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::chunk_map::ChunkRun;
use super::error_report::ErrorReport;
use super::error_text::without_numbers;
use super::failure;
use super::subject::Subject;
use super::table::Tone;
use super::unit;

/// An event of a command. Also the line format of `--json` and of the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A fact.
    Note {
        text: String,
    },
    /// A fact that the user should act on; the work continues.
    Warning {
        text: String,
        /// The remedy.
        hint: Option<String>,
    },
    /// What the command is about to do, as text and as data.
    Plan {
        text: String,
        plan: serde_json::Value,
    },
    /// How the work on one of several hosts has ended.
    Verdict {
        text: String,
        tone: Tone,
    },
    /// One line of the output of a child process.
    Log {
        text: String,
    },
    /// A task of the running phase begins, such as a build. Several may run at a time.
    TaskStarted {
        task: u64,
        text: String,
        #[serde(rename = "emulated")]
        is_emulated: bool,
    },
    TaskEnded {
        task: u64,
    },
    /// One line of the output of a child process, or of its `task`, which `source` names. Shown while it is the last
    /// one, or with `--verbose`.
    Output {
        task: Option<u64>,
        source: Option<String>,
        text: String,
    },
    /// The last lines of a child process that failed, for a user who did not see them.
    Tail {
        lines: Vec<String>,
    },
    /// A child process begins. Secrets among its arguments are redacted.
    ChildStarted {
        child: u64,
        argv: Vec<String>,
    },
    /// One line of the stderr of a child process, for the log of the run alone.
    ChildLine {
        child: u64,
        text: String,
    },
    /// A child process has ended; `exit_code` is unknown where it could not be started or waited for, or goes
    /// on after the run.
    ChildEnded {
        child: u64,
        exit_code: Option<i32>,
        seconds: f64,
    },
    /// The file with the log of this run, which has failed.
    LogFile {
        path: PathBuf,
    },
    /// A phase begins. `total` is in bytes for phases that move bytes, else a count.
    Phase {
        name: String,
        total: Option<u64>,
        #[serde(rename = "unit", with = "unit")]
        #[schemars(with = "unit::Unit")]
        is_in_bytes: bool,
    },
    /// The current phase begins its next step.
    Step {
        text: String,
    },
    /// The progress of the current phase; `detail` is transient.
    Progress {
        done: u64,
        total: Option<u64>,
        detail: Option<String>,
    },
    /// Later phases of the same work will move about `bytes`; 0: the current phase is the last that moves many.
    Ahead {
        bytes: u64,
    },
    /// The phase `name` has ended after `seconds`; `amount` is in bytes for phases that move bytes, else a count.
    Done {
        name: String,
        amount: u64,
        #[serde(rename = "unit", with = "unit")]
        #[schemars(with = "unit::Unit")]
        is_in_bytes: bool,
        seconds: f64,
    },
    /// The result of the check `name`; if a phase has this name, it has ended.
    Found {
        name: String,
        text: String,
    },
    /// The phase `name` has ended; without a name, which programs never read, all phases of the host or the card.
    PhaseEnded {
        name: Option<String>,
    },
    /// The chunk map of the card: the state of each MiB of the image, in order.
    Map {
        runs: Vec<ChunkRun>,
    },
    /// The work has failed.
    Failed(ErrorReport),
}

impl Event {
    pub fn note(text: impl Into<String>) -> Self {
        Self::Note { text: text.into() }
    }

    pub fn warning(text: impl Into<String>) -> Self {
        Self::Warning { text: without_numbers(&text.into()), hint: None }
    }

    pub fn warning_with_hint(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Warning { text: without_numbers(&text.into()), hint: Some(hint.into()) }
    }

    /// The event of the plan with this `text` and these `facts`, which the schema of events describes.
    pub fn plan(text: impl Into<String>, facts: &impl Serialize) -> Self {
        Self::Plan { text: text.into(), plan: serde_json::to_value(facts).unwrap_or_default() }
    }

    /// The warning of `error`, which ends less than the command.
    pub fn warning_of(error: &anyhow::Error) -> Self {
        let reasons = failure::listed_reasons(error).iter().map(|reason| format!("\n  - {reason}"));
        let text = format!("{}{}", failure::text(error), reasons.collect::<String>());
        Self::Warning { text, hint: failure::hint(error).map(str::to_owned) }
    }

    /// The event of work that failed with `error`.
    pub fn failed(error: &anyhow::Error) -> Self {
        Self::Failed(ErrorReport::of(error))
    }

    /// The error that [`Self::failed`] made this event of; any other event comes back as `Err`.
    pub fn into_error(self) -> Result<anyhow::Error, Self> {
        match self {
            Self::Failed(report) => Ok(report.into_error()),
            other => Err(other),
        }
    }

    pub fn log(text: impl Into<String>) -> Self {
        Self::Log { text: text.into() }
    }

    /// A line of the output of a child that has no tasks.
    pub fn output(text: impl Into<String>) -> Self {
        Self::Output { task: None, source: None, text: text.into() }
    }
}

/// Renders events. Threads share a reporter.
pub trait Reporter: Send + Sync {
    fn report(&self, event: &Event);

    /// Renders an event of `subject`, one of the hosts or cards that a command works on in parallel. The default
    /// renders it without the subject.
    fn report_for(&self, _subject: &Subject, event: &Event) {
        self.report(event);
    }

    /// Reports a warning that is the same for several hosts or cards: without one, and only the first time. The default
    /// reports it each time.
    fn warn_once(&self, text: &str) {
        self.report(&Event::warning(text));
    }

    /// Shows how far the running phases are. Called when the user asks for it.
    fn report_progress(&self) {}
}

/// A reporter for one of several hosts or cards: it adds the subject to each event but those of
/// [`Reporter::report_for`], which name one, and of [`Reporter::warn_once`].
pub struct SubjectReporter {
    pub subject: Subject,
    pub reporter: Arc<dyn Reporter>,
}

impl Reporter for SubjectReporter {
    fn report(&self, event: &Event) {
        self.reporter.report_for(&self.subject, event);
    }

    fn report_for(&self, subject: &Subject, event: &Event) {
        self.reporter.report_for(subject, event);
    }

    fn warn_once(&self, text: &str) {
        self.reporter.warn_once(text);
    }

    fn report_progress(&self) {
        self.reporter.report_progress();
    }
}

/// A reporter that discards events.
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _: &Event) {}
}

/// A reporter that keeps events, for tests.
#[cfg(test)]
#[derive(Default)]
pub struct Recorder(std::sync::Mutex<Vec<Event>>);

#[cfg(test)]
impl Recorder {
    /// The events so far, in order.
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
impl Reporter for Recorder {
    fn report(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_as_an_event() {
        let event = Event::failed(&crate::failure!(Io, "no"));
        let line = r#"{"event":"failed","code":5,"kind":"io","message":"no","hint":null,"reasons":[]}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
        assert_eq!(serde_json::from_str::<Event>(line).unwrap().into_error().unwrap().to_string(), "no");
    }

    #[test]
    fn an_event_of_another_kind_is_no_error() {
        assert_eq!(Event::note("a").into_error().unwrap_err(), Event::note("a"));
    }

    #[test]
    fn an_event_is_one_line_of_json() {
        let event = Event::Phase { name: "write".into(), total: Some(7), is_in_bytes: true };
        let line = r#"{"event":"phase","name":"write","total":7,"unit":"bytes"}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
        assert_eq!(serde_json::from_str::<Event>(line).unwrap(), event);
    }
}
