//! Chooses the events that a run shows, by its verbosity.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::{Event, Reporter, Subject, Verbosity};

/// The most events that are kept for a question.
const MAX_HIDDEN: usize = 200;

/// The notes that `--quiet` hid, with the reporter that would have shown them: a question shows them after all, since
/// they are what it is about, such as a plan.
static HIDDEN: Mutex<VecDeque<(Arc<dyn Reporter>, Event)>> = Mutex::new(VecDeque::new());

/// A reporter that passes on the events that the user wants to see.
pub struct Filter {
    pub verbosity: Verbosity,
    /// Whether all lines of builders are shown.
    pub build_logs: bool,
    /// Whether lines of children are events like others, which need no other form to stay (`--json`).
    pub is_json: bool,
    pub reporter: Arc<dyn Reporter>,
}

impl Filter {
    /// The event by which `event` is shown as a line that stays; `None` where it is not.
    fn as_log(&self, event: &Event) -> Option<Event> {
        let Event::Output { task, source, text } = event else { return None };
        let is_shown = match task {
            Some(_) => self.build_logs,
            None => self.verbosity == Verbosity::Verbose,
        };
        let source = source.as_ref().map(|source| format!("{source}> ")).unwrap_or_default();
        (is_shown && !self.is_json).then(|| Event::log(format!("{source}{text}")))
    }

    fn shows(&self, event: &Event) -> bool {
        match event {
            Event::ChildLine { .. } => false,
            // Whoever saw all lines needs no last ones.
            Event::Tail { .. } => self.verbosity != Verbosity::Verbose,
            Event::ChildStarted { .. } | Event::ChildEnded { .. } => self.verbosity == Verbosity::Verbose,
            Event::Warning { .. } | Event::Failed(_) | Event::LogFile { .. } => true,
            _ => self.verbosity != Verbosity::Quiet,
        }
    }
}

impl Reporter for Filter {
    fn report(&self, event: &Event) {
        if let Some(line) = self.as_log(event) {
            self.reporter.report(&line);
        }
        if self.shows(event) {
            self.reporter.report(event);
        } else if let Event::Note { .. } | Event::Plan { .. } = event {
            hide(&self.reporter, event);
        }
    }

    fn report_for(&self, subject: &Subject, event: &Event) {
        if let Some(line) = self.as_log(event) {
            self.reporter.report_for(subject, &line);
        }
        if self.shows(event) {
            self.reporter.report_for(subject, event);
        }
    }
}

fn hide(reporter: &Arc<dyn Reporter>, event: &Event) {
    let mut hidden = HIDDEN.lock().unwrap_or_else(PoisonError::into_inner);
    if hidden.len() == MAX_HIDDEN {
        hidden.pop_front();
    }
    hidden.push_back((reporter.clone(), event.clone()));
}

/// Shows the notes that were hidden so far: the user is about to be asked.
pub fn show_hidden() {
    let hidden = std::mem::take(&mut *HIDDEN.lock().unwrap_or_else(PoisonError::into_inner));
    for (reporter, event) in hidden {
        reporter.report(&event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Recorder;

    #[test]
    fn lines_of_children_stay_where_the_user_wants_them() {
        let child = Event::output("a");
        let builder = Event::Output { task: Some(1), source: Some("x".into()), text: "b".into() };
        let tail = Event::Tail { lines: vec!["a".into()] };
        for (verbosity, build_logs, expected) in [
            (Verbosity::Normal, false, vec![child.clone(), builder.clone(), tail.clone()]),
            (Verbosity::Quiet, false, vec![tail.clone()]),
            (Verbosity::Verbose, false, vec![Event::log("a"), child.clone(), builder.clone()]),
            (Verbosity::Normal, true, vec![child.clone(), Event::log("x> b"), builder.clone(), tail.clone()]),
        ] {
            let recorder = Arc::new(Recorder::default());
            let filter = Filter { verbosity, build_logs, is_json: false, reporter: recorder.clone() };
            for event in [&child, &builder, &tail] {
                filter.report(event);
            }
            assert_eq!(recorder.events(), expected, "{verbosity:?}");
        }
    }

    #[test]
    fn the_verbosity_chooses_and_a_question_shows_what_was_hidden() {
        let started = Event::ChildStarted { child: 1, argv: vec!["nix".into()] };
        let line = Event::ChildLine { child: 1, text: "a".into() };
        let all =
            [Event::note("plan"), Event::warning("hot"), started, line, Event::PhaseEnded { name: None }];
        for (verbosity, expected) in [
            (Verbosity::Verbose, &[0, 1, 2, 4][..]),
            (Verbosity::Normal, &[0, 1, 4]),
            (Verbosity::Quiet, &[1]),
        ] {
            let recorder = Arc::new(Recorder::default());
            let filter = Filter { verbosity, build_logs: false, is_json: false, reporter: recorder.clone() };
            for event in &all {
                filter.report(event);
            }
            let expected = expected.iter().map(|at| all[*at].clone()).collect::<Vec<_>>();
            assert_eq!(recorder.events(), expected, "{verbosity:?}");
            show_hidden();
            assert!(recorder.events().contains(&all[0]), "{verbosity:?}");
        }
    }
}
