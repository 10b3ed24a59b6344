//! The inspection of a card: one of this project, a blank one, a foreign one, or what an interrupted flash left.

use std::fmt;

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::boot_files::{BootReading, Filesystem, identify_filesystem, read, read_boot};
use super::budget::Budget;
use super::partition::Partition;
use super::partition_table::{HEAD, PartitionTable};
use super::read_at::ReadAt;
use super::verdict::Verdict;
use crate::bail;
use crate::base::{Bytes, Format, is_all_zero};
use crate::boot::BoardProof;

/// The result of an inspection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Inspection {
    /// The partition table, if it is undamaged.
    pub layout: Option<PartitionTable>,
    /// The partitions with their file systems, in the order of the table.
    pub partitions: Vec<FoundPartition>,
    pub verdict: Verdict,
    /// The proof of each board; none where the card has no partition table.
    #[serde(default)]
    pub boards: Vec<BoardProof>,
}

/// A partition, with its file system if that is of a known kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FoundPartition {
    pub partition: Partition,
    pub filesystem: Option<String>,
    pub label: Option<String>,
}

/// The number of samples of the first 64 MiB of a card, and of the whole card, that decide whether the card is blank.
const SAMPLES: u64 = 64;
/// The size of a sample in bytes.
const SAMPLE_SIZE: u64 = 4096;

/// Inspects the card `disk` of `size` bytes.
///
/// # Errors
/// A card whose first MiB cannot be read, and a request to stop. Every other fault is part of the result.
pub fn inspect(disk: &dyn ReadAt, size: u64, budget: &Budget) -> Result<Inspection> {
    let head = read(disk, 0, HEAD.min(size), budget)?;
    inspect_with_head(disk, &head, size, budget)
}

/// Like [`inspect`], for a card whose first MiB is `head`.
fn inspect_with_head(disk: &dyn ReadAt, head: &[u8], size: u64, budget: &Budget) -> Result<Inspection> {
    let layout = match layout(disk, head, size, budget) {
        Ok(layout) => layout,
        Err(error) => {
            budget.check_stop()?;
            let verdict = Verdict::no(&error);
            return Ok(Inspection { layout: None, partitions: Vec::new(), verdict, boards: Vec::new() });
        }
    };
    let inspection = inspect_partitions(disk, layout, budget);
    budget.check_stop()?;
    Ok(inspection)
}

/// Inspects the partitions of `layout` on `disk`.
pub fn inspect_partitions(disk: &dyn ReadAt, layout: PartitionTable, budget: &Budget) -> Inspection {
    let BootReading { files, boards } = read_boot(disk, &layout, budget);
    let verdict = Verdict::of(files, &boards);
    let partitions = layout.partitions.iter().map(|partition| identify(disk, partition, budget)).collect();
    Inspection { layout: Some(layout), partitions, verdict, boards }
}

/// The partition table in `head`, the first MiB of the card.
///
/// # Errors
/// A card without a valid partition table, named by what the card has instead, and a sample that cannot be read.
fn layout(disk: &dyn ReadAt, head: &[u8], size: u64, budget: &Budget) -> Result<PartitionTable> {
    if is_all_zero(head) {
        if is_blank(disk, size, budget)? {
            bail!(Verification, "the card is blank");
        }
        bail!(
            Verification,
            "the first MiB is blank, but not the rest: a flash of this card was broken off";
            hint: "run the flash again"
        );
    }
    if let Some(Filesystem { kind, label }) = known_filesystem(head) {
        let suffix = if label.is_empty() { label } else { format!(" ({label})") };
        bail!(Verification, "no partition table, only a file system: {kind}{suffix}");
    }
    let format = Format::sniff(head);
    if let Some(command) = format.decompress_command() {
        bail!(
            Verification,
            "the content is compressed ({format})";
            hint: "decompress the image first: `{command} IMAGE >DISK.img`"
        );
    }
    PartitionTable::parse(head, size)
}

/// Whether samples of a card are blank: of its first 64 MiB, where an image would be, and of the whole card. Fails
/// where a sample cannot be read.
fn is_blank(disk: &dyn ReadAt, size: u64, budget: &Budget) -> Result<bool> {
    let last = size.saturating_sub(SAMPLE_SIZE);
    let step = size / SAMPLES;
    for at in (1..=SAMPLES).flat_map(|index| [index * HEAD, index * step]) {
        let sample = read(disk, at.min(last), SAMPLE_SIZE.min(size), budget)?;
        if !is_all_zero(&sample) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `partition` with its file system. A partition that cannot be read has none.
fn identify(disk: &dyn ReadAt, partition: &Partition, budget: &Budget) -> FoundPartition {
    let head = read(disk, partition.start, partition.size.min(2048), budget).unwrap_or_default();
    let filesystem = known_filesystem(&head);
    FoundPartition {
        partition: partition.clone(),
        filesystem: filesystem.as_ref().map(|found| found.kind.to_owned()),
        label: filesystem.map(|found| found.label).filter(|label| !matches!(label.as_str(), "" | "NO NAME")),
    }
}

/// File systems that no card of this project has: an offset in bytes, the magic bytes there, and the name.
const OTHER_FILESYSTEMS: &[(usize, &[u8], &str)] = &[
    (3, b"EXFAT   ", "exFAT"),
    (3, b"NTFS    ", "NTFS"),
    (54, b"FAT1", "FAT"),
    (0, b"XFSB", "XFS"),
    (0, b"hsqs", "squashfs"),
    (1024, b"\x10\x20\xf5\xf2", "F2FS"),
];

/// The file system that begins with `head`; `None` for an unknown one. Those of [`OTHER_FILESYSTEMS`] get no label.
fn known_filesystem(head: &[u8]) -> Option<Filesystem> {
    let has_magic = |at: usize, magic: &[u8]| head.get(at..at + magic.len()) == Some(magic);
    identify_filesystem(head).or_else(|| {
        let (_, _, kind) = OTHER_FILESYSTEMS.iter().find(|(at, magic, _)| has_magic(*at, magic))?;
        Some(Filesystem { kind, label: String::new() })
    })
}

impl Inspection {
    /// Whether the card has the partitions of an image with the partition table `image`. A partition of the card may be
    /// larger, because the first boot grows it; the bootable flags do not matter.
    pub fn has_partitions_of(&self, image: &PartitionTable) -> bool {
        let Some(layout) = &self.layout else { return false };
        let is_same_or_grown = |(on_card, in_image): (&Partition, &Partition)| {
            (on_card.number, &on_card.kind, on_card.start)
                == (in_image.number, &in_image.kind, in_image.start)
                && on_card.size >= in_image.size
        };
        layout.id == image.id
            && layout.partitions.len() == image.partitions.len()
            && layout.partitions.iter().zip(&image.partitions).all(is_same_or_grown)
    }
}

impl fmt::Display for FoundPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, filesystem, label } = self;
        let Some(filesystem) = filesystem else { return partition.fmt(f) };
        let label = label.as_ref().map(|label| format!("{label}, ")).unwrap_or_default();
        let boot = if partition.bootable { ", bootable" } else { "" };
        write!(f, "{}: {label}{filesystem}, {}{boot}", partition.number, Bytes(partition.size))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::sync::atomic::AtomicBool;

    use super::super::partition_table::tests::mbr;
    use super::*;
    use crate::base::failure::{self, ExitKind};

    const SIZE: u64 = 16 << 20;

    const BROKEN_OFF: &str = "the first MiB is blank, but not the rest: a flash of this card was broken off";

    /// Inspects a card of [`SIZE`] bytes that has the `pieces` at their offsets, and zeros elsewhere.
    fn inspect_card(pieces: &[(u64, &[u8])]) -> Inspection {
        let disk = tempfile::tempfile().unwrap();
        disk.set_len(SIZE).unwrap();
        for (at, piece) in pieces {
            disk.write_all_at(piece, *at).unwrap();
        }
        inspect(&disk, SIZE, &Budget::without_stop()).unwrap()
    }

    #[track_caller]
    fn check(pieces: &[(u64, &[u8])], why: &str, partitions: &[&str]) {
        let found = inspect_card(pieces);
        let hint = (why == BROKEN_OFF).then(|| "run the flash again".to_owned());
        assert_eq!(found.verdict, Verdict::No { why: why.to_owned(), hint: hint.clone() });
        let shown = found.partitions.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown, partitions);
        let error = found.into_boot_files().unwrap_err();
        assert_eq!((error.to_string().as_str(), failure::kind(&error)), (why, ExitKind::Verification));
        assert_eq!(failure::hint(&error), hint.as_deref());
    }

    #[test]
    fn the_fault_that_prevents_a_card_from_booting_is_named() {
        let fat: [(u64, &[u8]); 2] = [(71, b"PHOTOS     "), (82, b"FAT32   ")];
        let fat_at = |start: u64| fat.map(|(at, bytes)| (start + at, bytes));
        check(&[], "the card is blank", &[]);
        check(&[(9 << 20, b"x")], BROKEN_OFF, &[]);
        check(&[(SIZE - 1, b"x")], BROKEN_OFF, &[]);
        check(&[(0, b"x")], "no partition table (no 0x55AA at the end of the first sector)", &[]);
        check(&fat_at(0), "no partition table, only a file system: FAT32 (PHOTOS)", &[]);
        check(&[(3, b"EXFAT   ")], "no partition table, only a file system: exFAT", &[]);
        check(&[(0, &mbr(&[]))], "the partition table is empty", &[]);
        let beyond = mbr(&[(0x83, true, 2048, 65536)]);
        let text = "partition 1 ends at byte 34603008, beyond the end of the disk or image at byte 16777216";
        check(&[(0, &beyond)], text, &[]);
        let two = mbr(&[(0x07, false, 2048, 2048), (0x0c, false, 8192, 2048)]);
        let exfat: (u64, &[u8]) = ((1 << 20) + 3, b"EXFAT   ");
        let [first, second] = fat_at(4 << 20);
        check(
            &[(0, &two), exfat, first, second],
            "no partition is marked bootable",
            &["1: exFAT, 1.0 MiB", "2: PHOTOS, FAT32, 1.0 MiB"],
        );
        let shared = mbr(&[(0x83, false, 2048, 2048), (0x83, true, 4095, 2048)]);
        let text = "partitions 2 and 1 overlap: a write to one changes the other";
        check(&[(0, &shared)], text, &["1: Linux, 1.0 MiB", "2: Linux, 1.0 MiB, bootable"]);
        let raw = mbr(&[(0x83, true, 2048, 2048)]);
        let text = "partition 1 is marked bootable, but has no ext4";
        check(&[(0, &raw)], text, &["1: Linux, 1.0 MiB, bootable"]);
    }

    #[test]
    fn a_compressed_image_is_named() {
        let found = inspect_card(&[(0, &[0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3, 4])]);
        let hint = Some("decompress the image first: `zstd -dc IMAGE >DISK.img`".to_owned());
        assert_eq!(found.verdict, Verdict::No { why: "the content is compressed (zstd)".into(), hint });
    }

    #[test]
    fn an_unreadable_sample_is_no_broken_flash() {
        let disk = tempfile::tempfile().unwrap();
        disk.set_len(SIZE / 2).unwrap();
        let found = inspect(&disk, SIZE, &Budget::without_stop()).unwrap();
        let Verdict::No { why, hint: None } = &found.verdict else { panic!("{found:?}") };
        assert!(why.starts_with("reading 4096 bytes at byte 8388608: "), "{why}");
    }

    /// Neither samples nor file systems that were not read decide the verdict.
    #[test]
    fn a_stopped_inspection_has_no_verdict() {
        let stop = AtomicBool::new(true);
        let disk = tempfile::tempfile().unwrap();
        disk.set_len(SIZE).unwrap();
        for head in [&[0; 512], &mbr(&[(0x83, false, 2048, 2048)])] {
            let error = inspect_with_head(&disk, head, SIZE, &Budget::new(&stop)).unwrap_err();
            assert_eq!(failure::kind(&error), ExitKind::Interrupted, "{error}");
        }
    }

    #[test]
    fn an_image_is_recognized_after_its_first_boot() {
        let image = [(0x0b, false, 2048, 2048), (0x83, true, 4096, 2048)];
        let origin = PartitionTable::parse(&mbr(&image), SIZE).unwrap();
        let is_of_image = |second: (u8, bool, u32, u32)| {
            inspect_card(&[(0, &mbr(&[image[0], second]))]).has_partitions_of(&origin)
        };
        for second in [image[1], (0x83, true, 4096, 20480), (0x83, false, 4096, 2048)] {
            assert!(is_of_image(second), "{second:?}");
        }
        for second in [(0x83, true, 4096, 2000), (0x83, true, 4104, 2048), (0x82, true, 4096, 2048)] {
            assert!(!is_of_image(second), "{second:?}");
        }
        assert!(!inspect_card(&[(0, &mbr(&image[..1]))]).has_partitions_of(&origin));
        assert!(!inspect_card(&[]).has_partitions_of(&origin));
    }
}
