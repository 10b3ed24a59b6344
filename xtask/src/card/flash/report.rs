//! The result of a flash, as read back from the card.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::buffer::CHUNK;
use super::delta::Mode;
use super::io_monitor::Rates;
use super::written_payload::WrittenPayload;
use crate::base::{Bytes, ChunkRun, ChunkState};
use crate::boot::BoardProof;

/// What a flash wrote, as read back from the card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FlashReport")]
pub struct Report {
    /// The size of the image in bytes.
    #[serde(rename = "bytes")]
    pub size: u64,
    /// The hash of the image, which the card holds apart from the payload, see [`crate::card::image::chunk_hash`].
    #[serde(with = "crate::card::image::digest")]
    #[schemars(with = "String")]
    pub hash: blake3::Hash,
    /// The payload that the card got beside the image.
    pub payload: Option<WrittenPayload>,
    pub mode: Mode,
    /// The state of each MiB of the image, in order.
    pub map: Vec<ChunkRun>,
    /// How often a chunk failed verification and was written again.
    pub retries: u32,
    pub seconds: Seconds,
    #[serde(rename = "bytes_per_second")]
    pub rates: Rates,
    /// The proof of each board, from the files on the card; none where the card could not be read for it.
    pub boards: Vec<BoardProof>,
    /// The system that the boot menu of the card starts by default, a store path; `None` where the card could not be
    /// read for it.
    pub system: Option<String>,
}

/// How much has to be written before the write rate is meaningful, in bytes.
const MIN_RATE_SAMPLE: u64 = 32 << 20;

/// How long the phases of a flash took, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FlashSeconds")]
pub struct Seconds {
    /// Blanking the ends and checking the capacity.
    pub capacity: f64,
    /// Reading before writing, writing, and the sync.
    pub write: f64,
    /// Verifying, with the retries.
    pub verify: f64,
    /// Writing and verifying the payload.
    // Receipts of earlier versions have the alias, or lack the field.
    #[serde(default, alias = "add")]
    pub payload: f64,
}

impl Seconds {
    pub fn total(&self) -> f64 {
        self.capacity + self.write + self.verify + self.payload
    }
}

impl Report {
    /// How many bytes of the image the flash wrote.
    pub fn written_bytes(&self) -> u64 {
        let is_written = |run: &&ChunkRun| !matches!(run.state, ChunkState::Skipped | ChunkState::Unchanged);
        let chunks = self.map.iter().filter(is_written).map(|run| run.mib).sum::<u64>();
        (chunks * CHUNK as u64).min(self.size)
    }

    /// The report with the write rate of an `earlier` flash of the same card, or with none, where this flash wrote too
    /// little to measure the rate: a card keeps the first bytes in its own memory, which is faster.
    #[must_use]
    pub fn with_write_rate_of(mut self, earlier: Option<Rates>) -> Self {
        if self.written_bytes() < MIN_RATE_SAMPLE {
            self.rates.write = earlier.and_then(|rates| rates.write);
        }
        self
    }

    /// How long writing and verifying the whole image would take, in seconds, at the rates of this card; `None` where a
    /// rate is unknown.
    #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
    fn full_seconds(&self) -> Option<f64> {
        let read = self.rates.read?;
        let write = self.rates.write?;
        Some(self.size as f64 / read as f64 + self.size as f64 / write as f64)
    }
}

impl fmt::Display for Report {
    /// `51.0 MiB of 512.0 MiB written in 8.4 s, 2.8 times as fast as a full write`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds.total();
        write!(f, "{} of {} written in {seconds:.1} s", Bytes(self.written_bytes()), Bytes(self.size))?;
        let gain = self.full_seconds().map_or(1.0, |full| full / seconds.max(0.001));
        // A smaller gain would be shown as 1.0.
        if self.written_bytes() < self.size && gain >= 1.05 {
            write!(f, ", {gain:.1} times as fast as a full write")?;
        }
        match self.retries {
            0 => {}
            1 => f.write_str("; 1 retry of 1 MiB")?,
            retries => write!(f, "; {retries} retries of 1 MiB each")?,
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
        let seconds = Seconds { capacity: 0.5, write: 4.0, verify: 0.5, payload: 0.0 };
        let hash = blake3::hash(b"");
        Report {
            size: 400 << 20,
            hash,
            payload: None,
            mode: Mode::Auto,
            map,
            retries: 0,
            seconds,
            rates,
            boards: Vec::new(),
            system: None,
        }
    }

    #[test]
    fn the_gain_is_shown_where_the_rates_of_the_card_are_known() {
        let rates = |write| Rates { read: Some(100 << 20), write };
        let fast = rates(Some(900 << 20));
        let slow = rates(Some(25 << 20));
        let common = "of 400.0 MiB written in 5.0 s";
        for (written, own, earlier, expected) in [
            (100, slow, None, format!("100.0 MiB {common}, 4.0 times as fast as a full write")),
            (1, fast, None, format!("1.0 MiB {common}")),
            (1, fast, Some(slow), format!("1.0 MiB {common}, 4.0 times as fast as a full write")),
            (400, slow, None, format!("400.0 MiB {common}")),
        ] {
            assert_eq!(report(written, own).with_write_rate_of(earlier).to_string(), expected);
        }
    }

    #[test]
    fn retries_are_counted_in_the_summary() {
        for (retries, expected) in [(1, "; 1 retry of 1 MiB"), (3, "; 3 retries of 1 MiB each")] {
            let report = Report { retries, ..report(400, Rates::default()) };
            assert_eq!(report.to_string(), format!("400.0 MiB of 400.0 MiB written in 5.0 s{expected}"));
        }
    }
}
