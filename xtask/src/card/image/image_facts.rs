//! What the results of commands say of an image.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::Image;
use crate::base::Format;
use crate::card::inspect::PartitionTable;

/// The facts about a checked image.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ImageFacts {
    /// The file of the image.
    pub image: PathBuf,
    pub format: Format,
    /// The decompressed size.
    pub bytes: u64,
    /// The size of the file.
    pub stored_bytes: u64,
    /// The BLAKE3 hash of the decompressed image in hexadecimal digits; `None` where not all of it was read.
    pub hash: Option<String>,
    /// The SHA-256 of the file in hexadecimal digits; `None` where it was not computed.
    pub file_sha256: Option<String>,
    pub layout: PartitionTable,
}

impl From<&Image> for ImageFacts {
    fn from(image: &Image) -> Self {
        Self {
            image: image.source.path.clone(),
            format: image.source.format,
            bytes: image.size,
            stored_bytes: image.source.stored.size,
            hash: image.hash.map(|hash| hash.to_hex().to_string()),
            file_sha256: image.file_sha256.clone(),
            layout: image.layout.clone(),
        }
    }
}
