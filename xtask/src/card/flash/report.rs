//! What a flash has come to, as read back from the card.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::buffer::CHUNK;
use super::delta::Mode;
use super::io_monitor::Rates;
use super::payload::Added;
use crate::base::{Bytes, ChunkRun, ChunkState};

/// What was written, as read back from the card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The size of the image in bytes.
    pub size: u64,
    /// The hash of the image, which the card holds apart from what was added, see [`crate::card::image::chunk_hash`].
    #[serde(with = "crate::card::image::digest")]
    pub hash: blake3::Hash,
    /// What was put on the card beside the image.
    #[serde(default)]
    pub added: Option<Added>,
    pub mode: Mode,
    /// What became of each MiB of the image, in order.
    pub map: Vec<ChunkRun>,
    /// How often chunks were written again that had read back wrong.
    pub retries: u32,
    pub seconds: Seconds,
    pub rates: Rates,
}

/// So much has to be written before the rate of it means something, in bytes.
const ENOUGH: u64 = 32 << 20;

/// How long the parts took, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Blanking the ends and checking the capacity.
    pub capacity: f64,
    /// Reading what was there, and writing, with the sync.
    pub write: f64,
    /// Reading back, and writing again what was wrong.
    pub verify: f64,
    /// Putting beside the image what belongs to the host.
    #[serde(default)]
    pub add: f64,
}

impl Seconds {
    pub fn total(&self) -> f64 {
        self.capacity + self.write + self.verify + self.add
    }
}

impl Report {
    /// How many bytes had to be written.
    pub fn written(&self) -> u64 {
        let writes = |run: &&ChunkRun| !matches!(run.state, ChunkState::Skipped | ChunkState::Unchanged);
        let chunks = self.map.iter().filter(writes).map(|run| run.mib).sum::<u64>();
        (chunks * CHUNK as u64).min(self.size)
    }

    /// The report with the write rate that `earlier` flashes of the same card have shown, where this one wrote
    /// too little to tell: the first bytes end up in a card's own memory, and say nothing.
    #[must_use]
    pub fn with_rates_of(mut self, earlier: Option<Rates>) -> Self {
        if self.written() < ENOUGH {
            self.rates.write = earlier.and_then(|rates| rates.write);
        }
        self
    }

    /// How long it would take to write all of the image and to read it back, in seconds, at the rates
    /// that this card has shown.
    #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
    fn full_seconds(&self) -> Option<f64> {
        let (read, write) = (self.rates.read?, self.rates.write?);
        Some(self.size as f64 / read as f64 + self.size as f64 / write as f64)
    }
}

impl fmt::Display for Report {
    /// `51.0 MiB of 512.0 MiB written in 8.4 s, 2.8 times as fast as writing it all`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds.total();
        write!(f, "{} of {} written in {seconds:.1} s", Bytes(self.written()), Bytes(self.size))?;
        let gain = self.full_seconds().map_or(1.0, |full| full / seconds.max(0.001));
        if self.written() < self.size && gain >= 1.05 {
            write!(f, ", {gain:.1} times as fast as writing it all")?;
        }
        if self.retries > 0 {
            let (count, chunks) = (self.retries, if self.retries == 1 { "MiB" } else { "times a MiB" });
            write!(f, "; {count} {chunks} had to be written again")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(written: u64, rates: Rates) -> Report {
        let map = vec![
            ChunkRun { state: ChunkState::Written, mib: written },
            ChunkRun { state: ChunkState::Unchanged, mib: 400 - written },
        ];
        let seconds = Seconds { capacity: 0.5, write: 4.0, verify: 0.5, add: 0.0 };
        let (size, hash) = (400 << 20, blake3::hash(b""));
        Report { size, hash, added: None, mode: Mode::Auto, map, retries: 0, seconds, rates }
    }

    #[test]
    fn the_gain_is_told_where_the_card_is_known() {
        let rates = |write| Rates { read: Some(100 << 20), write };
        let (fast, slow) = (rates(Some(900 << 20)), rates(Some(25 << 20)));
        let told = "of 400.0 MiB written in 5.0 s";
        for (written, own, earlier, expected) in [
            (100, slow, None, format!("100.0 MiB {told}, 4.0 times as fast as writing it all")),
            (1, fast, None, format!("1.0 MiB {told}")),
            (1, fast, Some(slow), format!("1.0 MiB {told}, 4.0 times as fast as writing it all")),
            (400, slow, None, format!("400.0 MiB {told}")),
        ] {
            assert_eq!(report(written, own).with_rates_of(earlier).to_string(), expected);
        }
    }
}
