//! The result of comparing a card with an image.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::buffer::CHUNK;
use super::io_monitor::Rates;
use crate::base::ChunkRun;
use crate::base::failure::ExitKind;

/// How the first bytes of a card compare with an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    pub equal: bool,
    /// Whether the card was expected to hold the payload beside the image.
    pub with_payload: bool,
    /// The size of the image in bytes.
    #[serde(rename = "bytes")]
    pub size: u64,
    /// The hash of the image.
    #[serde(with = "crate::card::image::digest")]
    #[schemars(with = "String")]
    pub hash: blake3::Hash,
    /// The SHA-256 of the first [`Self::size`] bytes of the card in hexadecimal digits, if all of them could be read.
    #[serde(default)]
    pub card_sha256: Option<String>,
    /// The position of the first differing byte of each MiB that differs. Empty where only the hash of the image was
    /// known.
    pub differences: Vec<u64>,
    /// The position of each differing MiB that has a part of the payload. Only the hash of such a MiB is known, so it
    /// does not show the first differing byte.
    #[serde(default)]
    pub in_payload: Vec<u64>,
    /// Whether the first MiB of the card is blank, as a flash leaves it until all else is written.
    #[serde(default)]
    pub blank: bool,
    /// The first read error of the card.
    pub unreadable: Option<String>,
    /// The state of each MiB of the image, in order. Empty where only the hash of the image was known.
    pub map: Vec<ChunkRun>,
    pub seconds: f64,
    #[serde(rename = "bytes_per_second")]
    pub rates: Rates,
}

impl Comparison {
    /// The exit kind and the text of what is wrong with the card; `None` for a card that holds the image. The text
    /// continues the path of the card: `does not hold the image: the hashes differ`.
    pub fn fault(&self) -> Option<(ExitKind, String)> {
        if let Some(error) = &self.unreadable {
            return Some((ExitKind::Io, format!("could not be read everywhere: {error}")));
        }
        if self.equal {
            return None;
        }
        let count = self.differences.len() + self.in_payload.len();
        let all = self.size.div_ceil(CHUNK as u64);
        let reason = if count == 0 {
            "the hashes differ".to_owned()
        } else {
            format!("{count} of {all} MiB differ, {}", self.places())
        };
        Some((ExitKind::Verification, format!("does not hold the image: {reason}")))
    }

    /// Where the card differs: `at byte 5, 1048583, and in the MiB that begins at byte 2097152`.
    fn places(&self) -> String {
        let listed = |words: &str, positions: &[u64]| {
            let shown = positions.iter().take(3).map(u64::to_string).collect::<Vec<_>>().join(", ");
            let more = if positions.len() > 3 { " and more" } else { "" };
            (!positions.is_empty()).then(|| format!("{words} {shown}{more}"))
        };
        let bytes = listed("at byte", &self.differences);
        let mib = listed("in the MiB that begins at byte", &self.in_payload);
        bytes.into_iter().chain(mib).collect::<Vec<_>>().join(", and ")
    }
}
