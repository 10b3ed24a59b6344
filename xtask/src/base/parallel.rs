//! Work on several items at once.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::memory;

/// Applies `work` to all `items`, at most `limit` at a time; the results are in the order of the items.
pub fn map<T: Send, R: Send>(
    limit: usize,
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let pending = Mutex::new(items.into_iter().enumerate().collect::<VecDeque<_>>());
    let count = pending.lock().unwrap_or_else(PoisonError::into_inner).len();
    let done = Mutex::new(Vec::with_capacity(count));
    let take = || {
        while let Some((at, item)) = next(&pending) {
            let result = work(item);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
    };
    std::thread::scope(|scope| {
        let start = || std::thread::Builder::new().spawn_scoped(scope, take).is_ok();
        let started = (0..limit.min(count)).filter(|_| start()).count();
        // Without a free thread this thread does the work.
        if started == 0 && limit > 0 {
            take();
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

fn next<T>(pending: &Mutex<VecDeque<T>>) -> Option<T> {
    pending.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// The memory of an evaluation of a NixOS configuration, in bytes; large ones take more.
const EVALUATION_MEMORY: u64 = 1 << 30;
/// The most evaluations at once, whatever the machine is.
const MAX_EVALUATIONS: u64 = 16;

/// How many evaluations can run at once: by the cores and the free memory of this machine, or of the control group of
/// this process.
pub fn max_evaluations() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    limited(cores, memory::available(Path::new("/")))
}

/// How many evaluations run at once on `cores` with this much free memory, in bytes.
fn limited(cores: u64, memory: Option<u64>) -> usize {
    let by_memory = memory.map_or(cores, |bytes| bytes / EVALUATION_MEMORY);
    usize::try_from(cores.min(by_memory).clamp(1, MAX_EVALUATIONS)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn at_once_and_in_order() {
        assert_eq!(map(2, 0..5, |number| number * 2), [0, 2, 4, 6, 8]);
        assert_eq!(map(0, [1], |number| number), [0; 0]);
        // Each item waits for the other two.
        let barrier = Barrier::new(3);
        let waited = map(3, 0..3, |number| {
            barrier.wait();
            number
        });
        assert_eq!(waited, [0, 1, 2]);
    }

    #[test]
    fn evaluations_follow_cores_and_memory() {
        let gib = |count: u64| Some(count << 30);
        for (cores, memory, expected) in [
            (4, gib(64), 4),
            (64, gib(640), 16),
            (4, gib(2), 2),
            (4, Some(1), 1),
            (4, gib(0), 1),
            (4, None, 4),
        ] {
            assert_eq!(limited(cores, memory), expected, "{cores} cores, {memory:?}");
        }
    }
}
