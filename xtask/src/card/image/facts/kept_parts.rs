//! The parts of an image that are kept while it is read from its start to its end: all of FAT, and of ext4 the
//! [`KeptBlocks`].

use super::super::partition_stream::{PartitionStream, Piece};
use super::ImageFacts;
use super::kept_sectors::{KeptSectors, TooManySectors};
use crate::card::inspect::ext4::KeptBlocks;
use crate::card::inspect::{
    Budget, Inspection, Partition, PartitionTable, identify_filesystem, inspect_partitions,
};

/// How much of a partition identifies its file system, in bytes.
const HEAD: usize = 2048;

/// How much is kept of a partition with another file system, in bytes: btrfs is known by what begins at 64 KiB.
const OTHER_HEAD: u64 = 68 << 10;

/// The parts of an image that is read from its start to its end.
#[derive(Debug)]
pub struct KeptParts {
    partitions: PartitionStream,
    current: CurrentPartition,
    /// `None` where the parts take too much memory.
    kept: Option<KeptSectors>,
}

/// The partition that is being read.
#[derive(Debug)]
enum CurrentPartition {
    /// Its bytes so far, while its file system is not known.
    Head(Vec<u8>),
    Fat(u64),
    Ext4(KeptBlocks),
    Other(u64),
}

impl KeptParts {
    /// Keeps parts of the partitions of `layout`.
    pub fn new(layout: &PartitionTable) -> Self {
        let partitions = PartitionStream::new(layout);
        Self { partitions, current: CurrentPartition::new(), kept: Some(KeptSectors::default()) }
    }

    /// Takes the next `bytes` of the image.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Self { partitions, current, kept } = self;
        partitions.feed(bytes, &mut |partition, piece| {
            let Some(sectors) = kept else { return };
            let fed = match piece {
                Piece::Bytes(bytes) => current.feed(partition, bytes, sectors),
                Piece::End => std::mem::replace(current, CurrentPartition::new()).end(partition, sectors),
            };
            if fed.is_err() {
                *kept = None;
            }
        });
    }

    /// The facts in the parts of the image with this `layout`.
    pub fn facts(&self, layout: &PartitionTable) -> ImageFacts {
        self.kept.as_ref().map(|kept| ImageFacts::of_kept(kept, layout)).unwrap_or_default()
    }
}

impl KeptParts {
    /// The inspection of the image with this `layout`; `None` where it needs parts that were not kept.
    pub fn inspect(&self, layout: &PartitionTable) -> Option<Inspection> {
        let kept = self.kept.as_ref()?;
        let inspection = inspect_partitions(kept, layout.clone(), &Budget::without_stop());
        (!kept.take_is_missed()).then_some(inspection)
    }
}

impl CurrentPartition {
    fn new() -> Self {
        Self::Head(Vec::new())
    }

    /// Takes the next `bytes` of `partition`, and keeps what is needed of them.
    fn feed(
        &mut self,
        partition: &Partition,
        bytes: &[u8],
        sectors: &mut KeptSectors,
    ) -> Result<(), TooManySectors> {
        match self {
            Self::Head(head) => {
                head.extend_from_slice(bytes);
                if head.len() < HEAD {
                    return Ok(());
                }
                let head = std::mem::take(head);
                *self = Self::of(&head, partition);
                self.feed(partition, &head, sectors)
            }
            Self::Ext4(blocks) => {
                blocks.feed(bytes, &mut |at, block| sectors.keep(partition.start + at, block))
            }
            Self::Fat(at) => keep(partition, at, bytes, u64::MAX, sectors),
            Self::Other(at) => keep(partition, at, bytes, OTHER_HEAD, sectors),
        }
    }

    /// The partition that begins with `head`.
    fn of(head: &[u8], partition: &Partition) -> Self {
        match identify_filesystem(head) {
            Some(found) if found.kind.starts_with("FAT") => Self::Fat(0),
            Some(_) => Self::Ext4(KeptBlocks::new(partition.size)),
            None => Self::Other(0),
        }
    }

    /// Keeps a partition that is too small for a file system.
    fn end(self, partition: &Partition, sectors: &mut KeptSectors) -> Result<(), TooManySectors> {
        match self {
            Self::Head(head) => sectors.keep(partition.start, &head),
            Self::Fat(_) | Self::Ext4(_) | Self::Other(_) => Ok(()),
        }
    }
}

/// Keeps the next `bytes` of `partition`, which are those from `at` on, up to its first `limit` bytes.
fn keep(
    partition: &Partition,
    at: &mut u64,
    bytes: &[u8],
    limit: u64,
    sectors: &mut KeptSectors,
) -> Result<(), TooManySectors> {
    let position = partition.start + *at;
    let wanted = usize::try_from(limit.saturating_sub(*at)).unwrap_or(usize::MAX).min(bytes.len());
    *at += bytes.len() as u64;
    if wanted == 0 { Ok(()) } else { sectors.keep(position, &bytes[..wanted]) }
}
