//! A phase that moves bytes, as a series of events.

use std::time::{Duration, Instant};

use super::event::{Event, Reporter};

/// The interval between two progress events; more events would only cost their readers time.
const INTERVAL: Duration = Duration::from_millis(250);

/// Reports the beginning, the progress and the end of one phase.
pub struct Phase<'a> {
    reporter: &'a dyn Reporter,
    name: &'static str,
    start: Instant,
    /// When the last progress was reported.
    last: Instant,
    /// The bytes that are moved already.
    done: u64,
    /// The bytes that later phases will move; `None` while unknown.
    ahead: Option<u64>,
    has_ended: bool,
}

impl<'a> Phase<'a> {
    /// Begins the phase `name`, which moves `total` bytes; `None` where the total is unknown.
    pub fn begin(reporter: &'a dyn Reporter, name: &'static str, total: Option<u64>) -> Self {
        reporter.report(&Event::Phase { name: name.into(), total, is_in_bytes: true });
        let now = Instant::now();
        Self { reporter, name, start: now, last: now, done: 0, ahead: None, has_ended: false }
    }

    /// Counts `bytes` more bytes as moved.
    pub fn advance(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.last.elapsed() >= INTERVAL {
            self.last = Instant::now();
            self.reporter.report(&Event::Progress { done: self.done, total: None, detail: None });
            if let Some(bytes) = self.ahead {
                self.reporter.report(&Event::Ahead { bytes });
            }
        }
    }

    /// Expects that later phases will move about `bytes`; the next progress reports it.
    pub fn expect_ahead(&mut self, bytes: u64) {
        self.ahead = Some(bytes);
    }

    /// Ends the phase and returns its duration in seconds.
    pub fn end(mut self) -> f64 {
        self.has_ended = true;
        let seconds = self.start.elapsed().as_secs_f64();
        self.reporter.report(&Event::Done {
            name: self.name.into(),
            amount: self.done,
            is_in_bytes: true,
            seconds,
        });
        seconds
    }
}

impl Drop for Phase<'_> {
    /// Reports how far the phase got, if it ends without [`Self::end`] and has moved any bytes.
    fn drop(&mut self) {
        if !self.has_ended && self.done > 0 {
            self.reporter.report(&Event::Progress { done: self.done, total: None, detail: None });
        }
    }
}
