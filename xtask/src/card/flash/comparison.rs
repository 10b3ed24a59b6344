//! What a comparison of a card with an image has come to.

use serde::{Deserialize, Serialize};

use super::buffer::CHUNK;
use super::io_monitor::Rates;
use crate::base::ChunkRun;
use crate::base::failure::ExitKind;

/// What a card holds where an image should be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    pub equal: bool,
    /// Whether it was to be the image with what was added to it.
    #[serde(default)]
    pub added: bool,
    /// The size of the image in bytes.
    pub size: u64,
    /// The hash of the image.
    #[serde(with = "crate::card::image::digest")]
    pub hash: blake3::Hash,
    /// Where each MiB that differs does so first, in bytes. None are known where the image was not there.
    pub differences: Vec<u64>,
    /// Whether the first MiB of the card is blank, as a flash leaves it until all else is written.
    #[serde(default)]
    pub blank: bool,
    /// What the card said where it could not be read, the first time.
    pub unreadable: Option<String>,
    /// What was found of each MiB of the image, in order.
    pub map: Vec<ChunkRun>,
    pub seconds: f64,
    pub rates: Rates,
}

impl Comparison {
    /// The end of a sentence that begins with the card: what is wrong with it, and of which kind that is.
    pub fn fault(&self) -> Option<(ExitKind, String)> {
        if let Some(error) = &self.unreadable {
            return Some((ExitKind::Io, format!("could not be read everywhere: {error}")));
        }
        if self.equal {
            return None;
        }
        let (count, all) = (self.differences.len(), self.size.div_ceil(CHUNK as u64));
        let what = if count == 0 {
            "the hash of what it holds is another one".to_owned()
        } else {
            let shown = self.differences.iter().take(3).map(u64::to_string).collect::<Vec<_>>().join(", ");
            let more = if count > 3 { " and more" } else { "" };
            format!("{count} of {all} MiB differ, at byte {shown}{more}")
        };
        Some((ExitKind::Verification, format!("does not hold the image: {what}")))
    }
}
