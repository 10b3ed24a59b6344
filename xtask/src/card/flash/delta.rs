//! The delta policy: whether a chunk is read from the card before it is written. Reading is fast and writing slow, so
//! reading first pays wherever a good part of the card already holds the image.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How the image gets onto the card. After each mode the card holds exactly the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Read before writing where samples suggest the data is already there
    #[default]
    Auto,
    /// Write everything, whatever the card holds
    Full,
    /// Read everything first and write only what differs
    Delta,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Full => "full",
            Self::Delta => "delta",
        })
    }
}

/// After this many consecutive misses, the policy assumes that the card holds other data.
const MAX_MISSES: u32 = 8;
/// After [`MAX_MISSES`], one chunk in this many is still read first, to find where the card holds the image again.
/// On a card full of other data, these reads take about 2 % of the time.
const SAMPLE_INTERVAL: u32 = 16;

/// Decides chunk by chunk whether to read first. Chunks of zeros have a counter of their own, because a card that
/// holds nothing of the image may still be blank.
#[derive(Debug, Default)]
pub struct DeltaPolicy {
    mode: Mode,
    zeros: MissCounter,
    data: MissCounter,
}

/// The outcome of the latest reads.
#[derive(Debug, Default)]
struct MissCounter {
    /// How many reads in a row found other data.
    misses: u32,
    /// How many chunks have passed since the latest read.
    since_read: u32,
}

impl DeltaPolicy {
    pub fn new(mode: Mode) -> Self {
        Self { mode, ..Self::default() }
    }

    /// Whether to read the next chunk before writing it; `zeros` says whether the chunk is all zeros. Counts the chunk,
    /// so call it once for each.
    pub fn should_read_first(&mut self, zeros: bool) -> bool {
        let counter = self.counter(zeros);
        counter.since_read += 1;
        let sampled = counter.misses < MAX_MISSES || counter.since_read >= SAMPLE_INTERVAL;
        match self.mode {
            Mode::Auto => sampled,
            Mode::Full => false,
            Mode::Delta => true,
        }
    }

    /// Records that a read found the chunk on the card.
    pub fn record_hit(&mut self, zeros: bool) {
        *self.counter(zeros) = MissCounter::default();
    }

    /// Records that a read found other data on the card, or failed.
    pub fn record_miss(&mut self, zeros: bool) {
        let counter = self.counter(zeros);
        counter.since_read = 0;
        counter.misses = counter.misses.saturating_add(1);
    }

    fn counter(&mut self, zeros: bool) -> &mut MissCounter {
        if zeros { &mut self.zeros } else { &mut self.data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of 1000 chunks are read first, where `same` says which of them the card already holds.
    fn reads(mode: Mode, same: impl Fn(u32) -> bool) -> usize {
        let mut policy = DeltaPolicy::new(mode);
        let read = |index: &u32| {
            let should_read_first = policy.should_read_first(false);
            match should_read_first {
                true if same(*index) => policy.record_hit(false),
                true => policy.record_miss(false),
                false => {}
            }
            should_read_first
        };
        (0..1000).filter(read).count()
    }

    #[test]
    fn reads_follow_what_the_card_holds() {
        assert_eq!(reads(Mode::Full, |_| true), 0);
        assert_eq!(reads(Mode::Delta, |_| false), 1000);
        assert_eq!(reads(Mode::Auto, |_| true), 1000);
        assert_eq!(reads(Mode::Auto, |_| false), 8 + 992 / 16);
        assert_eq!(reads(Mode::Auto, |index| index % 4 != 0), 1000);
        // A flash that was interrupted at chunk 500, and a card whose second half holds the image.
        assert_eq!(reads(Mode::Auto, |index| index < 500), 508 + 492 / 16);
        let second_half = reads(Mode::Auto, |index| index >= 500);
        assert!((500..=550).contains(&second_half), "{second_half}");
    }

    #[test]
    fn zeros_have_a_miss_counter_of_their_own() {
        let mut policy = DeltaPolicy::new(Mode::Auto);
        (0..MAX_MISSES).for_each(|_| policy.record_miss(false));
        assert!(policy.should_read_first(true) && !policy.should_read_first(false));
    }
}
