//! The proof for each board, with the files of a card.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::system::System;
use super::volume::{FAT16, Volume, volumes};
use super::{firmware_volume, mounts::Mount, open_fat, read};
use crate::boot::{
    Board, BoardFault, BoardProof, CardFirmware, FirmwareStage, MenuFacts, Outcome, Program, SystemFacts,
    SystemStage, prove,
};
use crate::card::inspect::Budget;
use crate::card::inspect::fat::Fat;
use crate::card::inspect::partition::Partition;
use crate::card::inspect::partition_table::PartitionTable;

/// The position of the UUID of an ext4, in bytes from the start of the partition.
const EXT4_UUID: std::ops::Range<usize> = 1024 + 0x68..1024 + 0x78;

/// Proves each board against the card `disk`, whose boot menu starts `system`.
pub fn prove_all(
    disk: &File,
    layout: &PartitionTable,
    volumes: &[Volume],
    system: Result<&System, &anyhow::Error>,
    budget: &Budget,
) -> Vec<BoardProof> {
    let firmware = CachedFirmware::open(disk, volumes, budget);
    let system = system_facts(disk, layout, volumes, system, budget);
    let prove_one = |board: &Board| {
        let proof = match &firmware {
            Ok(firmware) => prove(*board, firmware, Some(&system)),
            Err(error) => return unreadable(*board, error),
        };
        proof.unwrap_or_else(|error| unreadable(*board, &error))
    };
    Board::value_variants().iter().map(prove_one).collect()
}

/// Proves `board` against FIRMWARE alone, in `front`, the beginning of an image with this `layout`.
pub fn prove_firmware(front: &File, layout: &PartitionTable, board: Board) -> Result<BoardProof> {
    let budget = Budget::without_stop();
    let volumes = volumes(front, layout, &budget)?;
    prove(board, &CachedFirmware::open(front, &volumes, &budget)?, None)
}

/// The proof of a card whose files cannot be read.
fn unreadable(board: Board, error: &anyhow::Error) -> BoardProof {
    let faults = vec![BoardFault::of_error(error)];
    let firmware = FirmwareStage::default();
    BoardProof { board, outcome: Outcome::DoesNotBoot, firmware, system: SystemStage::Nothing, faults }
}

/// What is on the card beside FIRMWARE.
fn system_facts(
    disk: &File,
    layout: &PartitionTable,
    volumes: &[Volume],
    system: Result<&System, &anyhow::Error>,
    budget: &Budget,
) -> SystemFacts {
    let devices = device_names(disk, layout, volumes, budget);
    let mounts = system.map(|system| &system.mounts[..]).unwrap_or_default();
    let missing = mounts.iter().filter(|mount| !devices.contains(&mount.device));
    let faults = missing.filter_map(|mount| mount_fault(mount, layout)).chain(fat16_fault(volumes)).collect();
    let menu = system.map_err(BoardFault::of_error).map(|system| MenuFacts {
        kernel: system.boot.kernel.clone(),
        initrd: system.boot.initrd.clone(),
        header: system.header,
        device_tree: system.device_tree.clone(),
    });
    SystemFacts { menu, devices, faults }
}

/// The fault of a FIRMWARE with FAT16, which only some bootloaders of the Pi have been seen to read.
fn fat16_fault(volumes: &[Volume]) -> Option<BoardFault> {
    let volume = firmware_volume(volumes).ok().filter(|volume| volume.filesystem == FAT16)?;
    let text = format!("partition {} has FAT16, where NixOS images have FAT32", volume.partition.number);
    Some(BoardFault::tolerable(text))
}

/// The fault of a `mount` whose device is not on the card. `None` where the card need not have the device: one of
/// another disk, or a partition of a GPT, whose names are not read.
fn mount_fault(mount: &Mount, layout: &PartitionTable) -> Option<BoardFault> {
    let Mount { device, at, is_optional } = mount;
    let is_of_card = ["/", "/nix", "/nix/store", "/boot", "/boot/firmware"].contains(&at.as_str());
    let is_in_gpt = layout.partitions.first().is_some_and(Partition::is_in_gpt);
    if !is_of_card || is_in_gpt && device.starts_with("PART") {
        return None;
    }
    let text = format!("the system mounts {at} from {device}, which no partition of the card is");
    Some(BoardFault { prevents_boot: !is_optional, ..BoardFault::fatal(text) })
}

/// The names by which Linux finds the partitions of the card.
fn device_names(
    disk: &File,
    layout: &PartitionTable,
    volumes: &[Volume],
    budget: &Budget,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for partition in &layout.partitions {
        names.insert(format!("PARTUUID={:08x}-{:02x}", layout.id, partition.number));
        names.insert(format!("/dev/mmcblk0p{}", partition.number));
    }
    for Volume { partition, filesystem, label } in volumes {
        names.insert(format!("LABEL={label}"));
        let head = read(disk, partition.start, partition.size.min(2048), budget).unwrap_or_default();
        names.extend(uuid(filesystem, &head).map(|uuid| format!("UUID={uuid}")));
    }
    names
}

/// The UUID of the file system of this kind that begins with `head`, as `/dev/disk/by-uuid` has it.
fn uuid(filesystem: &str, head: &[u8]) -> Option<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let volume_id = |at: usize| {
        let id = head.get(at..at + 4)?.iter().rev().copied().collect::<Vec<_>>();
        Some(format!("{}-{}", hex(&id[..2]), hex(&id[2..])).to_ascii_uppercase())
    };
    match filesystem {
        "FAT32" => volume_id(67),
        "FAT16" => volume_id(39),
        _ => {
            let bytes = head.get(EXT4_UUID)?;
            let groups = [0..4, 4..6, 6..8, 8..10, 10..16].map(|group| hex(&bytes[group]));
            Some(groups.join("-"))
        }
    }
}

/// The FIRMWARE of a card. Boards share their U-Boot, which is read once.
struct CachedFirmware<'a> {
    fat: Fat<'a>,
    programs: RefCell<HashMap<String, Option<Program>>>,
}

impl<'a> CachedFirmware<'a> {
    fn open(disk: &'a File, volumes: &[Volume], budget: &Budget<'a>) -> Result<Self> {
        let volume = firmware_volume(volumes)?;
        let doing = || format!("reading {} on partition {}", volume.label, volume.partition.number);
        let fat = open_fat(disk, volume, budget).with_context(doing)?;
        Ok(Self { fat, programs: RefCell::default() })
    }
}

impl CardFirmware for CachedFirmware<'_> {
    fn text(&self, path: &str) -> Result<Option<String>> {
        self.fat.text(path)
    }

    fn size(&self, path: &str) -> Result<Option<u64>> {
        self.fat.size(path)
    }

    fn program(&self, path: &str) -> Result<Option<Program>> {
        if let Some(known) = self.programs.borrow().get(path) {
            return Ok(known.clone());
        }
        let program = self.fat.program(path)?;
        self.programs.borrow_mut().insert(path.to_owned(), program.clone());
        Ok(program)
    }
}
