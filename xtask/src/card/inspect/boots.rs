//! What an inspection says about the boards that boot from the card.

use anyhow::Result;

use super::boot_files::BootFiles;
use super::inspection::Inspection;
use super::verdict::Verdict;
use crate::bail;
use crate::base::failure::ExitKind;
use crate::boot::{Board, BoardProof};

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
            (None, _) => bail!(
                Verification, "whether a {board} boots from it is unknown";
                hint: "leave out --board: the verdict without it says what the card has"
            ),
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
