//! The delta policy: whether a chunk is read from the card before it is written. Reading is fast and writing slow, so
//! reading first pays wherever a good part of the card already holds the image.

use std::fmt;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the image gets onto the card. After each mode the card holds exactly the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum, JsonSchema)]
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

    /// Whether to read the next chunk before writing it; `is_zero` is whether all bytes of the chunk are zero. Each
    /// call counts a chunk.
    pub fn should_read_first(&mut self, is_zero: bool) -> bool {
        let counter = self.counter(is_zero);
        counter.since_read += 1;
        let is_worth_a_read = counter.misses < MAX_MISSES || counter.since_read >= SAMPLE_INTERVAL;
        match self.mode {
            Mode::Auto => is_worth_a_read,
            Mode::Full => false,
            Mode::Delta => true,
        }
    }

    /// Records that a read found the chunk on the card; `is_zero` is whether all bytes of the chunk are zero.
    pub fn record_hit(&mut self, is_zero: bool) {
        *self.counter(is_zero) = MissCounter::default();
    }

    /// Records that a read found other data on the card, or failed.
    pub fn record_miss(&mut self, is_zero: bool) {
        let counter = self.counter(is_zero);
        counter.since_read = 0;
        counter.misses = counter.misses.saturating_add(1);
    }

    fn counter(&mut self, is_zero: bool) -> &mut MissCounter {
        if is_zero { &mut self.zeros } else { &mut self.data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZEROS: bool = true;
    const DATA: bool = false;

    /// How many of 1000 chunks of data are read first; `is_on_card` is whether the card already holds a chunk.
    fn count_reads(mode: Mode, is_on_card: impl Fn(u32) -> bool) -> usize {
        let mut policy = DeltaPolicy::new(mode);
        let mut reads = 0;
        for index in 0..1000 {
            if !policy.should_read_first(DATA) {
                continue;
            }
            reads += 1;
            if is_on_card(index) {
                policy.record_hit(DATA);
            } else {
                policy.record_miss(DATA);
            }
        }
        reads
    }

    #[test]
    fn reads_follow_what_the_card_holds() {
        assert_eq!(count_reads(Mode::Full, |_| true), 0);
        assert_eq!(count_reads(Mode::Delta, |_| false), 1000);
        assert_eq!(count_reads(Mode::Auto, |_| true), 1000);
        assert_eq!(count_reads(Mode::Auto, |_| false), 8 + 992 / 16);
        assert_eq!(count_reads(Mode::Auto, |index| index % 4 != 0), 1000);
        // A flash that was interrupted at chunk 500, and a card whose second half holds the image.
        assert_eq!(count_reads(Mode::Auto, |index| index < 500), 508 + 492 / 16);
        let second_half = count_reads(Mode::Auto, |index| index >= 500);
        assert!((500..=550).contains(&second_half), "{second_half}");
    }

    #[test]
    fn zeros_have_a_miss_counter_of_their_own() {
        let mut policy = DeltaPolicy::new(Mode::Auto);
        (0..MAX_MISSES).for_each(|_| policy.record_miss(DATA));
        assert!(policy.should_read_first(ZEROS) && !policy.should_read_first(DATA));
    }
}
