//! The partition table of an image or a card: an MBR, or the GPT that a protective MBR announces.

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gpt;
use super::partition::{Partition, SECTOR, Type, le32};
use crate::bail;

/// The number of bytes from the start of a disk that [`PartitionTable::parse`] needs.
pub const HEAD: u64 = 1 << 20;

/// The type of the one entry of a protective MBR, which announces a GPT.
const PROTECTIVE: u8 = 0xee;

/// The largest number of partitions: the usual GPT has room for these.
const MAX_PARTITIONS: usize = 128;

/// The partitions of a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartitionTable {
    /// The disk identifier of the MBR; 0x2178694e on every NixOS SD image.
    pub id: u32,
    pub partitions: Vec<Partition>,
}

impl PartitionTable {
    /// Parses `head`, the first [`HEAD`] bytes of a disk of `size` bytes, or all bytes of a smaller one.
    ///
    /// # Errors
    /// No boot signature, no partition, too many of them, a partition that ends beyond the disk, and a damaged GPT.
    pub fn parse(head: &[u8], size: u64) -> Result<Self> {
        let Some(sector) = head.first_chunk::<512>().filter(|sector| sector.ends_with(&[0x55, 0xaa])) else {
            bail!(Refused, "no partition table (no 0x55AA at the end of the first sector)");
        };
        let entries = sector[446..510].chunks_exact(16).zip(1..);
        let in_mbr = entries.filter_map(|(entry, number)| parse_entry(entry, number)).collect::<Vec<_>>();
        let is_protective = in_mbr.iter().any(|partition| partition.kind == Type::Mbr(PROTECTIVE));
        let partitions = if is_protective { gpt::parse(head)? } else { in_mbr };
        check_partitions(&partitions, size)?;
        Ok(Self { id: le32(&sector[440..]), partitions })
    }
}

/// Fails where there are no or too many `partitions`, and where one of them ends beyond a disk or image of `size`
/// bytes.
fn check_partitions(partitions: &[Partition], size: u64) -> Result<()> {
    match partitions.len() {
        0 => bail!(Refused, "the partition table is empty"),
        1..=MAX_PARTITIONS => {}
        count => bail!(
            Refused,
            "the partition table has {count} partitions, more than the limit of {MAX_PARTITIONS}"
        ),
    }
    if let Some(long) = partitions.iter().find(|partition| partition.end() > size) {
        bail!(
            Refused,
            "partition {} ends at byte {}, beyond the end of the disk or image at byte {size}",
            long.number,
            long.end()
        );
    }
    Ok(())
}

/// The partition `number`, which `entry` describes; `None` for an unused entry, and for a partition of no sectors.
fn parse_entry(entry: &[u8], number: u32) -> Option<Partition> {
    let bootable = entry[0] == 0x80;
    let kind = Type::Mbr(entry[4]);
    let [start, size] = [8, 12].map(|at| u64::from(le32(&entry[at..])) * SECTOR);
    (kind != Type::Mbr(0) && size != 0).then_some(Partition { number, kind, bootable, start, size })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An MBR with partitions of (type, bootable, first sector, sectors).
    pub(crate) fn mbr(partitions: &[(u8, bool, u32, u32)]) -> [u8; 512] {
        let mut sector = [0; 512];
        sector[440..444].copy_from_slice(&0x2178_694e_u32.to_le_bytes());
        for (entry, (kind, bootable, start, size)) in sector[446..510].chunks_exact_mut(16).zip(partitions) {
            entry[0] = if *bootable { 0x80 } else { 0 };
            entry[4] = *kind;
            entry[8..12].copy_from_slice(&start.to_le_bytes());
            entry[12..16].copy_from_slice(&size.to_le_bytes());
        }
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector
    }

    #[test]
    fn the_partitions_of_an_mbr_are_read() {
        let sector = mbr(&[(0x0b, false, 16384, 262_144), (0x83, true, 278_528, 1_000_000)]);
        let layout = PartitionTable::parse(&sector, 1 << 30).unwrap();
        assert_eq!(layout.id, 0x2178_694e);
        let shown = layout.partitions.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown, ["1: FAT32, 128.0 MiB", "2: Linux, 488.3 MiB, bootable"]);
    }

    #[test]
    fn a_missing_empty_or_too_long_table_is_refused() {
        let beyond = mbr(&[(0x83, true, 2048, 4096)]);
        for (sector, expected) in [
            (&[0; 512][..], "no partition table (no 0x55AA at the end of the first sector)"),
            (b"short", "no partition table (no 0x55AA at the end of the first sector)"),
            (&mbr(&[]), "the partition table is empty"),
            (
                &beyond,
                "partition 1 ends at byte 3145728, beyond the end of the disk or image at byte 2097152",
            ),
        ] {
            assert_eq!(PartitionTable::parse(sector, 2 << 20).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn fuzz() {
        let card = mbr(&[(0x0b, false, 16384, 262_144), (0x83, true, 278_528, 1_000_000)]);
        let extended = mbr(&[(0x05, false, 0, u32::MAX), (0x83, true, u32::MAX, u32::MAX)]);
        crate::base::fuzz::check(&[&card, &extended], |bytes| {
            [0, 1 << 30, u64::MAX].map(|size| {
                PartitionTable::parse(bytes, size).map(|layout| {
                    assert!(layout.partitions.iter().all(|partition| partition.end() <= size));
                    layout.partitions.iter().map(ToString::to_string).collect::<Vec<_>>()
                })
            })
        });
    }
}
