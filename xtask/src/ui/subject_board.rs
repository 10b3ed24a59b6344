//! Progress of several hosts or cards in parallel: a line for each.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::bar_terminal;
use super::charset::Charset;
use super::phase_bar::message_alone;
use super::phase_state::PhaseState;
use super::{layout, message};
use crate::base::{Event, Subject, escape};

/// The line of a host: its name, the elapsed time, and its current step.
const TEMPLATE: &str = "{prefix:>10} {spinner} {elapsed} {wide_msg}";

/// The columns before the step, with a name of usual length.
const COLUMNS_BEFORE: usize = 18;

/// The lines of all hosts or cards, below the scrolling output.
pub struct SubjectBoard {
    display: MultiProgress,
    /// The line of each host or card with a running phase.
    pub(super) lines: Mutex<BTreeMap<Subject, Line>>,
}

/// The line of a host or a card.
pub(super) struct Line {
    pub(super) bar: ProgressBar,
    /// The phase of a card, which moves bytes.
    phase: Option<PhaseState>,
}

impl Default for SubjectBoard {
    fn default() -> Self {
        Self {
            display: MultiProgress::with_draw_target(bar_terminal::draw_target()),
            lines: Mutex::default(),
        }
    }
}

impl SubjectBoard {
    /// Shows an event of `subject`; `line`, if there is one, scrolls above the lines of the board.
    pub fn report(&self, subject: &Subject, event: &Event, line: Option<&str>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if ends_line(subject, event) {
            lines.remove(subject).iter().for_each(|line| line.bar.finish_and_clear());
        } else if has_line(subject, event) {
            let index = lines.keys().take_while(|other| *other < subject).count();
            let shown = lines.entry(subject.to_owned()).or_insert_with(|| self.add_line(subject, index));
            shown.show(subject, event);
        }
        if let Some(line) = line {
            self.display.suspend(|| super::bars::print_line(line));
        }
    }

    /// Adds the line of `subject` below `index` others, so that the order stays that of the names.
    fn add_line(&self, subject: &Subject, index: usize) -> Line {
        let bar = self.display.insert(index, ProgressBar::new_spinner());
        if let Subject::Card { .. } = subject {
            bar.set_style(message_alone());
        } else {
            let style =
                ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(Charset::of_locale().apply_to(style));
            bar.set_prefix(escape::line(&subject.to_string()));
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Line { bar, phase: None }
    }
}

/// Whether `event` ends the line of `subject`. A card shows a phase that is done until its next phase.
fn ends_line(subject: &Subject, event: &Event) -> bool {
    matches!(event, Event::PhaseEnded { .. })
        || matches!(event, Event::Done { .. }) && subject.device().is_none()
}

/// Whether `event` changes the line of `subject`, or begins it.
fn has_line(subject: &Subject, event: &Event) -> bool {
    match event {
        Event::Phase { .. } | Event::Step { .. } => true,
        Event::Progress { detail, .. } => detail.is_some() || subject.device().is_some(),
        Event::Log { .. } | Event::TaskStarted { .. } | Event::Output { .. } => subject.device().is_none(),
        Event::Ahead { .. } => subject.device().is_some(),
        _ => false,
    }
}

impl Line {
    /// Shows `event` of `subject`.
    fn show(&mut self, subject: &Subject, event: &Event) {
        if subject.device().is_some() {
            return self.show_of_card(subject, event);
        }
        if let Event::Phase { name: text, .. }
        | Event::Step { text }
        | Event::Log { text }
        | Event::TaskStarted { text, .. }
        | Event::Output { text, .. }
        | Event::Progress { detail: Some(text), .. } = event
        {
            let columns = COLUMNS_BEFORE.max(subject.to_string().chars().count() + 8);
            self.bar.set_message(message::fit(text, columns));
        }
    }

    /// Shows `event` of a card, whose line is like the bar of a phase.
    fn show_of_card(&mut self, subject: &Subject, event: &Event) {
        let name = |phase: &str| escape::line(&format!("{subject} {phase}"));
        match (event, &mut self.phase) {
            (Event::Phase { name: phase, total, is_in_bytes }, _) => {
                self.phase = Some(PhaseState::new(name(phase), *total, *is_in_bytes));
            }
            (Event::Step { text }, Some(phase)) => phase.message = escape::line(text),
            (Event::Progress { done, total, .. }, Some(phase)) => phase.advance(*done, *total),
            (Event::Ahead { bytes }, Some(phase)) => phase.ahead = Some(*bytes),
            _ => {}
        }
        if let Some(phase) = &self.phase {
            self.bar.set_message(phase.line(layout::width()));
        }
    }
}

impl Drop for SubjectBoard {
    /// Clears the lines, also after an error.
    fn drop(&mut self) {
        let lines = self.lines.get_mut().unwrap_or_else(PoisonError::into_inner);
        for line in lines.values() {
            line.bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_host_ends_with_its_phase_and_that_of_a_card_with_the_run() {
        let phase = Event::Phase { name: "check".into(), total: Some(2), is_in_bytes: true };
        let done = Event::Done { name: "check".into(), amount: 2, is_in_bytes: true, seconds: 1.0 };
        let host = Subject::Host("pi".into());
        let card = Subject::Card { device: "/dev/sdb".into(), host: None };
        for (subject, events, is_shown) in [
            (&host, &[&phase][..], true),
            (&host, &[&phase, &done], false),
            (&host, &[&phase, &Event::PhaseEnded { name: None }], false),
            (&host, &[&phase, &done, &phase], true),
            (&card, &[&phase, &done], true),
            (&card, &[&phase, &done, &Event::PhaseEnded { name: None }], false),
        ] {
            let board = SubjectBoard::default();
            for event in events {
                board.report(subject, event, None);
            }
            assert_eq!(board.lines.lock().unwrap().contains_key(subject), is_shown, "{events:?}");
        }
    }
}
