//! Whether a chunk is first read from the card: reading is fast and writing slow, so reading first pays wherever
//! a good part of the card holds already what belongs there.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How the image gets onto the card. After each of them the card holds it exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Look where reading first pays, told by samples of the card
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

/// So many reads in vain, one after the other, and the card is taken for one that holds something else.
const MISSES: u32 = 8;
/// Then only one chunk in so many is looked at, to find the place from which on it holds the same again.
/// That costs a card full of old data some 2 % of its time.
const SAMPLE: u32 = 16;

/// Decides chunk by chunk. Zeros are counted for themselves: a card may be blank where it holds nothing
/// of the image.
#[derive(Debug, Default)]
pub struct DeltaPolicy {
    mode: Mode,
    zeros: MissCounter,
    data: MissCounter,
}

/// How looking went of late.
#[derive(Debug, Default)]
struct MissCounter {
    misses: u32,
    unseen: u32,
}

impl DeltaPolicy {
    pub fn new(mode: Mode) -> Self {
        Self { mode, ..Self::default() }
    }

    /// Whether to read the next chunk, which is all `zeros` or not, before it is written.
    pub fn should_read_first(&mut self, zeros: bool) -> bool {
        let counter = self.counter(zeros);
        counter.unseen += 1;
        let sampled = counter.misses < MISSES || counter.unseen >= SAMPLE;
        match self.mode {
            Mode::Auto => sampled,
            Mode::Full => false,
            Mode::Delta => true,
        }
    }

    /// The card was looked at, and held the `same` or not.
    pub fn learn(&mut self, zeros: bool, same: bool) {
        let counter = self.counter(zeros);
        counter.unseen = 0;
        counter.misses = if same { 0 } else { counter.misses.saturating_add(1) };
    }

    fn counter(&mut self, zeros: bool) -> &mut MissCounter {
        if zeros { &mut self.zeros } else { &mut self.data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the chunks are looked at, where `same` says which of them the card holds already.
    fn looked(mode: Mode, same: impl Fn(u32) -> bool) -> usize {
        let mut policy = DeltaPolicy::new(mode);
        let look = |index: &u32| {
            let should_read_first = policy.should_read_first(false);
            if should_read_first {
                policy.learn(false, same(*index));
            }
            should_read_first
        };
        (0..1000).filter(look).count()
    }

    #[test]
    fn looking_follows_what_the_card_holds() {
        assert_eq!(looked(Mode::Full, |_| true), 0);
        assert_eq!(looked(Mode::Delta, |_| false), 1000);
        assert_eq!(looked(Mode::Auto, |_| true), 1000);
        assert_eq!(looked(Mode::Auto, |_| false), 8 + 992 / 16);
        assert_eq!(looked(Mode::Auto, |index| index % 4 != 0), 1000);
        // A flash that was broken off at 500, and a card whose second half is as it should be.
        assert_eq!(looked(Mode::Auto, |index| index < 500), 508 + 492 / 16);
        let late = looked(Mode::Auto, |index| index >= 500);
        assert!((500..=550).contains(&late), "{late}");
    }

    #[test]
    fn zeros_are_counted_for_themselves() {
        let mut policy = DeltaPolicy::new(Mode::Auto);
        (0..MISSES).for_each(|_| policy.learn(false, false));
        assert!(policy.should_read_first(true) && !policy.should_read_first(false));
    }
}
