//! How a card answers: how fast it reads and writes, and whether it has fallen silent.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::base::{Event, Reporter};

/// A card that does not answer for so long is told about. Cards pause for a second or two to tidy up.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(5);

/// What is asked of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    Sync,
}

/// Bytes per second, as far as the card was used that way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    pub read: Option<u64>,
    /// With the syncs.
    pub write: Option<u64>,
}

/// A request that the card has not answered yet.
#[derive(Clone, Copy)]
struct Pending {
    access: Access,
    at: u64,
    since: Instant,
}

#[derive(Default)]
struct Sum {
    bytes: AtomicU64,
    nanos: AtomicU64,
}

/// The sums of all accesses, and the one that runs.
#[derive(Default)]
pub struct IoMonitor {
    pending: Mutex<Option<Pending>>,
    reads: Sum,
    writes: Sum,
}

impl IoMonitor {
    /// Makes one access, which tells how many bytes it moved.
    pub fn time(
        &self,
        access: Access,
        at: u64,
        work: impl FnOnce() -> io::Result<usize>,
    ) -> io::Result<usize> {
        let since = Instant::now();
        self.set(Some(Pending { access, at, since }));
        let moved = work();
        self.set(None);
        let sum = if access == Access::Read { &self.reads } else { &self.writes };
        let nanos = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        sum.nanos.fetch_add(nanos, Ordering::Relaxed);
        sum.bytes.fetch_add(moved.as_ref().map_or(0, |bytes| *bytes as u64), Ordering::Relaxed);
        moved
    }

    pub fn rates(&self) -> Rates {
        Rates { read: self.reads.rate(), write: self.writes.rate() }
    }

    fn set(&self, pending: Option<Pending>) {
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = pending;
    }

    fn pending(&self) -> Option<Pending> {
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sum {
    fn rate(&self) -> Option<u64> {
        let (bytes, nanos) = (self.bytes.load(Ordering::Relaxed), self.nanos.load(Ordering::Relaxed));
        let rate = u128::from(bytes) * 1_000_000_000 / u128::from(nanos.max(1));
        u64::try_from(rate).ok().filter(|rate| *rate > 0)
    }
}

/// Does `work`, and tells of each silence of the card that is longer than `patience`, as long as it lasts.
pub fn with_stall_watchdog<T>(
    monitor: &IoMonitor,
    reporter: &dyn Reporter,
    patience: Duration,
    work: impl FnOnce() -> T,
) -> T {
    std::thread::scope(|scope| {
        let (running, ended) = channel::<()>();
        // The work is done also where nobody can watch it.
        let _ = std::thread::Builder::new().spawn_scoped(scope, move || {
            let mut told = None;
            while ended.recv_timeout(patience / 5) == Err(RecvTimeoutError::Timeout) {
                tell(monitor, reporter, patience, &mut told);
            }
        });
        let done = work();
        drop(running);
        done
    })
}

/// Each silence is told again when it is twice as long as when it was last told.
fn tell(
    monitor: &IoMonitor,
    reporter: &dyn Reporter,
    patience: Duration,
    told: &mut Option<(Instant, Duration)>,
) {
    let Some(Pending { access, at, since }) = monitor.pending() else { return };
    let silent = since.elapsed();
    let due = told.filter(|(then, _)| *then == since).map_or(patience, |(_, lasted)| lasted * 2);
    if silent < due {
        return;
    }
    *told = Some((since, silent));
    let doing = match access {
        Access::Read => format!("to a read at byte {at}"),
        Access::Write => format!("to a write at byte {at}"),
        Access::Sync => "to a sync".to_owned(),
    };
    let seconds = silent.as_secs_f64();
    let text = format!(
        "the card has not answered {doing} for {seconds:.0} s; waiting (pulling it out ends the wait)"
    );
    reporter.report(&Event::warning(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Said(Mutex<Vec<String>>);

    impl Reporter for Said {
        fn report(&self, event: &Event) {
            if let Event::Warning { text } = event {
                self.0.lock().unwrap().push(text.clone());
            }
        }
    }

    #[test]
    fn a_silence_is_told_while_it_lasts() {
        let (monitor, said) = (IoMonitor::default(), Said::default());
        let stall = |millis| {
            std::thread::sleep(Duration::from_millis(millis));
            Ok(7)
        };
        with_stall_watchdog(&monitor, &said, Duration::from_millis(50), || {
            monitor.time(Access::Read, 3, || stall(1)).unwrap();
            monitor.time(Access::Write, 512, || {
                let moved = stall(400);
                assert!(!said.0.lock().unwrap().is_empty(), "told before the card answers");
                moved
            })
        })
        .unwrap();
        let said = said.0.into_inner().unwrap();
        assert!(said[0].starts_with("the card has not answered to a write at byte 512 for 0 s"), "{said:?}");
        assert!((2..=4).contains(&said.len()), "{said:?}");
    }

    #[test]
    fn rates_are_of_what_was_moved() {
        let monitor = IoMonitor::default();
        assert_eq!(monitor.rates(), Rates::default());
        let slow = || {
            std::thread::sleep(Duration::from_millis(20));
            Ok(1000)
        };
        monitor.time(Access::Write, 0, slow).unwrap();
        let rate = monitor.rates().write.unwrap();
        assert!((5_000..=50_000).contains(&rate), "{rate}");
        assert_eq!(monitor.rates().read, None);
    }
}
