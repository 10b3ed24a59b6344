//! The bar of the running phase on a terminal.

use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::bar_terminal;
use super::charset::Charset;
use super::layout::{self, Amount, BarLine};
use super::task_board::TaskBoard;
use crate::base::{Event, escape};

/// How many seconds of the past count most for the rate: a card writes in bursts.
const RATE_MEMORY: f64 = 5.0;

/// The bar of a phase.
pub(super) struct PhaseBar {
    /// Draws the line, which is its message, and knows how to erase it.
    pub(super) bar: ProgressBar,
    /// The lines of the bar and of the tasks below it.
    display: MultiProgress,
    tasks: TaskBoard,
    name: String,
    amount: Amount,
    done: u64,
    total: Option<u64>,
    /// The bytes that later phases will move; `None` while unknown.
    ahead: Option<u64>,
    message: String,
    rate: Rate,
    since: Instant,
}

impl PhaseBar {
    /// Shows the bar of the phase `name`. `total` is in bytes if `is_in_bytes` is set, else in steps; `None`: unknown.
    pub(super) fn new(name: &str, total: Option<u64>, is_in_bytes: bool) -> Self {
        let display = MultiProgress::with_draw_target(bar_terminal::draw_target());
        let bar = display.add(ProgressBar::new_spinner());
        bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
        let mut phase_bar = Self {
            bar,
            display,
            tasks: TaskBoard::default(),
            name: escape::line(name),
            amount: if is_in_bytes { Amount::Bytes } else { Amount::Steps },
            done: 0,
            total,
            ahead: None,
            message: String::new(),
            rate: Rate::default(),
            since: Instant::now(),
        };
        phase_bar.draw();
        phase_bar
    }

    /// Draws the line for the current width of the terminal.
    pub(super) fn draw(&mut self) {
        let width = layout::width();
        let line = BarLine {
            name: &self.name,
            amount: self.amount,
            done: self.done,
            total: self.total,
            seconds: self.since.elapsed().as_secs_f64(),
            rate: self.rate.per_second,
            ahead: self.ahead,
            message: &self.message,
        };
        let text = line.text(width, Charset::of_locale());
        // This draws the line, even if the text is the same.
        self.bar.set_message(layout::painted(&text, &self.name));
    }

    pub(super) fn show_step(&mut self, text: &str) {
        self.message = escape::line(text);
        self.draw();
    }

    /// Shows the progress.
    pub(super) fn advance(&mut self, done: u64, total: Option<u64>, detail: Option<&str>) {
        self.rate.add(done, self.since.elapsed().as_secs_f64());
        self.done = done;
        self.total = total.or(self.total);
        if let Some(detail) = detail {
            self.message = escape::log(detail);
        }
        self.draw();
    }

    /// Shows the time that later phases will take for `bytes`, from the next drawing on.
    pub(super) fn expect_ahead(&mut self, bytes: u64) {
        self.ahead = Some(bytes);
    }

    /// Shows the event of a task, or the last line of a child without tasks.
    pub(super) fn show_task(&mut self, event: &Event) {
        match event {
            Event::Output { task: None, text, .. } => self.show_step(text),
            event => self.tasks.report(&self.display, event),
        }
    }

    /// Lets `print` print lines above the bar.
    pub(super) fn print_above(&self, print: impl FnOnce()) {
        self.display.suspend(print);
    }

    /// Erases the bar and the lines of the tasks.
    pub(super) fn clear(mut self) {
        self.tasks.clear();
        self.bar.finish_and_clear();
    }
}

/// The rate of a phase, smoothed over the last seconds.
#[derive(Default)]
struct Rate {
    per_second: f64,
    done: u64,
    /// When `done` was reached, in seconds of the phase.
    at: f64,
}

impl Rate {
    /// Counts that the phase has reached `done` after `seconds`.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn add(&mut self, done: u64, seconds: f64) {
        let interval = seconds - self.at;
        if interval <= 0.0 {
            return;
        }
        let current = done.saturating_sub(self.done) as f64 / interval;
        let is_first = self.at == 0.0;
        let weight = if is_first { 1.0 } else { 1.0 - (-interval / RATE_MEMORY).exp() };
        self.per_second += (current - self.per_second) * weight;
        self.done = done;
        self.at = seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_the_last_seconds() {
        let mut rate = Rate::default();
        rate.add(100, 1.0);
        assert!((rate.per_second - 100.0).abs() < 0.01);
        for second in 2..40 {
            rate.add(100 + (second - 1) * 10, f64::from(u32::try_from(second).unwrap()));
        }
        assert!((rate.per_second - 10.0).abs() < 0.1, "{}", rate.per_second);
        rate.add(480, 39.0);
        assert!(rate.per_second.is_finite());
    }
}
