//! The bar of the running phase on a terminal.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::bar_terminal;
use super::layout;
use super::phase_state::PhaseState;
use super::task_board::TaskBoard;
use crate::base::{Event, escape};

/// The bar of a phase.
pub(super) struct PhaseBar {
    /// Draws the line, which is its message, and knows how to erase it.
    pub(super) bar: ProgressBar,
    /// The lines of the bar and of the tasks below it.
    display: MultiProgress,
    tasks: TaskBoard,
    state: PhaseState,
}

impl PhaseBar {
    /// Shows the bar of the phase `name`. `total` is in bytes if `is_in_bytes` is set, else in steps; `None`: unknown.
    pub(super) fn new(name: &str, total: Option<u64>, is_in_bytes: bool) -> Self {
        let display = MultiProgress::with_draw_target(bar_terminal::draw_target());
        let bar = display.add(ProgressBar::new_spinner());
        bar.set_style(message_alone());
        let state = PhaseState::new(escape::line(name), total, is_in_bytes);
        let mut phase_bar = Self { bar, display, tasks: TaskBoard::default(), state };
        phase_bar.draw();
        phase_bar
    }

    /// Draws the line for the current width of the terminal.
    pub(super) fn draw(&mut self) {
        // This draws the line, even if the text is the same.
        self.bar.set_message(self.state.line(layout::width()));
    }

    /// Shows an event of the phase.
    pub(super) fn show(&mut self, event: &Event) {
        match event {
            Event::Progress { done, total, detail } => self.advance(*done, *total, detail.as_deref()),
            Event::Step { text } => self.show_step(text),
            // The time that later phases will take for these bytes is shown from the next drawing on.
            Event::Ahead { bytes } => self.state.ahead = Some(*bytes),
            Event::TaskStarted { .. } | Event::TaskEnded { .. } | Event::Output { .. } => {
                self.show_task(event);
            }
            _ => {}
        }
    }

    fn show_step(&mut self, text: &str) {
        self.state.message = escape::line(text);
        self.draw();
    }

    /// Shows the progress.
    fn advance(&mut self, done: u64, total: Option<u64>, detail: Option<&str>) {
        self.state.advance(done, total);
        if let Some(detail) = detail {
            self.state.message = escape::log(detail);
        }
        self.draw();
    }

    /// Shows the event of a task, or the last line of a child without tasks.
    fn show_task(&mut self, event: &Event) {
        match event {
            Event::Output { task: None, text, .. } => self.show_step(text),
            event => self.tasks.report(&self.display, event),
        }
    }

    /// Lets `print` print lines above the bar.
    pub(super) fn print_above(&self, print: impl FnOnce()) {
        self.display.suspend(print);
    }

    /// Erases the bar while another phase runs inside of this one.
    pub(super) fn hide(&mut self) {
        self.tasks.clear();
        // Where the bar cannot be erased, nothing can be drawn.
        let _ = self.display.clear();
        self.display.set_draw_target(ProgressDrawTarget::hidden());
    }

    /// Draws the bar again after [`Self::hide`].
    pub(super) fn show_again(&mut self) {
        self.display.set_draw_target(bar_terminal::draw_target());
        self.draw();
    }

    /// Erases the bar and the lines of the tasks.
    pub(super) fn clear(mut self) {
        self.tasks.clear();
        self.bar.finish_and_clear();
    }
}

/// The style of a line that is its message.
pub(super) fn message_alone() -> ProgressStyle {
    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar())
}
