//! The proof that a board boots from a card: what its firmware loads, what U-Boot or the kernel starts then, and what
//! is missing. Nothing is run: the proof follows the files as the boot does.

mod devices;
mod other_ways;
mod start;
mod summary;

use std::collections::BTreeSet;

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::boot::board::Board;
use crate::boot::board_fault::BoardFault;
use crate::boot::config_txt::{CONFIG, ConfigTxt, Reading};
use crate::boot::firmware::CardFirmware;
use crate::boot::firmware_stage::{FirmwareLoader, FirmwareStage};
use crate::boot::kernel::Kernel;
use start::{Start, start_program};

pub use devices::Devices;
pub use summary::{boots_only_qemu, summarize, summarize_shortly, warnings};

/// How many faults a proof has at most: hostile files have any number.
const MAX_FAULTS: usize = 20;

/// The proof for one board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BoardProof {
    pub board: Board,
    #[serde(rename = "boots", with = "boots")]
    #[schemars(with = "Option<bool>")]
    pub outcome: Outcome,
    pub firmware: FirmwareStage,
    pub system: SystemStage,
    pub faults: Vec<BoardFault>,
    /// Why it is unknown whether the board boots.
    pub unknown: Option<String>,
}

/// What a proof came to, for programs: true, false, or null where it is unknown.
mod boots {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Outcome;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub fn serialize<S: Serializer>(outcome: &Outcome, serializer: S) -> Result<S::Ok, S::Error> {
        let boots = match outcome {
            Outcome::Boots => Some(true),
            Outcome::DoesNotBoot => Some(false),
            Outcome::Unknown => None,
        };
        boots.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Outcome, D::Error> {
        let boots = Option::<bool>::deserialize(deserializer)?;
        Ok(match boots {
            Some(true) => Outcome::Boots,
            Some(false) => Outcome::DoesNotBoot,
            None => Outcome::Unknown,
        })
    }
}

/// What a proof came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Boots,
    DoesNotBoot,
    /// The board takes a way that the proof does not follow, such as UEFI, or the card could not be read in time.
    Unknown,
}

/// The second stage of the boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum SystemStage {
    /// U-Boot starts the default entry of the boot menu.
    #[serde(rename = "u_boot")]
    UBoot { kernel: String, initrd: String, device_tree: LoadedTree },
    /// The firmware itself starts the kernel, which mounts `root`.
    Firmware { root: Option<String> },
    #[default]
    Nothing,
}

/// The device tree that the kernel gets from U-Boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoadedTree {
    /// The file of the generation.
    File(String),
    /// That of the firmware.
    Firmware,
}

/// What the boot menu starts.
#[derive(Clone, Debug)]
pub struct MenuFacts {
    pub kernel: String,
    pub initrd: String,
    pub header: Kernel,
    pub device_tree: MenuTree,
}

/// The device tree that the boot menu names.
#[derive(Clone, Debug)]
pub enum MenuTree {
    /// None: U-Boot takes that of the firmware.
    Unnamed,
    File(String),
    /// A folder, with the names of the files in it that are a device tree of a board.
    Folder {
        path: String,
        files: BTreeSet<String>,
    },
}

/// What is on a card beside FIRMWARE.
#[derive(Clone, Debug)]
pub struct SystemFacts {
    /// The default entry of the boot menu, or why U-Boot starts nothing.
    pub menu: Result<MenuFacts, BoardFault>,
    pub devices: Devices,
    /// The faults of the system that do not depend on the board.
    pub faults: Vec<BoardFault>,
}

/// Proves that `board` boots from a card, or finds what prevents it. Without a `system`, only the files of FIRMWARE are
/// proved.
///
/// # Errors
/// Files that cannot be read.
pub fn prove(board: Board, firmware: &impl CardFirmware, system: Option<&SystemFacts>) -> Result<BoardProof> {
    let read = |reading| ConfigTxt::read(firmware, board, CONFIG, reading).map(Option::unwrap_or_default);
    let config = read(Reading::Lenient)?;
    let proof = prove_by(&config, board, firmware, system)?;
    let Some(line) = &config.doubtful else { return Ok(proof) };
    let strict = prove_by(&read(Reading::Strict)?, board, firmware, system)?;
    Ok(if strict.outcome == proof.outcome { proof } else { doubtful(line, &proof, &strict) })
}

/// The proof of a board that boots or not by what the firmware makes of a `line` of config.txt.
fn doubtful(line: &str, lenient: &BoardProof, strict: &BoardProof) -> BoardProof {
    let boots = |proof: &BoardProof| proof.outcome == Outcome::Boots;
    let text = match (boots(lenient), boots(strict)) {
        (true, _) => "it boots only if it does",
        (_, true) => "it boots only if it does not",
        _ => "that decides what it starts",
    };
    let why = format!("documents leave open whether the firmware reads `{line}` in config.txt, and {text}");
    BoardProof::unknown(lenient.board, why)
}

/// Proves that `board` boots by this `config`, see [`prove`].
fn prove_by(
    config: &ConfigTxt,
    board: Board,
    firmware: &impl CardFirmware,
    system: Option<&SystemFacts>,
) -> Result<BoardProof> {
    if let Some(why) = other_ways::of_firmware(firmware, board, config)? {
        return Ok(BoardProof::unknown(board, why));
    }
    let (mut loader, program) = FirmwareLoader::load(board, firmware, config)?;
    let Start { stage, unknown } = start_program(&mut loader, program, system)?;
    loader.faults.extend(system.into_iter().flat_map(|system| system.faults.iter().cloned()));
    let FirmwareLoader { mut faults, stage: firmware, .. } = loader;
    let outcome = match (faults.iter().any(|fault| fault.prevents_boot), &unknown) {
        (true, _) => Outcome::DoesNotBoot,
        (false, Some(_)) => Outcome::Unknown,
        (false, None) => Outcome::Boots,
    };
    limit_faults(&mut faults);
    Ok(BoardProof { board, outcome, firmware, system: stage, faults, unknown })
}

/// Leaves [`MAX_FAULTS`] faults, those first that prevent the boot.
fn limit_faults(faults: &mut Vec<BoardFault>) {
    let Some(more @ 1..) = faults.len().checked_sub(MAX_FAULTS) else { return };
    faults.sort_by_key(|fault| !fault.prevents_boot);
    faults.truncate(MAX_FAULTS);
    faults.push(BoardFault::remark(format!("{more} more faults, which are not listed")));
}

impl BoardProof {
    /// The proof of a board of which it is unknown whether it boots.
    pub fn unknown(board: Board, why: String) -> Self {
        let firmware = FirmwareStage::default();
        let (system, faults) = (SystemStage::Nothing, Vec::new());
        Self { board, outcome: Outcome::Unknown, firmware, system, faults, unknown: Some(why) }
    }
}

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod layout_tests;
#[cfg(test)]
mod tests;
