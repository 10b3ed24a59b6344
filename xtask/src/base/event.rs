//! What leaves report while they work. They never print; a [`Reporter`] renders.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::chunk_map::ChunkRun;
use super::failure::{self, ExitKind};

/// One thing that happened. Also the line format of `--json` and of the elevated writer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A fact worth a line of its own.
    Note { text: String },
    /// Something the user should know although the work goes on.
    Warning { text: String },
    /// One line of a child's own output.
    Log { text: String },
    /// A phase begins. `total` is in bytes for phases that move bytes, otherwise a count.
    Phase { name: String, total: Option<u64>, bytes: bool },
    /// The current phase turns to another part of its work.
    Step { text: String },
    /// How far the current phase is; the detail, if any, is of interest for a moment only.
    Progress { done: u64, total: Option<u64>, detail: Option<String> },
    /// The current phase has ended after `seconds`.
    Done { name: String, amount: u64, bytes: bool, seconds: f64 },
    /// What was found out under this name; the current phase, if there is one, has ended.
    Found { name: String, text: String },
    /// The current phase has ended, and there is nothing to say about it.
    #[serde(rename = "over")]
    PhaseEnded,
    /// What became of each MiB of the image, in order.
    Map { runs: Vec<ChunkRun> },
    /// The work has ended in failure; the exit code says of which kind.
    Failed {
        code: u8,
        message: String,
        /// What to do about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}

impl Event {
    pub fn note(text: impl Into<String>) -> Self {
        Self::Note { text: text.into() }
    }

    pub fn warning(text: impl Into<String>) -> Self {
        Self::Warning { text: text.into() }
    }

    /// The end of the work by `error`.
    pub fn failed(error: &anyhow::Error) -> Self {
        let hint = failure::hint(error).map(str::to_owned);
        Self::Failed { code: failure::kind(error).code(), message: format!("{error:#}"), hint }
    }

    /// The error that [`Self::failed`] made this event of, if it did.
    pub fn into_error(self) -> Result<anyhow::Error, Self> {
        match self {
            Self::Failed { code, message, hint: None } => Ok(ExitKind::of_code(code).error(message)),
            Self::Failed { code, message, hint: Some(hint) } => {
                Ok(ExitKind::of_code(code).error_with_hint(message, hint))
            }
            other => Err(other),
        }
    }

    pub fn log(text: impl Into<String>) -> Self {
        Self::Log { text: text.into() }
    }
}

/// Renders events. Shared between threads.
pub trait Reporter: Send + Sync {
    fn report(&self, event: &Event);

    /// Renders what happened with one of several hosts that are worked on side by side.
    fn report_of(&self, _host: &str, event: &Event) {
        self.report(event);
    }
}

/// The part of a reporter that is for one of several hosts.
pub struct OfHost {
    pub host: String,
    pub reporter: Arc<dyn Reporter>,
}

impl Reporter for OfHost {
    fn report(&self, event: &Event) {
        self.reporter.report_of(&self.host, event);
    }

    fn report_of(&self, host: &str, event: &Event) {
        self.reporter.report_of(host, event);
    }
}

/// Says nothing.
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _: &Event) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_as_an_event() {
        for (error, line) in [
            (crate::failure!(Io, "no"), r#"{"event":"failed","code":5,"message":"no"}"#),
            (
                crate::failure!(Refused, "no"; hint: "yes"),
                r#"{"event":"failed","code":3,"message":"no","hint":"yes"}"#,
            ),
        ] {
            let event = Event::failed(&error);
            assert_eq!(serde_json::to_string(&event).unwrap(), line);
            let same = serde_json::from_str::<Event>(line).unwrap().into_error().unwrap();
            assert_eq!(
                (failure::kind(&same), failure::hint(&same)),
                (failure::kind(&error), failure::hint(&error))
            );
            assert_eq!(same.to_string(), error.to_string());
        }
        assert_eq!(Event::note("a").into_error().unwrap_err(), Event::note("a"));
    }

    #[test]
    fn the_line_format() {
        let event = Event::Phase { name: "write".into(), total: Some(7), bytes: true };
        let line = r#"{"event":"phase","name":"write","total":7,"bytes":true}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
        assert_eq!(serde_json::from_str::<Event>(line).unwrap(), event);
    }
}
