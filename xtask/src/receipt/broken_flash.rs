//! The receipt of a flash that failed, or has not ended yet.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::flashed::{CardId, Source, describe_image, store_path};
use crate::base::{Bytes, HostName, Timestamp, unit};
use crate::card::flash::Plan;

/// A flash that failed, or has not ended yet: the image, the card, and the progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokenFlash {
    /// The time when the flash ended, or began if its end was not recorded.
    // Receipts of earlier versions have the aliases, here and below.
    #[serde(rename = "time", alias = "when")]
    pub when: Timestamp,
    /// The host of the image; `None` for an image that was given as a file.
    pub host: Option<HostName>,
    /// The flake of the host; `None` as for `host`.
    pub flake: Option<String>,
    pub image: PlannedImage,
    pub card: CardId,
    /// How the flash failed; `None` if the tool was killed, or is still running.
    pub end: Option<End>,
}

/// The image that was to be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedImage {
    pub path: PathBuf,
    /// The store path that contains the image, if the image is in the Nix store.
    pub store_path: Option<String>,
    /// The decompressed size in bytes.
    #[serde(rename = "bytes", alias = "size")]
    pub size: u64,
    /// The hash of the decompressed image, if it was known before the flash.
    pub hash: Option<String>,
}

/// How a flash failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct End {
    /// The phase in which the flash failed: `capacity`, `write`, `verify` and so on; `None` before the first phase.
    #[serde(alias = "doing")]
    pub phase: Option<String>,
    /// The progress of that phase, out of `total`; in bytes if `is_in_bytes` is set.
    pub done: u64,
    pub total: Option<u64>,
    #[serde(rename = "unit", alias = "bytes", with = "unit")]
    #[schemars(with = "unit::Unit")]
    pub is_in_bytes: bool,
    /// The exit code of the tool.
    pub exit_code: u8,
    /// The message of the error, with its hint.
    #[serde(rename = "message", alias = "error")]
    pub error: String,
}

impl BrokenFlash {
    /// The receipt of a flash that is about to begin.
    pub fn new(source: Source<'_>, plan: &Plan) -> Self {
        let path = plan.image.source.path.clone();
        let size = plan.image.size;
        let hash = plan.image.hash.map(|hash| hash.to_hex().to_string());
        Self {
            when: Timestamp::now(),
            host: source.map(|(host, _)| host.to_owned()),
            flake: source.map(|(_, flake)| flake.to_string()),
            image: PlannedImage { store_path: store_path(&path), path, size, hash },
            card: CardId::new(&plan.disk),
            end: None,
        }
    }

    /// The progress in words: `broken off at write, 1.0 MiB of 8.0 MiB, exit code 130`.
    pub fn progress(&self) -> String {
        let Some(end) = &self.end else {
            return "not finished: it is still running, or was killed".into();
        };
        let amount = |count| if end.is_in_bytes { Bytes(count).to_string() } else { count.to_string() };
        let of_total = end.total.map(|total| format!(" of {}", amount(total))).unwrap_or_default();
        let at = match &end.phase {
            Some(phase) => format!("at {phase}, {}{of_total}", amount(end.done)),
            None => "before its first phase".into(),
        };
        format!("broken off {at}, exit code {}", end.exit_code)
    }
}

impl fmt::Display for BrokenFlash {
    /// `flash of 2026-11-25 12:00 UTC with the image of stinky: broken off at write, 1.0 MiB of 8.0 MiB, exit code
    /// 130`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = describe_image(self.host.as_ref(), &self.image.path);
        write!(f, "flash of {} with {image}: {}", self.when, self.progress())
    }
}
