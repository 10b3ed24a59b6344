//! What leaves report while they work. They never print; a [`Reporter`] renders.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::chunk_map::ChunkRun;

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
    Over,
    /// What became of each MiB of the image, in order.
    Map { runs: Vec<ChunkRun> },
    /// The work has ended in failure; the exit code says of which kind.
    Failed { code: u8, message: String },
}

impl Event {
    pub fn note(text: impl Into<String>) -> Self {
        Self::Note { text: text.into() }
    }

    pub fn warning(text: impl Into<String>) -> Self {
        Self::Warning { text: text.into() }
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
    fn the_line_format() {
        let event = Event::Phase { name: "write".into(), total: Some(7), bytes: true };
        let line = r#"{"event":"phase","name":"write","total":7,"bytes":true}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
        assert_eq!(serde_json::from_str::<Event>(line).unwrap(), event);
    }
}
