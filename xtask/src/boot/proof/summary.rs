//! The proofs of boards as lines for people.

use anyhow::Result;

use super::{BoardProof, LoadedTree, Outcome, SystemStage};
use crate::base::failure::ExitKind;
use crate::boot::board_fault::shorten;
use crate::boot::{Board, BoardFault};

/// The longest step, in characters: a hostile config.txt names any number of files.
const MAX_STEP: usize = 2000;

/// Lines that tell which boards boot, and what keeps the others from it: boards with the same answer share a line. The
/// emulator is listed only where it boots and no Pi does.
pub fn summarize(proofs: &[BoardProof]) -> Vec<String> {
    let boots_pi = proofs.iter().any(|proof| proof.board != Board::Qemu && proof.outcome == Outcome::Boots);
    let mut groups = Vec::<(String, Vec<String>)>::new();
    for proof in proofs {
        if proof.board == Board::Qemu && (boots_pi || proof.outcome != Outcome::Boots) {
            continue;
        }
        add_to_group(&mut groups, proof.outcome_text(), proof.board);
    }
    groups.into_iter().map(|(text, boards)| format!("{}: {text}", boards.join(", "))).collect()
}

/// Whether the emulator boots by the `proofs`, and surely no Pi.
pub fn boots_only_qemu(proofs: &[BoardProof]) -> bool {
    let does_all = |board: bool, outcome| {
        proofs
            .iter()
            .filter(|proof| (proof.board == Board::Qemu) == board)
            .all(|proof| proof.outcome == outcome)
    };
    !proofs.is_empty() && does_all(true, Outcome::Boots) && does_all(false, Outcome::DoesNotBoot)
}

/// One line that tells which boards boot.
pub fn summarize_shortly(proofs: &[BoardProof]) -> String {
    let ids = |outcome: Outcome| {
        let found = proofs.iter().filter(|proof| proof.board != Board::Qemu && proof.outcome == outcome);
        found.map(|proof| proof.board.id()).collect::<Vec<_>>().join(", ")
    };
    let [boots, others, unknown] = [Outcome::Boots, Outcome::DoesNotBoot, Outcome::Unknown].map(ids);
    let known = match (boots.as_str(), others.as_str()) {
        ("", _) if !unknown.is_empty() => return format!("whether {unknown} boot from the card is unknown"),
        ("", _) if boots_only_qemu(proofs) => {
            return "only QEMU boots by the files of the card, which lack what a Pi needs".to_owned();
        }
        ("", _) => return "no board boots by the files of the card".to_owned(),
        (boots, "") => format!("{boots} boot by the files of the card"),
        (boots, others) => format!("{boots} boot by the files of the card, and not {others}"),
    };
    if unknown.is_empty() { known } else { format!("{known}; unknown for {unknown}") }
}

/// Faults that users should know of although a Pi boots, each with its boards; why it is unknown whether boards boot;
/// and the fault that keeps all boards from booting.
pub fn warnings(proofs: &[BoardProof]) -> Vec<BoardFault> {
    let pis = proofs.iter().filter(|proof| proof.board != Board::Qemu);
    let mut groups = Vec::<(BoardFault, Vec<String>)>::new();
    for proof in pis.filter(|proof| proof.outcome != Outcome::DoesNotBoot) {
        let unknown = (proof.outcome == Outcome::Unknown).then(|| BoardFault::remark(proof.outcome_text()));
        for fault in unknown.into_iter().chain(proof.faults.iter().cloned()) {
            add_to_group(&mut groups, fault, proof.board);
        }
    }
    if proofs.iter().all(|proof| proof.outcome == Outcome::DoesNotBoot) {
        let first = proofs.iter().find_map(BoardProof::fatal_fault);
        groups.extend(
            first.map(|fault| (fault.clone(), vec!["no board boots by the files of the card".to_owned()])),
        );
    }
    let named = groups.into_iter().map(|(fault, boards)| BoardFault {
        message: format!("{}: {}", boards.join(", "), fault.message),
        ..fault
    });
    named.collect()
}

/// Adds `board` to the group of `text`.
fn add_to_group<T: PartialEq>(groups: &mut Vec<(T, Vec<String>)>, text: T, board: Board) {
    match groups.iter_mut().find(|(known, _)| *known == text) {
        Some((_, boards)) => boards.push(board.id()),
        None => groups.push((text, vec![board.id()])),
    }
}

impl BoardProof {
    /// The first fault that prevents the boot.
    pub fn fatal_fault(&self) -> Option<&BoardFault> {
        self.faults.iter().find(|fault| fault.prevents_boot)
    }

    /// Fails with the `kind` where the board does not boot.
    ///
    /// # Errors
    /// The first fault that prevents the boot. Its hint is the remedy of the fault, or else another image.
    pub fn require_boots(&self, kind: ExitKind) -> Result<()> {
        let board = self.board;
        match (self.outcome, self.fatal_fault()) {
            (Outcome::Boots, _) => Ok(()),
            (_, Some(BoardFault { message, hint, .. })) => {
                let text = format!("a {board} does not boot from it: {message}");
                let hint = hint.clone().unwrap_or_else(|| other_image(board));
                Err(kind.error_with_hint(text, hint))
            }
            (_, None) => Err(kind.error_with_hint(
                format!("whether a {board} boots from it is {}", self.outcome_text()),
                "`cargo xtask card inspect` with --board shows how far the proof came",
            )),
        }
    }

    /// Whether the board boots, or the first reason why not.
    fn outcome_text(&self) -> String {
        match (self.outcome, self.fatal_fault()) {
            (Outcome::Boots, _) => "boots".to_owned(),
            (Outcome::DoesNotBoot, Some(fault)) => format!("does not boot: {}", fault.message),
            _ => format!("unknown: {}", self.unknown.as_deref().unwrap_or("the proof has no reason")),
        }
    }

    /// The steps of the boot, each with its label, and then the faults.
    pub fn steps(&self) -> Vec<(&'static str, String)> {
        let mut steps = vec![("board", format!("{}: {}", self.board, self.outcome_text()))];
        let firmware = &self.firmware;
        let parts = [firmware.start.clone(), firmware.program.iter().cloned().collect()].concat();
        if !parts.is_empty() {
            steps.push(("loads", parts.join(", ")));
        }
        let with = [
            firmware.device_tree.iter().chain(&firmware.armstub).cloned().collect(),
            firmware.initramfs.clone(),
            firmware.overlays.clone(),
        ];
        let with = with.concat();
        if !with.is_empty() {
            steps.push(("with", with.join(", ")));
        }
        match &self.system {
            SystemStage::UBoot { kernel, initrd, device_tree } => {
                let tree = match device_tree {
                    LoadedTree::File(path) => path,
                    LoadedTree::Firmware => "the device tree of the firmware",
                };
                steps.push(("u-boot", format!("{kernel}, {initrd}, {tree}")));
            }
            SystemStage::Firmware { root } => {
                let root = root.as_deref().unwrap_or("what the initramfs finds");
                steps.push(("kernel", format!("mounts {root}")));
            }
            SystemStage::Nothing => {}
        }
        for (_, text) in &mut steps {
            *text = shorten(std::mem::take(text), MAX_STEP);
        }
        let label = |fault: &BoardFault| if fault.prevents_boot { "fault" } else { "warning" };
        steps.extend(self.faults.iter().map(|fault| (label(fault), fault.to_string())));
        steps
    }
}

/// The remedy for a `board` that does not boot from an image, where the fault has none.
fn other_image(board: Board) -> String {
    format!("take an image that is made for a {board}: `raspberryPi.boards` of a host names its boards")
}
