//! The proof that a board boots from a card: what its firmware loads, what U-Boot or the kernel starts then, and what
//! is missing. Nothing is run: the proof follows the files as the boot does.

mod summary;

use std::collections::BTreeSet;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::boot::board::{Board, Family};
use crate::boot::board_fault::BoardFault;
use crate::boot::config_txt::ConfigTxt;
use crate::boot::firmware::CardFirmware;
use crate::boot::firmware_stage::{FirmwareLoader, FirmwareStage};
use crate::boot::kernel::Kernel;
use crate::boot::program::{Program, UBootFacts};
use crate::boot::uboot::UBoot;

pub use summary::{summarize, summarize_shortly, warnings};

/// The proof for one board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardProof {
    pub board: Board,
    pub outcome: Outcome,
    pub firmware: FirmwareStage,
    pub system: SystemStage,
    pub faults: Vec<BoardFault>,
}

/// What a proof came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Boots,
    DoesNotBoot,
    /// The firmware starts a program of another kind, such as UEFI, which the proof does not follow.
    Unknown,
}

/// The second stage of the boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The names by which Linux finds the partitions of the card, such as `LABEL=NIXOS_SD`.
    pub devices: BTreeSet<String>,
    /// The faults of the system that do not depend on the board.
    pub faults: Vec<BoardFault>,
}

/// Proves that `board` boots from a card, or finds what prevents it. Without a `system`, only the files of FIRMWARE are
/// proved.
///
/// # Errors
/// Files that cannot be read.
pub fn prove(board: Board, firmware: &impl CardFirmware, system: Option<&SystemFacts>) -> Result<BoardProof> {
    let found = ConfigTxt::read(firmware, board)?;
    let config = found.unwrap_or_default();
    let (mut loader, program) = FirmwareLoader::load(board, firmware, &config)?;
    let mut is_unknown = false;
    let stage = match (program, loader.stage.program.clone()) {
        (Some(Program::UBoot(uboot)), Some(file)) => {
            loader.load_initramfs(false)?;
            check_uboot(&mut loader.faults, board, &file, &uboot);
            system
                .map(|system| start_menu(&mut loader.faults, board, &file, &uboot, system))
                .unwrap_or_default()
        }
        (Some(Program::Linux), Some(_)) => {
            loader.load_initramfs(true)?;
            start_kernel(&mut loader, system)?
        }
        (Some(Program::Arm32), Some(file)) => {
            let text = format!("{file} is a program of 32 bits");
            let fault = BoardFault::fatal(text);
            loader.faults.push(fault.with_hint("put a U-Boot or a kernel of 64 bits (AArch64) there"));
            SystemStage::Nothing
        }
        (Some(Program::Unknown), _) => {
            is_unknown = true;
            SystemStage::Nothing
        }
        _ => SystemStage::Nothing,
    };
    loader.faults.extend(system.into_iter().flat_map(|system| system.faults.iter().cloned()));
    let FirmwareLoader { faults, stage: firmware, .. } = loader;
    let outcome = match (faults.iter().any(|fault| fault.prevents_boot), is_unknown) {
        (true, _) => Outcome::DoesNotBoot,
        (false, true) => Outcome::Unknown,
        (false, false) => Outcome::Boots,
    };
    Ok(BoardProof { board, outcome, firmware, system: stage, faults })
}

/// Adds the faults of the U-Boot in `file`.
fn check_uboot(faults: &mut Vec<BoardFault>, board: Board, file: &str, uboot: &UBootFacts) {
    if uboot.is_truncated() {
        let whole = uboot.whole_size.map(|whole| format!(" of {whole}")).unwrap_or_default();
        let text = format!("{file} is truncated: it has {}{whole} bytes", uboot.size);
        faults.push(BoardFault::fatal(text));
        return;
    }
    // U-Boot drives the devices of this family only where it knows its boards.
    let is_new = board.facts().family == Family::Bcm2712;
    if is_new && !uboot.device_trees.iter().any(|name| name.starts_with("bcm2712")) {
        let fault = BoardFault::fatal(format!("the U-Boot in {file} does not know the {board}"));
        faults.push(fault.with_hint("use U-Boot 2024.04 or newer, built for rpi_arm64"));
    }
}

/// What `uboot` starts. Adds the faults of that.
fn start_menu(
    faults: &mut Vec<BoardFault>,
    board: Board,
    file: &str,
    uboot: &UBootFacts,
    system: &SystemFacts,
) -> SystemStage {
    let menu = match &system.menu {
        Ok(menu) => menu,
        Err(fault) => {
            faults.push(fault.clone());
            return SystemStage::Nothing;
        }
    };
    let room = uboot.addresses.map(|addresses| UBoot::with_room(file, addresses, menu.header));
    faults.extend(room.and_then(Result::err).map(|error| BoardFault::of_error(&error)));
    let device_tree = load_tree(faults, board, uboot, &menu.device_tree);
    SystemStage::UBoot { kernel: menu.kernel.clone(), initrd: menu.initrd.clone(), device_tree }
}

/// The device tree that `uboot` gives to the kernel. Adds a fault where the generation has none for `board`.
fn load_tree(faults: &mut Vec<BoardFault>, board: Board, uboot: &UBootFacts, tree: &MenuTree) -> LoadedTree {
    let (path, files) = match tree {
        MenuTree::Unnamed => return LoadedTree::Firmware,
        MenuTree::File(path) => return LoadedTree::File(path.clone()),
        MenuTree::Folder { path, files } => (path, files),
    };
    let facts = board.facts();
    let name = facts.kernel_tree;
    if uboot.knows(name) && files.contains(name) {
        return LoadedTree::File(name.to_owned());
    }
    // U-Boot goes on with the device tree of the firmware, which is made for another kernel.
    if !uboot.knows(name) || !facts.is_in_mainline {
        return LoadedTree::Firmware;
    }
    let text = format!("no {name} in {path} (the device tree of the {board} for this kernel)");
    let hint = "let `hardware.deviceTree.filter` match it";
    faults.push(BoardFault::fatal(text).with_hint(hint));
    LoadedTree::Firmware
}

/// What the kernel mounts that the firmware itself starts. Adds the faults of its command line.
fn start_kernel<F: CardFirmware>(
    loader: &mut FirmwareLoader<F>,
    system: Option<&SystemFacts>,
) -> Result<SystemStage> {
    let file = loader.prefixed(loader.config.file("cmdline").unwrap_or("cmdline.txt"));
    let Some(text) = loader.firmware.text(&file)? else {
        let text = format!("no {file} (the command line of the kernel)");
        loader.faults.push(BoardFault::fatal(text));
        return Ok(SystemStage::Nothing);
    };
    let root = text.split_whitespace().rev().find_map(|word| word.strip_prefix("root=")).map(str::to_owned);
    let is_missing = |root: &str| system.is_some_and(|system| !system.devices.contains(root));
    match &root {
        Some(root) if names_partition(root) && is_missing(root) => {
            let text = format!("{file} has root={root}, which no partition of the card is");
            loader.faults.push(BoardFault::fatal(text));
        }
        Some(_) => {}
        // With an initrd, its programs know the root.
        None if !loader.stage.initramfs.is_empty() => {}
        None => loader.faults.push(BoardFault::fatal(format!("{file} has no root= for the kernel"))),
    }
    Ok(SystemStage::Firmware { root })
}

/// Whether `root` names a partition of the card itself, not of another disk or a network.
fn names_partition(root: &str) -> bool {
    ["LABEL=", "UUID=", "PARTUUID=", "/dev/mmcblk0p", "/dev/disk/by-"]
        .iter()
        .any(|prefix| root.starts_with(prefix))
}

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod tests;
