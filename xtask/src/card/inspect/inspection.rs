//! What is on a card, whatever it is: one of ours, a blank one, one of somebody else, or the remains of a flash.

use std::fmt;
use std::fs::File;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::boot_files::{BootFiles, contents, label, read};
use super::budget::Budget;
use super::partition::Partition;
use super::partition_table::{HEAD, PartitionTable};
use crate::base::Bytes;
use crate::base::failure::{self, ExitKind};

/// What was found on a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// The partition table, where there is a sound one.
    pub layout: Option<PartitionTable>,
    /// What is on its partitions, in their order.
    pub partitions: Vec<FoundPartition>,
    pub verdict: Verdict,
}

/// A partition, and the file system on it where it is one that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundPartition {
    pub partition: Partition,
    pub filesystem: Option<String>,
    pub label: Option<String>,
}

/// Whether a Pi can start from the card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "boots", rename_all = "snake_case")]
pub enum Verdict {
    Yes {
        contents: BootFiles,
    },
    /// The first thing that keeps it from booting.
    No {
        why: String,
    },
}

const BLANK: &str = "it is blank";
const BROKEN_OFF: &str = "its first MiB is blank, and there is something behind it: a flash was broken off here; \
                          run it again";
/// So many places are looked at to see whether a card is blank, and so many bytes at each.
const PLACES: u64 = 64;
const SAMPLE: u64 = 4096;

/// Reads the card `disk` of `size` bytes.
///
/// # Errors
/// A card whose beginning cannot be read, and a request to stop. Everything else that is wrong is part of what is
/// found.
pub fn inspect(disk: &File, size: u64, budget: &Budget) -> Result<Inspection> {
    let head = read(disk, 0, HEAD.min(size), budget)?;
    let no = |why: String| Inspection { layout: None, partitions: Vec::new(), verdict: Verdict::No { why } };
    if head.iter().all(|byte| *byte == 0) {
        return Ok(no(if is_blank(disk, size, budget) { BLANK } else { BROKEN_OFF }.to_owned()));
    }
    if let Some((filesystem, label)) = known(&head) {
        return Ok(no(format!("it has no partition table, only one {}", named(&filesystem, &label))));
    }
    let layout = match PartitionTable::parse(&head, size) {
        Ok(layout) => layout,
        Err(error) => return Ok(no(format!("{error:#}"))),
    };
    let verdict = match contents(disk, &layout, budget) {
        Ok(contents) => Verdict::Yes { contents },
        Err(error) if failure::kind(&error) == ExitKind::Interrupted => return Err(error),
        Err(error) => Verdict::No { why: format!("{error:#}") },
    };
    let partitions = layout.partitions.iter().map(|partition| found(disk, partition, budget)).collect();
    Ok(Inspection { layout: Some(layout), partitions, verdict })
}

/// Whether all samples of a card whose first MiB is blank are so too: where an image begins, and all
/// over it. What cannot be read is not.
fn is_blank(disk: &File, size: u64, budget: &Budget) -> bool {
    let steps = [HEAD, size / PLACES];
    let places = steps.into_iter().flat_map(|step| (1..=PLACES).map(move |index| index * step));
    let room = size.saturating_sub(SAMPLE);
    let mut places = places.map(|at| at.min(room));
    places.all(|at| read(disk, at, SAMPLE.min(size), budget).is_ok_and(zeros))
}

#[expect(clippy::needless_pass_by_value, reason = "for `is_ok_and`")]
fn zeros(bytes: Vec<u8>) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn found(disk: &File, partition: &Partition, budget: &Budget) -> FoundPartition {
    let head = read(disk, partition.start, partition.size.min(2048), budget).ok();
    let (filesystem, label) = head.and_then(|head| known(&head)).unzip();
    FoundPartition {
        partition: partition.clone(),
        filesystem,
        label: label.filter(|label| !matches!(label.as_str(), "" | "NO NAME")),
    }
}

/// The kind and the label of the file system that begins with `head`, also of those that no card of ours has.
fn known(head: &[u8]) -> Option<(String, String)> {
    let own = label(head).map(|(filesystem, label)| (filesystem.to_owned(), label));
    let others: [(usize, &[u8], &str); 6] = [
        (3, b"EXFAT   ", "exFAT"),
        (3, b"NTFS    ", "NTFS"),
        (54, b"FAT1", "FAT"),
        (0, b"XFSB", "XFS"),
        (0, b"hsqs", "squashfs"),
        (1024, b"\x10\x20\xf5\xf2", "F2FS"),
    ];
    let other = || others.into_iter().find(|(at, magic, _)| head.get(*at..at + magic.len()) == Some(magic));
    own.or_else(|| other().map(|(_, _, name)| (name.to_owned(), String::new())))
}

fn named(filesystem: &str, label: &str) -> String {
    if label.is_empty() { filesystem.to_owned() } else { format!("{filesystem} ({label})") }
}

impl Inspection {
    /// What a card holds that can start a system.
    ///
    /// # Errors
    /// Of [`ExitKind::Verification`], with what keeps it from booting.
    pub fn bootable(self) -> Result<BootFiles> {
        match self.verdict {
            Verdict::Yes { contents } => Ok(contents),
            Verdict::No { why } => Err(ExitKind::Verification.error(why)),
        }
    }

    /// Whether the card has the partitions of an image with the layout `origin`, as they are or grown over the
    /// card by a first boot. Which of them is marked bootable does not matter.
    pub fn is_of(&self, origin: &PartitionTable) -> bool {
        let Some(layout) = &self.layout else { return false };
        let same = |(now, then): (&Partition, &Partition)| {
            (now.number, &now.kind, now.start) == (then.number, &then.kind, then.start)
                && now.size >= then.size
        };
        layout.id == origin.id
            && layout.partitions.len() == origin.partitions.len()
            && layout.partitions.iter().zip(&origin.partitions).all(same)
    }
}

impl fmt::Display for FoundPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, filesystem, label } = self;
        let Some(filesystem) = filesystem else { return partition.fmt(f) };
        let (number, size) = (partition.number, Bytes(partition.size));
        let label = label.as_ref().map(|label| format!("{label}, ")).unwrap_or_default();
        let boot = if partition.bootable { ", bootable" } else { "" };
        write!(f, "{number}: {label}{filesystem}, {size}{boot}")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::super::partition_table::tests::mbr;
    use super::*;

    const SIZE: u64 = 16 << 20;

    /// A card with the pieces at their offsets.
    fn card(pieces: &[(u64, &[u8])]) -> Inspection {
        let disk = tempfile::tempfile().unwrap();
        disk.set_len(SIZE).unwrap();
        for (at, piece) in pieces {
            disk.write_all_at(piece, *at).unwrap();
        }
        inspect(&disk, SIZE, &Budget::unattended()).unwrap()
    }

    #[track_caller]
    fn check(pieces: &[(u64, &[u8])], why: &str, partitions: &[&str]) {
        let found = card(pieces);
        assert_eq!(found.verdict, Verdict::No { why: why.to_owned() });
        let shown = found.partitions.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown, partitions);
        let error = found.bootable().unwrap_err();
        assert_eq!((error.to_string().as_str(), failure::kind(&error)), (why, ExitKind::Verification));
    }

    #[test]
    fn cards_that_do_not_boot() {
        let fat: [(u64, &[u8]); 2] = [(71, b"PHOTOS     "), (82, b"FAT32   ")];
        let at = |start: u64| fat.map(|(at, bytes)| (start + at, bytes));
        check(&[], "it is blank", &[]);
        check(&[(9 << 20, b"x")], BROKEN_OFF, &[]);
        check(&[(SIZE - 1, b"x")], BROKEN_OFF, &[]);
        check(&[(0, b"x")], "it has no partition table (no 0x55AA at the end of the first sector)", &[]);
        check(&at(0), "it has no partition table, only one FAT32 (PHOTOS)", &[]);
        check(&[(3, b"EXFAT   ")], "it has no partition table, only one exFAT", &[]);
        check(&[(0, &mbr(&[]))], "its partition table is empty", &[]);
        let beyond = mbr(&[(0x83, true, 2048, 65536)]);
        check(&[(0, &beyond)], "partition 1 ends at byte 34603008, beyond its end at 16777216", &[]);
        let two = mbr(&[(0x07, false, 2048, 2048), (0x0c, false, 8192, 2048)]);
        let exfat: (u64, &[u8]) = ((1 << 20) + 3, b"EXFAT   ");
        let [first, second] = at(4 << 20);
        check(
            &[(0, &two), exfat, first, second],
            "no partition is marked bootable",
            &["1: exFAT, 1.0 MiB", "2: PHOTOS, FAT32, 1.0 MiB"],
        );
        let shared = mbr(&[(0x83, false, 2048, 2048), (0x83, true, 4095, 2048)]);
        let text = "partitions 2 and 1 overlap: what is written to one is in the other";
        check(&[(0, &shared)], text, &["1: Linux, 1.0 MiB", "2: Linux, 1.0 MiB, bootable"]);
        let raw = mbr(&[(0x83, true, 2048, 2048)]);
        let text = "partition 1 has neither FAT32 nor ext4 on it";
        check(&[(0, &raw)], text, &["1: Linux, 1.0 MiB, bootable"]);
    }

    #[test]
    fn an_image_is_known_again_after_its_first_boot() {
        let image = [(0x0b, false, 2048, 2048), (0x83, true, 4096, 2048)];
        let origin = PartitionTable::parse(&mbr(&image), SIZE).unwrap();
        let is_of = |second: (u8, bool, u32, u32)| card(&[(0, &mbr(&[image[0], second]))]).is_of(&origin);
        for second in [image[1], (0x83, true, 4096, 20480), (0x83, false, 4096, 2048)] {
            assert!(is_of(second), "{second:?}");
        }
        for second in [(0x83, true, 4096, 2000), (0x83, true, 4104, 2048), (0x82, true, 4096, 2048)] {
            assert!(!is_of(second), "{second:?}");
        }
        assert!(!card(&[(0, &mbr(&image[..1]))]).is_of(&origin) && !card(&[]).is_of(&origin));
    }
}
