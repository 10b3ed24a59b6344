//! The proof for each board, with the files of a card.

use anyhow::Result;
use clap::ValueEnum;

use super::cached_firmware::CachedFirmware;
use super::system::System;
use super::volume::{FAT16, Volume, volumes};
use super::{firmware_volume, mounts::Mount, read};
use crate::base::hex;
use crate::boot::{
    Board, BoardFault, BoardProof, Devices, FaultKind, FirmwareStage, MenuFacts, Outcome, SystemFacts,
    SystemStage, prove,
};
use crate::card::inspect::partition::Partition;
use crate::card::inspect::partition_table::PartitionTable;
use crate::card::inspect::{Budget, ReadAt};

/// How many mounts without a device are named.
const MAX_MOUNTS: usize = 8;

/// How much of a partition has its superblock or boot sector, in bytes.
const HEAD_SIZE: u64 = 2048;

/// The position of the superblock of btrfs, in bytes from the start of the partition.
const BTRFS_SUPERBLOCK: u64 = 64 << 10;

/// The position of the UUID of an ext4, in bytes from the start of the partition.
const EXT4_UUID: std::ops::Range<usize> = 1024 + 0x68..1024 + 0x78;

/// Proves each board against the card `disk`, whose boot menu starts `system`.
pub fn prove_all(
    disk: &dyn ReadAt,
    layout: &PartitionTable,
    volumes: &[Volume],
    system: Result<&System, &anyhow::Error>,
    budget: &Budget,
) -> Vec<BoardProof> {
    let firmware = match CachedFirmware::open(disk, volumes, budget) {
        Ok(firmware) => firmware,
        Err(error) => return unreadable(&error, budget),
    };
    let system = system_facts(disk, layout, volumes, system, budget);
    let prove_one = |board: &Board| {
        let proof = prove(*board, &firmware, Some(&system));
        judge_budget(proof.unwrap_or_else(|error| unreadable_by(*board, &error)), budget)
    };
    Board::value_variants().iter().map(prove_one).collect()
}

/// Proves each board against `disk`, an image or the parts of it that were kept, with this `layout`.
///
/// # Errors
/// File systems that cannot be read.
pub fn prove_boards(disk: &dyn ReadAt, layout: &PartitionTable, budget: &Budget) -> Result<Vec<BoardProof>> {
    let volumes = volumes(disk, layout, budget)?;
    let system = System::read(disk, layout, &volumes, budget);
    Ok(prove_all(disk, layout, &volumes, system.as_ref(), budget))
}

/// Proves `board` against FIRMWARE alone, in `front`, the beginning of an image with this `layout`.
pub fn prove_firmware(front: &dyn ReadAt, layout: &PartitionTable, board: Board) -> Result<BoardProof> {
    let budget = Budget::without_stop();
    let volumes = volumes(front, layout, &budget)?;
    prove(board, &CachedFirmware::open(front, &volumes, &budget)?, None)
}

/// The proofs of a card whose FIRMWARE cannot be read.
pub fn unreadable(error: &anyhow::Error, budget: &Budget) -> Vec<BoardProof> {
    let boards = Board::value_variants().iter();
    boards.map(|board| judge_budget(unreadable_by(*board, error), budget)).collect()
}

/// The `proof`, or that nothing is known: what was not read, as the `budget` was spent, is no fault of the card.
fn judge_budget(proof: BoardProof, budget: &Budget) -> BoardProof {
    match proof.fatal_fault() {
        Some(fault) if budget.is_exhausted() => BoardProof::unknown(proof.board, fault.message.clone()),
        _ => proof,
    }
}

/// The proof of a `board` that cannot read the files of the card.
fn unreadable_by(board: Board, error: &anyhow::Error) -> BoardProof {
    let faults = vec![BoardFault::of_error(FaultKind::Unreadable, error)];
    let (firmware, system) = (FirmwareStage::default(), SystemStage::Nothing);
    BoardProof { board, outcome: Outcome::DoesNotBoot, firmware, system, faults, unknown: None }
}

/// What is on the card beside FIRMWARE.
fn system_facts(
    disk: &dyn ReadAt,
    layout: &PartitionTable,
    volumes: &[Volume],
    system: Result<&System, &anyhow::Error>,
    budget: &Budget,
) -> SystemFacts {
    let devices = devices(disk, layout, volumes, budget);
    let mounts = system.map(|system| &system.mounts[..]).unwrap_or_default();
    let missing = mounts.iter().filter(|mount| devices.lack(&mount.device));
    // The fstab of a hostile system has any number of lines.
    let faults = missing.filter_map(mount_fault).take(MAX_MOUNTS).chain(fat16_fault(volumes)).collect();
    let fault = |error| BoardFault::of_error(FaultKind::BootMenu, error);
    let menu = system.map_err(fault).map(|system| MenuFacts {
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
    Some(BoardFault::tolerable(FaultKind::FileSystem, text))
}

/// The fault of a `mount` whose device is not on the card; `None` where the card need not have the device.
fn mount_fault(mount: &Mount) -> Option<BoardFault> {
    let Mount { device, at, is_optional } = mount;
    let is_of_card = ["/", "/nix", "/nix/store", "/boot", "/boot/firmware"].contains(&at.as_str());
    let text = format!("the system mounts {at} from {device}, which no partition of the card is");
    let fault = BoardFault::fatal(FaultKind::MissingDevice, text);
    is_of_card.then_some(BoardFault { prevents_boot: !is_optional, ..fault })
}

/// The names by which Linux finds the partitions of the card.
pub(super) fn devices(
    disk: &dyn ReadAt,
    layout: &PartitionTable,
    volumes: &[Volume],
    budget: &Budget,
) -> Devices {
    let is_gpt = layout.partitions.first().is_some_and(Partition::is_in_gpt);
    let mut devices = Devices::new(is_gpt);
    for partition in &layout.partitions {
        devices.add(&format!("PARTUUID={:08x}-{:02x}", layout.id, partition.number));
        devices.add(&format!("/dev/mmcblk0p{}", partition.number));
        let head = read(disk, partition.start, partition.size.min(HEAD_SIZE), budget).unwrap_or_default();
        match volumes.iter().find(|volume| volume.partition.number == partition.number) {
            Some(Volume { filesystem, label, .. }) => {
                devices.add(&format!("LABEL={label}"));
                if let Some(uuid) = uuid(filesystem, &head) {
                    devices.add(&format!("UUID={uuid}"));
                }
            }
            // A blank partition has no file system.
            None if has_content(disk, partition, &head, budget) => devices.add_unread_filesystem(),
            None => {}
        }
    }
    devices
}

/// Whether `partition`, which begins with `head`, has content: btrfs has none in its first 64 KiB.
fn has_content(disk: &dyn ReadAt, partition: &Partition, head: &[u8], budget: &Budget) -> bool {
    let start = partition.start + BTRFS_SUPERBLOCK.min(partition.size);
    let count = HEAD_SIZE.min(partition.size.saturating_sub(BTRFS_SUPERBLOCK));
    let superblock = read(disk, start, count, budget).unwrap_or_default();
    head.iter().chain(&superblock).any(|byte| *byte != 0)
}

/// The UUID of the file system of this kind that begins with `head`, as `/dev/disk/by-uuid` has it.
fn uuid(filesystem: &str, head: &[u8]) -> Option<String> {
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
