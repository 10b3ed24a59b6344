//! How far a running phase is, and its line.

use std::time::Instant;

use super::charset::Charset;
use super::layout::{self, Amount, BarLine};

/// How many seconds of the past count most for the rate: a card writes in bursts.
const RATE_MEMORY: f64 = 5.0;

/// How far a phase is.
pub(super) struct PhaseState {
    /// Escaped.
    name: String,
    amount: Amount,
    done: u64,
    total: Option<u64>,
    /// The bytes that later phases will move; `None` while unknown.
    pub(super) ahead: Option<u64>,
    /// The current step, or what a child prints; escaped.
    pub(super) message: String,
    rate: Rate,
    since: Instant,
}

impl PhaseState {
    /// The phase `name`, which begins now. `total` is in bytes if `is_in_bytes` is set, else in steps; `None`: unknown.
    pub(super) fn new(name: String, total: Option<u64>, is_in_bytes: bool) -> Self {
        Self {
            name,
            amount: if is_in_bytes { Amount::Bytes } else { Amount::Steps },
            done: 0,
            total,
            ahead: None,
            message: String::new(),
            rate: Rate::default(),
            since: Instant::now(),
        }
    }

    /// Counts that the phase has reached `done`.
    pub(super) fn advance(&mut self, done: u64, total: Option<u64>) {
        self.rate.add(done, self.since.elapsed().as_secs_f64());
        self.done = done;
        self.total = total.or(self.total);
    }

    /// The painted line in at most `width` columns.
    pub(super) fn line(&self, width: usize) -> String {
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
        layout::painted(&line.text(width, Charset::of_locale()), &self.name)
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
