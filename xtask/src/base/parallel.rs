//! Parallel work on several items.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::memory;

/// Applies `work` to all `items`, at most to `limit` at a time. Returns the results in the order of the items; none
/// where `limit` is 0.
pub fn map<T: Send, R: Send>(
    limit: usize,
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let pending = Mutex::new(items.into_iter().enumerate().collect::<VecDeque<_>>());
    let count = lock(&pending).len();
    let done = Mutex::new(Vec::with_capacity(count));
    let work_until_empty = || {
        // The guard of `pending` must not live while `work` runs.
        while let Some((index, item)) = pop(&pending) {
            let result = work(item);
            lock(&done).push((index, result));
        }
    };
    std::thread::scope(|scope| {
        let mut started = 0;
        for _ in 0..limit.min(count) {
            let thread = std::thread::Builder::new().spawn_scoped(scope, work_until_empty);
            started += usize::from(thread.is_ok());
        }
        // Where no thread can be started, this thread does the work.
        if started == 0 && limit > 0 {
            work_until_empty();
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

fn pop<T>(queue: &Mutex<VecDeque<T>>) -> Option<T> {
    lock(queue).pop_front()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The memory that an evaluation of a NixOS configuration is assumed to take, in bytes. A large configuration takes
/// more.
const EVALUATION_MEMORY: u64 = 1 << 30;
/// The maximum number of evaluations at once, however large the machine is.
const MAX_EVALUATIONS: u64 = 16;
/// The most hosts in one evaluation. It keeps the values of each until it ends, and shares less with each further one.
const MAX_BATCH: u64 = 8;

/// The number of evaluations that can run at once, at least 1: by the cores of this machine, and by the free memory of
/// the machine or of the control group of this process.
pub fn max_evaluations() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    evaluations_for(cores, memory::available(Path::new("/")))
}

/// The number of evaluations that can run at once on `cores` with `free_memory` in bytes, if it is known.
fn evaluations_for(cores: u64, free_memory: Option<u64>) -> usize {
    let by_memory = free_memory.map_or(cores, |bytes| bytes / EVALUATION_MEMORY);
    usize::try_from(cores.min(by_memory).clamp(1, MAX_EVALUATIONS)).unwrap_or(1)
}

/// The number of hosts in each evaluation of `count` hosts, at least 1: as many as half of the free memory has room
/// for, and few enough that [`max_evaluations`] have work.
pub fn evaluation_batch(count: usize) -> usize {
    batch_for(count, max_evaluations(), memory::available(Path::new("/")))
}

/// The number of hosts in each of `evaluations` at once of `count` hosts, with `free_memory` in bytes, if it is known.
fn batch_for(count: usize, evaluations: usize, free_memory: Option<u64>) -> usize {
    let share = free_memory.map_or(0, |bytes| bytes / 2 / evaluations.max(1) as u64);
    let by_memory = usize::try_from((share / EVALUATION_MEMORY).clamp(1, MAX_BATCH)).unwrap_or(1);
    count.div_ceil(evaluations.max(1)).clamp(1, by_memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn work_runs_in_parallel_and_results_stay_in_order() {
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
            assert_eq!(evaluations_for(cores, memory), expected, "{cores} cores, {memory:?}");
        }
    }

    #[test]
    fn a_batch_has_room_in_half_of_the_free_memory_and_leaves_work_for_all() {
        let gib = |count: u64| Some(count << 30);
        for (count, evaluations, memory, expected) in [
            (200, 2, gib(20), 5),
            (200, 2, gib(6), 1),
            (200, 2, gib(500), 8),
            (6, 4, gib(500), 2),
            (1, 2, gib(500), 1),
            (200, 2, None, 1),
            (200, 2, Some(0), 1),
        ] {
            assert_eq!(batch_for(count, evaluations, memory), expected, "{count} hosts, {memory:?}");
        }
    }
}
