//! Whether a card can boot, by U-Boot or without it, and on which boards.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::boot_files::BootFiles;
use super::inspection::Inspection;
use crate::bail;
use crate::base::failure::{self, ExitKind};
use crate::boot::{Board, BoardProof, Outcome, SystemStage};

/// Whether the card can boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "boots", rename_all = "snake_case")]
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
        why: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
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

/// The proofs of the boards, or why there are none.
pub fn proofs(inspected: Result<Inspection>) -> Result<Vec<BoardProof>, String> {
    match inspected {
        Ok(Inspection { boards, verdict: Verdict::No { why, .. }, .. }) if boards.is_empty() => Err(why),
        Ok(found) => Ok(found.boards),
        Err(error) => Err(format!("{error:#}")),
    }
}

impl Inspection {
    /// The boot files of the card.
    ///
    /// # Errors
    /// `Verification` with the fault that prevents the card from booting.
    pub fn into_boot_files(self) -> Result<BootFiles> {
        match self.verdict {
            Verdict::Yes { contents } => Ok(contents),
            Verdict::WithoutUBoot { .. } => bail!(Verification, "the card boots without U-Boot"),
            Verdict::No { why, hint } => Err(ExitKind::Verification.error_with(why, hint, Vec::new())),
        }
    }

    /// The proof of `board`; `None` where the card has no partition table.
    pub fn proof_of(&self, board: Board) -> Option<&BoardProof> {
        self.boards.iter().find(|proof| proof.board == board)
    }

    /// Fails where `board` does not boot from the card.
    ///
    /// # Errors
    /// `Verification` with the first fault that prevents the boot.
    pub fn require_boots_on(&self, board: Board) -> Result<()> {
        match (self.proof_of(board), &self.verdict) {
            (Some(proof), _) => proof.require_boots(ExitKind::Verification),
            (None, Verdict::No { why, hint }) => {
                let text = format!("a {board} does not boot from it: {why}");
                Err(ExitKind::Verification.error_with(text, hint.clone(), Vec::new()))
            }
            (None, _) => bail!(Verification, "whether a {board} boots from it is unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure;

    /// A flash must not end without a word about the boards.
    #[test]
    fn a_card_without_proofs_has_a_reason() {
        let without =
            |verdict| Inspection { layout: None, partitions: Vec::new(), verdict, boards: Vec::new() };
        let why = Verdict::No { why: "the card is blank".into(), hint: None };
        assert_eq!(proofs(Ok(without(why))), Err("the card is blank".into()));
        assert_eq!(proofs(Err(failure!(Io, "reading 4096 bytes"))), Err("reading 4096 bytes".into()));
        let proof = BoardProof::unknown(Board::Pi4, "x".into());
        let found =
            Inspection { boards: vec![proof.clone()], ..without(Verdict::WithoutUBoot { boards: vec![] }) };
        assert_eq!(proofs(Ok(found)), Ok(vec![proof]));
    }
}
