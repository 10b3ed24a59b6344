//! The partitions of an image that is read from its start to its end.

use crate::card::inspect::{Partition, PartitionTable};

/// A part of a partition, in order.
pub enum Piece<'a> {
    Bytes(&'a [u8]),
    /// The end of the partition.
    End,
}

/// Splits an image into its partitions.
#[derive(Debug, Default)]
pub struct PartitionStream {
    /// The partitions whose end is not reached yet, in descending order: the last one in the list comes next.
    remaining: Vec<Partition>,
    /// The number of bytes so far.
    position: u64,
}

impl PartitionStream {
    /// Splits into the partitions of `layout`. Of partitions that overlap, only the first is read.
    pub fn new(layout: &PartitionTable) -> Self {
        let mut partitions = layout.partitions.clone();
        partitions.sort_by_key(|partition| partition.start);
        let mut end = 0;
        partitions.retain(|partition| {
            let is_apart = partition.start >= end;
            end = end.max(partition.end());
            is_apart
        });
        partitions.reverse();
        Self { remaining: partitions, position: 0 }
    }

    /// Takes the next `bytes` of the image, and calls `each` with the pieces of partitions.
    pub fn feed(&mut self, mut bytes: &[u8], each: &mut impl FnMut(&Partition, Piece)) {
        while !bytes.is_empty() {
            let Some(partition) = self.remaining.last() else { return };
            let is_inside = self.position >= partition.start;
            let end = if is_inside { partition.end() } else { partition.start };
            let until_end = usize::try_from(end - self.position).unwrap_or(usize::MAX);
            let (next, rest) = bytes.split_at(until_end.min(bytes.len()));
            if is_inside {
                each(partition, Piece::Bytes(next));
            }
            self.position += next.len() as u64;
            bytes = rest;
            if is_inside && self.position == end {
                each(partition, Piece::End);
                self.remaining.pop();
            }
        }
    }
}
