//! Work on several items at once.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

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
}
