//! Writes events to the log of the run, before another reporter renders them.

use std::sync::Arc;

use super::bars::line_of;
use super::command_line::{self, command_line};
use crate::base::run_log::RunLog;
use crate::base::{Event, Reporter, Subject};

/// A reporter that logs all events and passes them on to another reporter.
pub struct LogReporter {
    log: Arc<RunLog>,
    reporter: Arc<dyn Reporter>,
}

impl LogReporter {
    pub fn new(log: Arc<RunLog>, reporter: Arc<dyn Reporter>) -> Self {
        Self { log, reporter }
    }

    fn log(&self, subject: Option<&Subject>, event: &Event) {
        let subject = subject.map(|subject| format!("{subject}: ")).unwrap_or_default();
        let line = |text: String| self.log.line(&format!("{subject}{text}"));
        match event {
            Event::ChildStarted { child, argv } => {
                self.log.child_line(&format!(
                    "{subject}[{child}] $ {}",
                    command_line(argv, command_line::LOGGED)
                ));
            }
            Event::ChildLine { child, text } => line(format!("[{child}] {text}")),
            Event::ChildEnded { child, exit_code, seconds } => {
                let code =
                    exit_code.map_or_else(|| "no exit code".to_owned(), |code| format!("exit code {code}"));
                line(format!("[{child}] {code} after {seconds:.3} s"));
            }
            Event::Phase { name, .. } => line(format!("{name} begins")),
            Event::PhaseEnded { name: Some(name) } => line(format!("{name} ended")),
            Event::Output { task: Some(_), source, text } => {
                line(format!("{}> {text}", source.as_deref().unwrap_or_default()));
            }
            // The lines of a child are logged already.
            Event::Output { .. }
            | Event::Tail { .. }
            | Event::Progress { .. }
            | Event::LogFile { .. }
            | Event::PhaseEnded { name: None }
            | Event::TaskEnded { .. } => {}
            Event::Failed(error) => line(format!("error: {}", error.message)),
            other => {
                for text in line_of(other).iter().flat_map(|text| text.split('\n')) {
                    line(text.to_owned());
                }
            }
        }
    }
}

impl Reporter for LogReporter {
    fn report(&self, event: &Event) {
        self.log(None, event);
        self.reporter.report(event);
    }

    fn report_for(&self, subject: &Subject, event: &Event) {
        self.log(Some(subject), event);
        self.reporter.report_for(subject, event);
    }

    fn warn_once(&self, text: &str) {
        self.log(None, &Event::warning(text));
        self.reporter.warn_once(text);
    }

    fn report_progress(&self) {
        self.reporter.report_progress();
    }
}
