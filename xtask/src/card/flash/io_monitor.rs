//! Monitoring of a card: its read and write rates, and stalls.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{Event, Reporter};

/// How long an operation may take before the watchdog warns of a stall. Healthy cards pause for a second or two for
/// garbage collection.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(5);

/// An operation on a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
    Sync,
}

/// The measured rates of a card in bytes per second; `None` where it was not read or written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rates {
    pub read: Option<u64>,
    /// Including the syncs.
    pub write: Option<u64>,
}

/// An operation that the card has not answered yet.
#[derive(Clone, Copy)]
struct Pending {
    operation: Operation,
    /// The position on the card, in bytes.
    at: u64,
    /// The start of the operation.
    since: Instant,
}

/// The latest warning of a stall.
#[derive(Clone, Copy)]
struct StallWarning {
    /// The start of the operation that stalls.
    since: Instant,
    /// How long the operation had taken at the warning.
    elapsed: Duration,
}

/// The bytes and the time of all reads, or of all writes with the syncs.
#[derive(Default)]
struct Total {
    bytes: AtomicU64,
    nanos: AtomicU64,
}

/// The totals of all operations, and the pending one.
#[derive(Default)]
pub struct IoMonitor {
    pending: Mutex<Option<Pending>>,
    reads: Total,
    writes: Total,
}

impl IoMonitor {
    /// Times one operation on byte `at`; `work` returns how many bytes it moved.
    pub fn time(
        &self,
        operation: Operation,
        at: u64,
        work: impl FnOnce() -> io::Result<usize>,
    ) -> io::Result<usize> {
        let since = Instant::now();
        self.set_pending(Some(Pending { operation, at, since }));
        let moved = work();
        self.set_pending(None);
        let total = if operation == Operation::Read { &self.reads } else { &self.writes };
        let nanos = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        total.nanos.fetch_add(nanos, Ordering::Relaxed);
        total.bytes.fetch_add(moved.as_ref().map_or(0, |bytes| *bytes as u64), Ordering::Relaxed);
        moved
    }

    pub fn rates(&self) -> Rates {
        Rates { read: self.reads.rate(), write: self.writes.rate() }
    }

    fn set_pending(&self, pending: Option<Pending>) {
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = pending;
    }

    fn pending(&self) -> Option<Pending> {
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Total {
    /// The bytes per second; `None` where nothing was moved.
    fn rate(&self) -> Option<u64> {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let nanos = self.nanos.load(Ordering::Relaxed);
        let rate = u128::from(bytes) * 1_000_000_000 / u128::from(nanos.max(1));
        u64::try_from(rate).ok().filter(|rate| *rate > 0)
    }
}

/// Does `work`, and warns while an operation of the card takes longer than `timeout`.
pub fn with_stall_watchdog<T>(
    monitor: &IoMonitor,
    reporter: &dyn Reporter,
    timeout: Duration,
    work: impl FnOnce() -> T,
) -> T {
    std::thread::scope(|scope| {
        let (running, ended) = channel::<()>();
        // Where no thread can be started, the work goes on without a watchdog.
        let _ = std::thread::Builder::new().spawn_scoped(scope, move || {
            let mut latest = None;
            while ended.recv_timeout(timeout / 5) == Err(RecvTimeoutError::Timeout) {
                warn_of_stall(monitor, reporter, timeout, &mut latest);
            }
        });
        let done = work();
        drop(running);
        done
    })
}

/// Warns where the pending operation takes longer than `timeout`, and again each time that the operation has taken
/// twice as long as at the `latest` warning.
fn warn_of_stall(
    monitor: &IoMonitor,
    reporter: &dyn Reporter,
    timeout: Duration,
    latest: &mut Option<StallWarning>,
) {
    let Some(Pending { operation, at, since }) = monitor.pending() else { return };
    let elapsed = since.elapsed();
    let warned = latest.filter(|warning| warning.since == since);
    let due = warned.map_or(timeout, |warning| warning.elapsed * 2);
    if elapsed < due {
        return;
    }
    *latest = Some(StallWarning { since, elapsed });
    let request = match operation {
        Operation::Read => format!("a read at byte {at}"),
        Operation::Write => format!("a write at byte {at}"),
        Operation::Sync => "a sync".to_owned(),
    };
    let seconds = elapsed.as_secs_f64();
    let text = format!(
        "the card has not answered {request} for {seconds:.0} s; still waiting (pull the card out to end the wait)"
    );
    reporter.report(&Event::warning(text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Recorder;

    #[test]
    fn a_stall_is_reported_while_it_lasts() {
        let monitor = IoMonitor::default();
        let warnings = Recorder::default();
        let stall = |millis| {
            std::thread::sleep(Duration::from_millis(millis));
            Ok(7)
        };
        with_stall_watchdog(&monitor, &warnings, Duration::from_millis(50), || {
            monitor.time(Operation::Read, 3, || stall(1)).unwrap();
            monitor.time(Operation::Write, 512, || {
                let moved = stall(400);
                assert!(!warnings.events().is_empty(), "warned before the card answers");
                moved
            })
        })
        .unwrap();
        let texts = warnings.events().into_iter().filter_map(|event| match event {
            Event::Warning { text, .. } => Some(text),
            _ => None,
        });
        let texts = texts.collect::<Vec<_>>();
        assert!(texts[0].starts_with("the card has not answered a write at byte 512 for 0 s"), "{texts:?}");
        assert!((2..=4).contains(&texts.len()), "{texts:?}");
    }

    #[test]
    fn rates_are_those_of_the_bytes_that_were_moved() {
        let monitor = IoMonitor::default();
        assert_eq!(monitor.rates(), Rates::default());
        let slow = || {
            std::thread::sleep(Duration::from_millis(20));
            Ok(1000)
        };
        monitor.time(Operation::Write, 0, slow).unwrap();
        let rate = monitor.rates().write.unwrap();
        assert!((5_000..=50_000).contains(&rate), "{rate}");
        assert_eq!(monitor.rates().read, None);
    }
}
