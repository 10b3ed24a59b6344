//! Whether a card can boot, by U-Boot or without it.

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::boot_files::BootFiles;
use crate::base::failure;
use crate::boot::{Board, BoardProof, Outcome, SystemStage};

/// Whether the card can boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "boots", rename_all = "snake_case")]
#[schemars(rename = "BootVerdict")]
pub enum Verdict {
    Yes {
        contents: BootFiles,
    },
    /// The firmware of these boards starts a kernel itself, without U-Boot and without a boot menu.
    WithoutUBoot {
        boards: Vec<Board>,
    },
    /// The first fault that prevents the card from booting, with the remedy if there is one.
    No {
        #[serde(rename = "message")]
        why: String,
        hint: Option<String>,
    },
}

impl Verdict {
    /// The system that the boot menu starts by default, a store path; `None` where there is none, or no menu.
    pub fn system(&self) -> Option<&str> {
        let Self::Yes { contents } = self else { return None };
        contents.boot.init.strip_suffix("/init")
    }

    /// The verdict by the boot files for U-Boot, or the proofs of boards whose firmware starts a kernel itself.
    pub(super) fn of(files: Result<BootFiles>, proofs: &[BoardProof]) -> Self {
        match (files, boards_without_uboot(proofs)) {
            (Ok(contents), _) => Self::Yes { contents },
            (Err(_), boards) if !boards.is_empty() => Self::WithoutUBoot { boards },
            (Err(error), _) => Self::no(&error),
        }
    }

    /// The verdict for the fault `error`.
    pub(super) fn no(error: &anyhow::Error) -> Self {
        Self::No { why: format!("{error:#}"), hint: failure::hint(error).map(str::to_owned) }
    }
}

/// The boards of `proofs` whose firmware starts a kernel itself.
fn boards_without_uboot(proofs: &[BoardProof]) -> Vec<Board> {
    let is_direct = |proof: &&BoardProof| {
        proof.outcome == Outcome::Boots && matches!(proof.system, SystemStage::Firmware { .. })
    };
    proofs.iter().filter(is_direct).map(|proof| proof.board).collect()
}
