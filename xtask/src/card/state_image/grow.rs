//! Growing the last partition of an image in a file, and the ext4 on it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::{RawFile, reread};
use crate::bail;
use crate::base::memfd;
use crate::card::ext4::E2fsprogs;
use crate::card::image::chunk_hash::CHUNK;
use crate::card::image::{Ext4Region, Image};
use crate::card::inspect::{Partition, SECTOR};
use crate::card::saved_state::check_stop;
use crate::identity::Usage;

/// The unit of growth in bytes: erase blocks of cards are not larger.
const UNIT: u64 = 4 << 20;
/// The bytes of a file system for each inode, at most, as mke2fs makes them.
const BYTES_PER_INODE: u64 = 32 << 10;
/// The sectors of the entries of a GPT.
const GPT_ENTRY_SECTORS: u64 = 32;

/// How much the partition of `region` must grow for `usage`, in bytes: by all of it, so that the host has as much room
/// at its first boot as without the state.
pub fn extension(region: &Ext4Region, usage: Usage) -> u64 {
    let content = usage.blocks * region.block_size;
    let inodes = usage.inodes.saturating_sub(region.free_inodes / 2) * BYTES_PER_INODE;
    // The tables of inodes and the bitmaps of the added groups take a part.
    (content + content / 16).max(inodes).next_multiple_of(UNIT)
}

/// Whether `usage` fits into `region` as it is.
pub fn fits(region: &Ext4Region, usage: Usage) -> bool {
    usage.blocks <= region.free_blocks && usage.inodes <= region.free_inodes
}

/// The partition of `region`, if it can grow: the last one on the disk. `None` where another one lies behind.
pub fn growing_partition<'a>(image: &'a Image, region: &Ext4Region) -> Option<&'a Partition> {
    let partitions = &image.layout.partitions;
    let own = partitions.iter().find(|partition| partition.start == region.start)?;
    let is_last = partitions.iter().all(|other| other.end() <= own.end());
    is_last.then_some(own)
}

/// Grows `partition` of `raw`, which has the image `image`, and the file system `region` on it, by `extension` bytes.
/// Returns the region with its new size and its free space.
///
/// # Errors
/// `Refused` for a partition that cannot grow so far.
pub fn grow(
    raw: &RawFile,
    image: &Image,
    partition: &Partition,
    region: &Ext4Region,
    extension: u64,
    programs: &E2fsprogs,
    cancel: &AtomicBool,
) -> Result<Ext4Region> {
    let size = image.size + extension;
    let doing = || format!("growing {} in {}", region.name, raw.path().display());
    raw.file().set_len(size).with_context(doing)?;
    let grown = Partition { size: partition.size + extension, ..partition.clone() };
    if partition.is_in_gpt() {
        extend_gpt(raw.file(), &grown, image.size, size).with_context(doing)?;
    } else {
        extend_mbr(raw.file(), &grown).with_context(doing)?;
    }
    resize(raw, region, grown.size, programs, cancel).with_context(doing)?;
    reread(raw, &Ext4Region { size: grown.size, ..region.clone() }, cancel)
}

/// Grows the file system `region` of `raw` to `size` bytes, in a file of its own: resize2fs cuts a file off behind as
/// many bytes as the file system has, wherever it begins.
fn resize(
    raw: &RawFile,
    region: &Ext4Region,
    size: u64,
    programs: &E2fsprogs,
    cancel: &AtomicBool,
) -> Result<()> {
    let own = tempfile::tempfile_in(raw.folder()).context("making a file for the partition")?;
    let own = memfd::inheritable(&own).context("opening a file a second time")?;
    own.set_len(size)?;
    copy_changes((raw.file(), region.start), (&own, 0), region.size, cancel)?;
    programs.resize2fs(&memfd::path(&own), size / SECTOR, cancel)?;
    if own.metadata()?.len() != size {
        bail!(Verification, "resize2fs has left {} bytes of {size}", own.metadata()?.len());
    }
    copy_changes((&own, 0), (raw.file(), region.start), size, cancel)
}

/// Copies `len` bytes between two files, each from its position on. What is equal, such as two holes, is not written.
fn copy_changes(from: (&File, u64), to: (&File, u64), len: u64, cancel: &AtomicBool) -> Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut known = vec![0; CHUNK];
    for at in (0..len).step_by(CHUNK) {
        check_stop(cancel)?;
        let count = CHUNK.min(usize::try_from(len - at)?);
        from.0.read_exact_at(&mut chunk[..count], from.1 + at)?;
        to.0.read_exact_at(&mut known[..count], to.1 + at)?;
        if chunk[..count] != known[..count] {
            to.0.write_all_at(&chunk[..count], to.1 + at)?;
        }
    }
    Ok(())
}

/// Writes the new end of `partition` to the MBR of `disk`.
fn extend_mbr(disk: &File, partition: &Partition) -> Result<()> {
    let [Ok(_), Ok(sectors)] = [partition.end(), partition.size].map(|bytes| u32::try_from(bytes / SECTOR))
    else {
        bail!(Refused, "the partition would end beyond 2 TiB, the limit of its table");
    };
    if !(1..=4).contains(&partition.number) {
        bail!(Refused, "partition {} is a logical one, which cannot grow", partition.number);
    }
    let entry = 446 + 16 * u64::from(partition.number - 1);
    // The old way to name a sector cannot express the new end.
    disk.write_all_at(&[0xfe, 0xff, 0xff], entry + 5)?;
    disk.write_all_at(&sectors.to_le_bytes(), entry + 12)?;
    Ok(())
}

/// Writes the new end of `partition` to both GPTs of `disk`, which has grown from `old_size` to `size` bytes.
fn extend_gpt(disk: &File, partition: &Partition, old_size: u64, size: u64) -> Result<()> {
    let mut header = [0; 512];
    disk.read_exact_at(&mut header, SECTOR)?;
    let number_at =
        |header: &[u8], at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap_or_default());
    let [count, entry_size] = [80, 84].map(|at| number_at(&header, at) as usize);
    let len = count.saturating_mul(entry_size);
    if entry_size < 128 || len as u64 > GPT_ENTRY_SECTORS * SECTOR {
        bail!(Refused, "the GPT has {count} entries of {entry_size} bytes, which is unusual");
    }
    let entries_at = u64::from_le_bytes(header[72..80].try_into()?) * SECTOR;
    let mut entries = vec![0; len];
    disk.read_exact_at(&mut entries, entries_at)?;
    let own = (partition.number as usize).saturating_sub(1) * entry_size;
    let last = partition.end() / SECTOR - 1;
    entries
        .get_mut(own + 40..own + 48)
        .context("finding the partition")?
        .copy_from_slice(&last.to_le_bytes());
    let backup = size / SECTOR - 1;
    let backup_entries = backup - GPT_ENTRY_SECTORS;
    if last >= backup_entries {
        bail!(Refused, "the image has no room for the copy of its GPT behind the last partition");
    }
    header[48..56].copy_from_slice(&(backup_entries - 1).to_le_bytes());
    header[88..92].copy_from_slice(&crc32(&entries).to_le_bytes());
    let zeros = vec![0; usize::try_from((1 + GPT_ENTRY_SECTORS) * SECTOR)?];
    disk.write_all_at(&zeros, old_size - zeros.len() as u64)?;
    for (own, other, entries_sector) in [(1, backup, entries_at / SECTOR), (backup, 1, backup_entries)] {
        disk.write_all_at(&entries, entries_sector * SECTOR)?;
        disk.write_all_at(&gpt_header(&header, own, other, entries_sector)?, own * SECTOR)?;
    }
    extend_protective_mbr(disk, size)
}

/// The header of a GPT in the sector `own`, whose copy is in the sector `other`.
fn gpt_header(header: &[u8], own: u64, other: u64, entries: u64) -> Result<Vec<u8>> {
    let mut header = header.to_vec();
    for (at, value) in [(24, own), (32, other), (72, entries)] {
        header[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    header[16..20].fill(0);
    let len = u32::from_le_bytes(header[12..16].try_into()?) as usize;
    let sum = crc32(header.get(..len).context("reading the header of the GPT")?);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    Ok(header)
}

/// Makes the one partition of a protective MBR as large as the disk, or as large as its entry can tell.
fn extend_protective_mbr(disk: &File, size: u64) -> Result<()> {
    let mut table = [0; 64];
    disk.read_exact_at(&mut table, 446)?;
    let sectors = u32::try_from(size / SECTOR - 1).unwrap_or(u32::MAX);
    for entry in table.chunks_exact_mut(16).filter(|entry| entry[4] == 0xee) {
        entry[12..].copy_from_slice(&sectors.to_le_bytes());
    }
    Ok(disk.write_all_at(&table, 446)?)
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
