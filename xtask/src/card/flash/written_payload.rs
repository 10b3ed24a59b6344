//! The payload on a card, as read back, for results and receipts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::card::image::chunk_hash::ChunkHash;

/// The payload on a card, as read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WrittenPayload {
    /// The hash of the image that the payload was written on top of.
    // Receipts of earlier versions have the alias, here and below.
    #[serde(rename = "image_hash", alias = "image", with = "crate::card::image::digest")]
    #[schemars(with = "String")]
    pub image: blake3::Hash,
    /// The hash of the image with the payload: of the card's first bytes, as many as the image has.
    #[serde(with = "crate::card::image::digest")]
    #[schemars(with = "String")]
    pub hash: blake3::Hash,
    /// The chunks that differ from the image, in order.
    pub chunks: Vec<PayloadChunk>,
}

/// A chunk that differs from the image because of the payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PayloadChunk {
    /// The position, in bytes from the start of the card.
    #[serde(rename = "at_bytes", alias = "at")]
    pub at: u64,
    #[schemars(with = "String")]
    pub hash: ChunkHash,
}

impl WrittenPayload {
    /// The hash of the chunk at byte `at`, if the payload changed it.
    pub fn hash_at(&self, at: u64) -> Option<ChunkHash> {
        self.chunks.iter().find(|chunk| chunk.at == at).map(|chunk| chunk.hash)
    }
}
