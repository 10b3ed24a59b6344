//! Counts the bytes of transfers by the log of Nix, as Nix's own progress bar does.

use std::collections::HashMap;

/// The most transfers that are counted at a time.
const MAX_TRANSFERS: usize = 4096;

/// The bytes of all transfers of one kind.
#[derive(Default)]
pub struct Transfers {
    /// The bytes of transfers that have ended.
    ended: u64,
    /// The transfers that run, by the ids of their activities: the bytes so far, and those at the end.
    running: HashMap<u64, (u64, u64)>,
    /// How many bytes an activity expects for all transfers that it starts.
    expected: HashMap<u64, u64>,
}

/// How far transfers are, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransferCount {
    pub done: u64,
    pub total: u64,
}

impl Transfers {
    /// Begins the transfer `id`.
    pub fn begin(&mut self, id: u64) {
        if self.running.len() < MAX_TRANSFERS {
            self.running.insert(id, (0, 0));
        }
    }

    /// Updates the transfer `id`. Returns whether there is such a transfer.
    pub fn update(&mut self, id: u64, done: u64, total: u64) -> bool {
        self.running.get_mut(&id).map(|counts| *counts = (done, total)).is_some()
    }

    /// Sets how many bytes the activity `id` expects.
    pub fn expect(&mut self, id: u64, bytes: u64) {
        if self.expected.len() < MAX_TRANSFERS || self.expected.contains_key(&id) {
            self.expected.insert(id, bytes);
        }
    }

    /// Ends the activity `id`.
    pub fn end(&mut self, id: u64) {
        if let Some((done, _)) = self.running.remove(&id) {
            self.ended = self.ended.saturating_add(done);
        }
        self.expected.remove(&id);
    }

    pub fn count(&self) -> TransferCount {
        let sum = |values: &mut dyn Iterator<Item = u64>| values.fold(0, u64::saturating_add);
        let done = self.ended.saturating_add(sum(&mut self.running.values().map(|(done, _)| *done)));
        let begun = self.ended.saturating_add(sum(&mut self.running.values().map(|(_, total)| *total)));
        let expected = sum(&mut self.expected.values().copied());
        TransferCount { done, total: begun.max(expected).max(done) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_over_all_transfers() {
        let mut transfers = Transfers::default();
        transfers.expect(1, 100);
        assert_eq!(transfers.count(), TransferCount { done: 0, total: 100 });
        transfers.begin(2);
        assert!(transfers.update(2, 10, 40) && !transfers.update(3, 1, 1));
        transfers.begin(4);
        transfers.update(4, 5, 70);
        assert_eq!(transfers.count(), TransferCount { done: 15, total: 110 });
        transfers.update(2, 40, 40);
        transfers.end(2);
        assert_eq!(transfers.count(), TransferCount { done: 45, total: 110 });
        transfers.end(1);
        transfers.end(4);
        assert_eq!(transfers.count(), TransferCount { done: 45, total: 45 });
    }

    #[test]
    fn absurd_numbers_do_not_overflow_and_endless_ids_are_not_kept() {
        let mut transfers = Transfers::default();
        for id in 0..3 * MAX_TRANSFERS as u64 {
            transfers.begin(id);
            transfers.update(id, u64::MAX, u64::MAX);
            transfers.expect(id, u64::MAX);
        }
        assert_eq!(transfers.count(), TransferCount { done: u64::MAX, total: u64::MAX });
        assert!(transfers.running.len() <= MAX_TRANSFERS && transfers.expected.len() <= MAX_TRANSFERS);
    }
}
