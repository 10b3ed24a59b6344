//! Phases as series of events: each that begins also ends, whatever becomes of its work.

use std::time::{Duration, Instant};

use super::event::{Event, Reporter};

/// The interval between two progress events; more events would only cost their readers time.
const INTERVAL: Duration = Duration::from_millis(250);

/// A phase that runs. Dropping this value ends the phase without a result.
pub struct RunningPhase<'a> {
    reporter: &'a dyn Reporter,
    name: String,
    is_in_bytes: bool,
    begin: Instant,
    has_ended: bool,
}

impl<'a> RunningPhase<'a> {
    /// Begins the phase `name`, whose end is unknown.
    pub fn begin(reporter: &'a dyn Reporter, name: impl Into<String>) -> Self {
        Self::begin_with(reporter, name, None, false)
    }

    /// Begins the phase `name` of `total` steps, or bytes if `is_in_bytes` is set; `None` where the total is unknown.
    pub fn begin_with(
        reporter: &'a dyn Reporter,
        name: impl Into<String>,
        total: Option<u64>,
        is_in_bytes: bool,
    ) -> Self {
        let name = name.into();
        reporter.report(&Event::Phase { name: name.clone(), total, is_in_bytes });
        Self { reporter, name, is_in_bytes, begin: Instant::now(), has_ended: false }
    }

    /// The duration so far, in seconds.
    pub fn seconds(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    /// Ends the phase, which has moved `amount` bytes or done as many steps. Returns its duration in seconds.
    pub fn end(mut self, amount: u64) -> f64 {
        self.finish(amount)
    }

    fn finish(&mut self, amount: u64) -> f64 {
        self.has_ended = true;
        let seconds = self.seconds();
        let name = self.name.clone();
        self.reporter.report(&Event::Done { name, amount, is_in_bytes: self.is_in_bytes, seconds });
        seconds
    }

    /// Ends the phase with the result `text`.
    pub fn end_with(mut self, text: impl Into<String>) {
        self.has_ended = true;
        self.reporter.report(&Event::Found { name: self.name.clone(), text: text.into() });
    }
}

impl Drop for RunningPhase<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.reporter.report(&Event::PhaseEnded { name: Some(self.name.clone()) });
        }
    }
}

/// Reports the beginning, the progress and the end of one phase that moves bytes.
pub struct Phase<'a> {
    running: RunningPhase<'a>,
    /// When the last progress was reported.
    last: Instant,
    /// The bytes that are moved already.
    done: u64,
    /// The bytes that later phases will move; `None` while unknown.
    ahead: Option<u64>,
}

impl<'a> Phase<'a> {
    /// Begins the phase `name`, which moves `total` bytes; `None` where the total is unknown.
    pub fn begin(reporter: &'a dyn Reporter, name: &'static str, total: Option<u64>) -> Self {
        let running = RunningPhase::begin_with(reporter, name, total, true);
        Self { running, last: Instant::now(), done: 0, ahead: None }
    }

    /// Counts `bytes` more bytes as moved.
    pub fn advance(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.last.elapsed() >= INTERVAL {
            self.last = Instant::now();
            self.report_progress();
            if let Some(bytes) = self.ahead {
                self.running.reporter.report(&Event::Ahead { bytes });
            }
        }
    }

    fn report_progress(&self) {
        self.running.reporter.report(&Event::Progress { done: self.done, total: None, detail: None });
    }

    /// Expects that later phases will move about `bytes`; the next progress reports it.
    pub fn expect_ahead(&mut self, bytes: u64) {
        self.ahead = Some(bytes);
    }

    /// Ends the phase and returns its duration in seconds.
    pub fn end(mut self) -> f64 {
        self.running.finish(self.done)
    }
}

impl Drop for Phase<'_> {
    /// Reports how far the phase got, if it ends without [`Self::end`] and has moved any bytes.
    fn drop(&mut self) {
        if !self.running.has_ended && self.done > 0 {
            self.report_progress();
        }
    }
}
