//! The boot files of a card, read from its file systems: their labels, the files that U-Boot starts, the U-Boot
//! programs, which must have room for the kernel, and the trial of another system.

mod boards;
mod cached_firmware;
mod login_files;
mod mounts;
mod system;
mod volume;

use anyhow::{Context, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::budget::{Budget, LimitedRegion};
use super::fat::Fat;
use super::partition_table::{HEAD, PartitionTable};
use super::read_at::ReadAt;
use crate::base::failure::{ExitKind, kind};
use crate::boot::{self, Board, BoardProof, FirmwareStage, Kernel, Trial, UBoot};
use crate::failure;
use system::System;
use volume::volumes;

pub use boards::{prove_boards, prove_firmware};
pub use login_files::{LoginFiles, read as read_login_files};
pub use volume::{Filesystem, Volume, identify_filesystem};

/// The boot files of a card that can start a system from its bootable partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BootFiles {
    pub volumes: Vec<Volume>,
    pub boot: Boot,
    /// The U-Boot programs on FIRMWARE that the firmware of a Pi starts.
    pub uboots: Vec<UBoot>,
    /// Whether the next boot may try another system.
    pub trial: Trial,
}

/// The files that U-Boot starts by default. All of them exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SystemFiles")]
pub struct Boot {
    pub kernel: String,
    pub initrd: String,
    /// The first program of the system, in /nix/store.
    pub init: String,
    /// The number of store paths on the card.
    pub store_paths: usize,
}

/// What was read of the boot of a card.
pub(super) struct BootReading {
    /// The boot files, or the fault that prevents the card from booting by U-Boot.
    pub files: Result<BootFiles>,
    /// The proof of each board, the emulator included.
    pub boards: Vec<BoardProof>,
}

/// Reads the boot files of the card (or the decompressed image) `disk` with this `layout`. Partitions that U-Boot does
/// not read may have any content.
pub(super) fn read_boot(disk: &dyn ReadAt, layout: &PartitionTable, budget: &Budget) -> BootReading {
    let volumes = match volumes(disk, layout, budget) {
        Ok(volumes) => volumes,
        Err(error) => {
            let boards = boards::unreadable(&error, budget);
            return BootReading { files: Err(error), boards };
        }
    };
    let system = System::read(disk, layout, &volumes, budget);
    let boards = boards::prove_all(disk, layout, &volumes, system.as_ref(), budget);
    BootReading { files: system.and_then(|system| boot_files(disk, volumes, system, budget)), boards }
}

/// The boot files of a card with this `system`.
///
/// # Errors
/// Every fault that prevents the card from booting by U-Boot, and a card that cannot be read.
fn boot_files(disk: &dyn ReadAt, volumes: Vec<Volume>, system: System, budget: &Budget) -> Result<BootFiles> {
    let uboots = find_uboots(disk, &volumes, system.header, budget)?;
    let trial = find_trial(disk, &volumes, budget)?;
    Ok(BootFiles { volumes, boot: system.boot, uboots, trial })
}

/// What U-Boot does with the files of a trial on FIRMWARE, the first partition with FAT. Where they cannot be read, the
/// trial is [`Trial::Impossible`]: U-Boot then starts the default of the boot menu.
///
/// # Errors
/// `Interrupted`.
fn find_trial<'a>(disk: &'a dyn ReadAt, volumes: &[Volume], budget: &Budget<'a>) -> Result<Trial> {
    let Some(volume) = volumes.iter().find(|volume| volume.is_fat()) else { return Ok(Trial::Absent) };
    match read_trial(disk, volume, budget) {
        Err(error) if kind(&error) != ExitKind::Interrupted => {
            Ok(Trial::Impossible { why: format!("{error:#}") })
        }
        read => read,
    }
}

/// Reads the trial from its files on `volume`, which is FIRMWARE.
fn read_trial<'a>(disk: &'a dyn ReadAt, volume: &Volume, budget: &Budget<'a>) -> Result<Trial> {
    let read = |name| {
        let content = open_fat(disk, volume, budget).and_then(|firmware| firmware.read(name));
        content.with_context(|| format!("reading {name}"))
    };
    let script = read(boot::TRIAL_SCRIPT)?;
    let flag = read(boot::TRIAL_FLAG)?;
    Ok(Trial::of(script.as_deref(), flag.as_deref(), volume.partition.bootable))
}

/// What the firmware of a board hands over to.
#[derive(Debug)]
pub struct BoardStart {
    /// The content of the U-Boot or of the kernel.
    pub program: Vec<u8>,
    pub device_tree: Vec<u8>,
}

/// Reads what the firmware of `board` starts from the card `disk` of `size` bytes, by its `config.txt`.
///
/// # Errors
/// `Verification` where `board` does not boot from FIRMWARE, and a card that cannot be read.
pub fn board_start(disk: &dyn ReadAt, size: u64, board: Board) -> Result<BoardStart> {
    let budget = Budget::without_stop();
    let layout = PartitionTable::parse(&read(disk, 0, HEAD.min(size), &budget)?, size)?;
    let proof = prove_firmware(disk, &layout, board)?;
    proof.require_boots(ExitKind::Verification)?;
    let volumes = volumes(disk, &layout, &budget)?;
    let firmware = open_fat(disk, firmware_volume(&volumes)?, &budget)?;
    let read = |path: Option<&String>| {
        let path = path.context("the firmware starts nothing")?;
        firmware.read(path)?.ok_or_else(|| failure!(Verification, "FIRMWARE has no {path}"))
    };
    let FirmwareStage { program, device_tree, .. } = &proof.firmware;
    Ok(BoardStart { program: read(program.as_ref())?, device_tree: read(device_tree.as_ref())? })
}

/// Opens the FAT file system of `volume`.
fn open_fat<'a>(disk: &'a dyn ReadAt, volume: &Volume, budget: &Budget<'a>) -> Result<Fat<'a>> {
    Fat::open(LimitedRegion::new(disk, volume.partition.start, volume.partition.size, budget.clone()))
}

/// The U-Boot programs on the partition that the firmware of a Pi reads, the first with FAT32 or FAT16. Fails where one
/// of them has no room for `kernel`.
fn find_uboots<'a>(
    disk: &'a dyn ReadAt,
    volumes: &[Volume],
    kernel: Kernel,
    budget: &Budget<'a>,
) -> Result<Vec<UBoot>> {
    let volume = firmware_volume(volumes)?;
    let doing = || format!("reading {} on partition {}", volume.label, volume.partition.number);
    let firmware = open_fat(disk, volume, budget).with_context(doing)?;
    boot::uboots_with_room(boot::uboot_programs(&firmware).with_context(doing)?, kernel)
}

/// The partition that the firmware of a Pi reads: the first with FAT32 or FAT16.
fn firmware_volume(volumes: &[Volume]) -> Result<&Volume> {
    volumes.iter().find(|volume| volume.is_fat()).ok_or_else(|| {
        failure!(Verification, "no partition has FAT32 or FAT16, from which every Pi reads its firmware")
    })
}

/// Reads `count` bytes of the card from byte `start` on.
pub(super) fn read(disk: &dyn ReadAt, start: u64, count: u64, budget: &Budget) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(count)?];
    LimitedRegion::new(disk, start, count, budget.clone()).read(0, &mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod board_tests;
#[cfg(test)]
mod tests;
