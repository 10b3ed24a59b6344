//! Chooses the events that a run shows, by its verbosity.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::{Event, HostName, Reporter, Verbosity};

/// The most events that are kept for a question.
const MAX_HIDDEN: usize = 200;

/// The notes that `--quiet` hid, with the reporter that would have shown them: a question shows them after all, since
/// they are what it is about, such as a plan.
static HIDDEN: Mutex<VecDeque<(Arc<dyn Reporter>, Event)>> = Mutex::new(VecDeque::new());

/// A reporter that passes on the events that the user wants to see.
pub struct Filter {
    pub verbosity: Verbosity,
    pub reporter: Arc<dyn Reporter>,
}

impl Filter {
    fn shows(&self, event: &Event) -> bool {
        match event {
            Event::ChildLine { .. } => false,
            Event::ChildStarted { .. } | Event::ChildEnded { .. } => self.verbosity == Verbosity::Verbose,
            Event::Warning { .. } | Event::Failed(_) | Event::LogFile { .. } => true,
            _ => self.verbosity != Verbosity::Quiet,
        }
    }
}

impl Reporter for Filter {
    fn report(&self, event: &Event) {
        if self.shows(event) {
            self.reporter.report(event);
        } else if let Event::Note { .. } = event {
            hide(&self.reporter, event);
        }
    }

    fn report_for(&self, host: &HostName, event: &Event) {
        if self.shows(event) {
            self.reporter.report_for(host, event);
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

    #[derive(Default)]
    struct Recorder(Mutex<Vec<Event>>);

    impl Reporter for Recorder {
        fn report(&self, event: &Event) {
            self.0.lock().unwrap().push(event.clone());
        }
    }

    #[test]
    fn the_verbosity_chooses_and_a_question_shows_what_was_hidden() {
        let started = Event::ChildStarted { child: 1, argv: vec!["nix".into()] };
        let line = Event::ChildLine { child: 1, text: "a".into() };
        let all = [Event::note("plan"), Event::warning("hot"), started, line, Event::PhaseEnded];
        for (verbosity, expected) in [
            (Verbosity::Verbose, &[0, 1, 2, 4][..]),
            (Verbosity::Normal, &[0, 1, 4]),
            (Verbosity::Quiet, &[1]),
        ] {
            let recorder = Arc::new(Recorder::default());
            let filter = Filter { verbosity, reporter: recorder.clone() };
            for event in &all {
                filter.report(event);
            }
            let expected = expected.iter().map(|at| all[*at].clone()).collect::<Vec<_>>();
            assert_eq!(*recorder.0.lock().unwrap(), expected, "{verbosity:?}");
            show_hidden();
            assert!(recorder.0.lock().unwrap().contains(&all[0]), "{verbosity:?}");
        }
    }
}
