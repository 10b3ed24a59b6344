//! The phases that run on a terminal, one inside another: the innermost has its bar on the screen.

use super::phase_bar::PhaseBar;
use crate::base::Event;

/// The running phases with their bars, the outermost first.
#[derive(Default)]
pub(super) struct OpenPhases(Vec<(String, PhaseBar)>);

impl OpenPhases {
    /// Begins the phase `name` inside of those that run, whose bars it hides.
    pub(super) fn begin(&mut self, name: &str, total: Option<u64>, is_in_bytes: bool) {
        if let Some(outer) = self.innermost() {
            outer.hide();
        }
        self.0.push((name.to_owned(), PhaseBar::new(name, total, is_in_bytes)));
    }

    /// Ends the phase `name` with those inside of it. The phase outside of it shows its bar again.
    pub(super) fn end(&mut self, name: &str) {
        let Some(position) = self.0.iter().rposition(|(running, _)| running == name) else { return };
        self.0.drain(position..).rev().for_each(|(_, bar)| bar.clear());
        if let Some(outer) = self.innermost() {
            outer.show_again();
        }
    }

    /// Shows the event of the innermost phase.
    pub(super) fn show(&mut self, event: &Event) {
        if let Some(innermost) = self.innermost() {
            innermost.show(event);
        }
    }

    pub(super) fn end_all(&mut self) {
        self.0.drain(..).rev().for_each(|(_, bar)| bar.clear());
    }

    pub(super) fn innermost(&mut self) -> Option<&mut PhaseBar> {
        self.0.last_mut().map(|(_, bar)| bar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn innermost(phases: &OpenPhases) -> Option<&str> {
        phases.0.last().map(|(name, _)| name.as_str())
    }

    #[test]
    fn the_end_of_a_phase_shows_that_outside_of_it_again() {
        let mut phases = OpenPhases::default();
        for name in ["query", "evaluate", "fetch"] {
            phases.begin(name, None, false);
        }
        phases.end("build");
        assert_eq!(innermost(&phases), Some("fetch"));
        phases.end("evaluate");
        assert_eq!(innermost(&phases), Some("query"));
        phases.end_all();
        assert_eq!(innermost(&phases), None);
    }
}
