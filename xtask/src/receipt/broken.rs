//! The receipt of a flash that was begun and did not end well, or has not ended yet.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::flashed::{CardId, Source, store_path};
use crate::base::Bytes;
use crate::card::flash::Plan;

/// What was to be written to which card, and how far that went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenFlash {
    /// When it ended, or began where nobody could note its end.
    pub when: Timestamp,
    pub host: Option<String>,
    pub flake: Option<String>,
    pub image: PlannedFlash,
    pub card: CardId,
    /// How it ended; none where the tool itself was killed, or is still at work.
    pub end: Option<End>,
}

/// Which image was to be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFlash {
    pub path: PathBuf,
    /// Its path in the Nix store, if it lies there.
    pub store_path: Option<String>,
    /// In bytes, decompressed.
    pub size: u64,
    /// The hash of its content, if it was known before.
    pub hash: Option<String>,
}

/// How a flash ended that was broken off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// What was being done: `capacity`, `write`, `verify` and so on; none before that.
    pub doing: Option<String>,
    /// How far that was, of `total`: bytes where `bytes` says so.
    pub done: u64,
    pub total: Option<u64>,
    pub bytes: bool,
    pub exit_code: u8,
    pub error: String,
}

impl BrokenFlash {
    /// The receipt of a flash that is about to begin.
    pub fn new(source: Source<'_>, plan: &Plan) -> Self {
        let (path, size) = (plan.image.source.path.clone(), plan.image.size);
        let hash = plan.image.hash.map(|hash| hash.to_hex().to_string());
        Self {
            when: Timestamp::now(),
            host: source.map(|(host, _)| host.to_owned()),
            flake: source.map(|(_, flake)| flake.to_owned()),
            image: PlannedFlash { store_path: store_path(&path), path, size, hash },
            card: CardId::new(&plan.disk),
            end: None,
        }
    }

    /// How far it went: `broken off while writing …`.
    pub fn progress(&self) -> String {
        let Some(end) = &self.end else {
            return "not ended: it is still at work, or was killed".into();
        };
        let amount = |count| if end.bytes { Bytes(count).to_string() } else { count.to_string() };
        let of = end.total.map(|total| format!(" of {}", amount(total))).unwrap_or_default();
        let at = match &end.doing {
            Some(doing) => format!("at {doing}, {}{of}", amount(end.done)),
            None => "at its beginning".into(),
        };
        format!("broken off {at}, exit code {}", end.exit_code)
    }
}

impl fmt::Display for BrokenFlash {
    /// `flash of 2026-11-25 12:00 UTC with the image of stinky: broken off at write, 1.0 MiB of 8.0 MiB, exit code 130`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = match &self.host {
            Some(host) => format!("of {host}"),
            None => self.image.path.display().to_string(),
        };
        write!(f, "flash of {} with the image {image}: {}", self.when, self.progress())
    }
}
