//! What the program starts that the firmware has loaded: U-Boot its boot menu, a kernel its root.

use anyhow::Result;

use super::{LoadedTree, MenuFacts, MenuTree, SystemFacts, SystemStage, other_ways};
use crate::boot::board::{Board, Family};
use crate::boot::board_fault::{BoardFault, FaultKind, shorten};
use crate::boot::firmware::CardFirmware;
use crate::boot::firmware_stage::FirmwareLoader;
use crate::boot::host_board::{TREE_HINT, missing_tree};
use crate::boot::program::{Program, UBootFacts};
use crate::boot::uboot::UBoot;

/// How much of a `root=` is named, in characters.
const MAX_ROOT: usize = 200;

/// What the program starts that the firmware has loaded.
#[derive(Default)]
pub struct Start {
    pub stage: SystemStage,
    /// Why it is unknown what starts.
    pub unknown: Option<String>,
}

impl Start {
    fn unknown(why: String) -> Self {
        Self { unknown: Some(why), ..Self::default() }
    }
}

/// What `program` starts. Adds the faults of that.
///
/// # Errors
/// Files that cannot be read.
pub fn start_program<F: CardFirmware>(
    loader: &mut FirmwareLoader<F>,
    program: Option<Program>,
    system: Option<&SystemFacts>,
) -> Result<Start> {
    let (Some(program), Some(file)) = (program, loader.stage.program.clone()) else {
        let other = other_ways::of_armstub(loader.firmware, loader.stage.armstub.as_deref())?;
        if other.is_none() {
            loader.faults.push(loader.no_kernel_fault()?);
        }
        return Ok(Start { unknown: other, ..Start::default() });
    };
    match program {
        Program::UBoot(uboot) => start_uboot(loader, &file, &uboot, system),
        Program::Linux => {
            loader.load_initramfs(true)?;
            Ok(Start { stage: start_kernel(loader, system)?, unknown: None })
        }
        Program::Arm32 => {
            let text = format!("{file} is a program of 32 bits");
            let fault = BoardFault::fatal(FaultKind::ProcessorMode, text);
            loader.faults.push(fault.with_hint("put a U-Boot or a kernel of 64 bits (AArch64) there"));
            Ok(Start::default())
        }
        Program::Linux32 => {
            Ok(Start::unknown(format!("the firmware starts {file}, a Linux kernel of 32 bits")))
        }
        Program::Unknown | Program::Empty => {
            let why = format!("the firmware starts {file}, which is neither U-Boot nor a Linux kernel");
            Ok(Start::unknown(why))
        }
    }
}

/// What the `uboot` in `file` starts. Adds the faults of that.
fn start_uboot<F: CardFirmware>(
    loader: &mut FirmwareLoader<F>,
    file: &str,
    uboot: &UBootFacts,
    system: Option<&SystemFacts>,
) -> Result<Start> {
    let board = loader.board;
    loader.load_initramfs(false)?;
    check_uboot(&mut loader.faults, board, file, uboot);
    let Some(system) = system else { return Ok(Start::default()) };
    match &system.menu {
        Ok(menu) => Ok(start_menu(&mut loader.faults, board, file, uboot, menu)),
        Err(fault) => {
            let unknown = other_ways::of_uboot(loader.firmware)?;
            if unknown.is_none() {
                loader.faults.push(fault.clone());
            }
            Ok(Start { unknown, ..Start::default() })
        }
    }
}

/// Adds the faults of the U-Boot in `file`.
fn check_uboot(faults: &mut Vec<BoardFault>, board: Board, file: &str, uboot: &UBootFacts) {
    if uboot.is_truncated() {
        let whole = uboot.whole_size.map(|whole| format!(" of {whole}")).unwrap_or_default();
        let text = format!("{file} is truncated: it has {}{whole} bytes", uboot.size);
        faults.push(BoardFault::fatal(FaultKind::Program, text));
        return;
    }
    // U-Boot drives the devices of this family only where it knows its boards.
    let is_new = board.facts().family == Family::Bcm2712;
    if is_new && !uboot.device_trees.iter().any(|name| name.starts_with("bcm2712")) {
        let text = format!("the U-Boot in {file} does not know the {board}");
        let fault = BoardFault::fatal(FaultKind::UnknownBoard, text);
        faults.push(fault.with_hint("use U-Boot 2024.04 or newer, built for rpi_arm64"));
    }
}

/// What `uboot` starts from the `menu`. Adds the faults of that.
fn start_menu(
    faults: &mut Vec<BoardFault>,
    board: Board,
    file: &str,
    uboot: &UBootFacts,
    menu: &MenuFacts,
) -> Start {
    let room = uboot.addresses.map(|addresses| UBoot::with_room(file, addresses, menu.header));
    let error = room.and_then(Result::err);
    faults.extend(error.map(|error| BoardFault::of_error(FaultKind::KernelSize, &error)));
    let (device_tree, unknown) = load_tree(faults, board, uboot, &menu.device_tree);
    let stage = SystemStage::UBoot { kernel: menu.kernel.clone(), initrd: menu.initrd.clone(), device_tree };
    Start { stage, unknown }
}

/// The device tree that `uboot` gives to the kernel, and why it is unknown whether the kernel boots with that of the
/// firmware: the generation has none for `board`, see [`host_board`](crate::boot::host_board). Adds a fault where it
/// has none for one of the revisions of `board`.
fn load_tree(
    faults: &mut Vec<BoardFault>,
    board: Board,
    uboot: &UBootFacts,
    tree: &MenuTree,
) -> (LoadedTree, Option<String>) {
    let (path, files) = match tree {
        MenuTree::Unnamed => return (LoadedTree::Firmware, None),
        MenuTree::File(path) => return (LoadedTree::File(path.clone()), None),
        MenuTree::Folder { path, files } => (path, files),
    };
    let facts = board.facts();
    let wanted = facts.kernel_trees.iter().copied().filter(|name| uboot.knows(name));
    let (found, missing): (Vec<_>, Vec<_>) = wanted.partition(|name| files.contains(*name));
    let is_lacking = facts.is_in_mainline && !missing.is_empty();
    let Some(first) = found.first() else {
        return (LoadedTree::Firmware, is_lacking.then(|| missing_tree(missing, path)));
    };
    if is_lacking {
        let fault = BoardFault::tolerable(FaultKind::DeviceTree, missing_tree(missing, path));
        faults.push(fault.with_hint(TREE_HINT));
    }
    (LoadedTree::File((*first).to_owned()), None)
}

/// What the kernel mounts that the firmware itself starts. Adds the faults of its command line.
fn start_kernel<F: CardFirmware>(
    loader: &mut FirmwareLoader<F>,
    system: Option<&SystemFacts>,
) -> Result<SystemStage> {
    let file = loader.prefixed(loader.config.file("cmdline").unwrap_or("cmdline.txt"));
    let Some(text) = loader.firmware.text(&file)? else {
        let text = format!("no {file} (the command line of the kernel)");
        loader.faults.push(BoardFault::fatal(FaultKind::CommandLine, text));
        return Ok(SystemStage::Nothing);
    };
    let root = text.split_whitespace().rev().find_map(|word| word.strip_prefix("root=")).map(str::to_owned);
    match &root {
        Some(root) if system.is_some_and(|system| system.devices.lack(root)) => {
            let text = format!("{file} has root={root}, which no partition of the card is");
            loader.faults.push(BoardFault::fatal(FaultKind::MissingDevice, text));
        }
        Some(_) => {}
        // With an initrd, its programs know the root.
        None if !loader.stage.initramfs.is_empty() => {}
        None => {
            let text = format!("{file} has no root= for the kernel");
            loader.faults.push(BoardFault::fatal(FaultKind::CommandLine, text));
        }
    }
    let root = root.map(|root| shorten(root, MAX_ROOT));
    Ok(SystemStage::Firmware { root })
}
