//! GUID partition tables (UEFI specification, chapter 5).

use anyhow::Result;

use super::partition::{Partition, SECTOR, Type, le32};
use crate::bail;

/// The size of the shortest header, in bytes.
const MIN_HEADER: usize = 92;
/// The size of the shortest entry for a partition, in bytes.
const MIN_ENTRY: usize = 128;
/// The attribute "legacy BIOS bootable", by which U-Boot finds the bootable partition, too.
const BOOTABLE: u64 = 1 << 2;

/// Parses the table in `head`, the first MiB of a disk or all bytes of a smaller one.
///
/// # Errors
/// No table, a damaged one, and one with entries behind `head`.
pub fn parse(head: &[u8]) -> Result<Vec<Partition>> {
    let header = header(head)?;
    let size = le32(&header[84..]) as usize;
    if size < MIN_ENTRY {
        bail!(Refused, "the GPT is damaged: its entries have {size} bytes, fewer than {MIN_ENTRY}");
    }
    let Some(entries) = entries(head, header, size) else {
        bail!(Refused, "the entries of the GPT are not in the first MiB");
    };
    if crc32(entries.iter().copied()) != le32(&header[88..]) {
        bail!(Refused, "the GPT is damaged: the checksum of its entries is wrong");
    }
    let used = entries.chunks_exact(size).zip(1..).filter(|(entry, _)| is_used(entry));
    used.map(|(entry, number)| parse_entry(entry, number)).collect()
}

/// The checked header, in the second sector of the disk.
fn header(head: &[u8]) -> Result<&[u8]> {
    let Some(sector) = head.get(512..1024).filter(|sector| sector.starts_with(b"EFI PART")) else {
        bail!(Refused, "the first sector announces a GPT, but the second has none");
    };
    let len = le32(&sector[12..]) as usize;
    let Some(header) = sector.get(..len).filter(|header| header.len() >= MIN_HEADER) else {
        bail!(Refused, "the GPT is damaged: its header claims {len} bytes");
    };
    // The checksum is computed with zeros in its own place.
    let mut without_checksum = header.to_vec();
    without_checksum[16..20].fill(0);
    if crc32(without_checksum.into_iter()) != le32(&header[16..]) {
        bail!(Refused, "the GPT is damaged: the checksum of its header is wrong");
    }
    let [own_sector, first_usable, last_usable] = [24, 40, 48].map(|at| le64(&header[at..]));
    if own_sector != 1 {
        bail!(Refused, "the GPT is damaged: its header is that of sector {own_sector}, and lies in sector 1");
    }
    if first_usable > last_usable {
        bail!(Refused, "the GPT is damaged: its header leaves no usable sectors");
    }
    Ok(header)
}

/// The bytes of all entries, each of `size` bytes; `None` where `head` does not have them all.
fn entries<'a>(head: &'a [u8], header: &[u8], size: usize) -> Option<&'a [u8]> {
    let start = usize::try_from(le64(&header[72..]).checked_mul(SECTOR)?).ok()?;
    let count = le32(&header[80..]) as usize;
    let end = start.checked_add(count.checked_mul(size)?)?;
    head.get(start..end)
}

/// Whether `entry` describes a partition: whether its type is not 0.
fn is_used(entry: &[u8]) -> bool {
    entry[..16] != [0; 16]
}

/// The partition `number`, which `entry` describes.
fn parse_entry(entry: &[u8], number: u32) -> Result<Partition> {
    let [first, last, attributes] = [32, 40, 48].map(|at| le64(&entry[at..]));
    let Some(sectors_behind_first) = last.checked_sub(first) else {
        bail!(Refused, "the GPT is damaged: partition {number} ends before it begins");
    };
    Ok(Partition {
        number,
        kind: Type::Gpt(guid(entry)),
        bootable: attributes & BOOTABLE != 0,
        start: first.saturating_mul(SECTOR),
        size: sectors_behind_first.saturating_add(1).saturating_mul(SECTOR),
    })
}

/// The text of a GUID. Its first three parts are stored little-endian.
fn guid(bytes: &[u8]) -> String {
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let hex = order.map(|at| format!("{:02x}", bytes[at]));
    [&hex[..4], &hex[4..6], &hex[6..8], &hex[8..10], &hex[10..]].map(<[String]>::concat).join("-")
}

/// The little-endian number at the start of `bytes`; 0 where there are fewer than eight.
fn le64(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

/// CRC-32 as in Ethernet and gzip, computed bit by bit: the entries of a usual GPT have only 16 KiB.
fn crc32(bytes: impl Iterator<Item = u8>) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::super::partition_table::PartitionTable;
    use super::super::partition_table::tests::mbr;
    use super::*;
    use crate::base::failure::{ExitKind, kind};

    const EFI: [u8; 16] =
        [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];

    /// The beginning of a disk with partitions of (first sector, last sector, attributes), all of the type EFI.
    fn gpt(partitions: &[(u64, u64, u64)]) -> Vec<u8> {
        let mut head = vec![0; 34 * 512];
        head[..512].copy_from_slice(&mbr(&[(0xee, false, 1, u32::MAX)]));
        for (entry, (first, last, attributes)) in head[1024..].chunks_exact_mut(128).zip(partitions) {
            entry[..16].copy_from_slice(&EFI);
            for (at, value) in [(32, first), (40, last), (48, attributes)] {
                entry[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
        }
        head[512..520].copy_from_slice(b"EFI PART");
        for (at, value) in [(12, 92), (24, 1), (72, 2), (80, 128), (84, 128)] {
            put(&mut head, 512 + at, value);
        }
        seal(&mut head);
        head
    }

    fn put(head: &mut [u8], at: usize, value: u32) {
        head[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// Sets both checksums of a GPT of 128 entries.
    fn seal(head: &mut [u8]) {
        seal_entries(head, 128);
    }

    /// Sets both checksums of a GPT of `count` entries.
    fn seal_entries(head: &mut [u8], count: usize) {
        let entries = crc32(head[1024..][..count * 128].iter().copied());
        put(head, 512 + 88, entries);
        put(head, 512 + 16, 0);
        let header = crc32(head[512..512 + 92].iter().copied());
        put(head, 512 + 16, header);
    }

    #[test]
    fn the_checksum_has_the_known_value() {
        assert_eq!(crc32(b"123456789".iter().copied()), 0xcbf4_3926);
    }

    #[test]
    fn the_partitions_behind_a_protective_mbr_are_read() {
        let layout = PartitionTable::parse(&gpt(&[(2048, 4095, 0), (4096, 8191, 4)]), 8 << 20).unwrap();
        let shown = layout.partitions.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown, ["1: EFI system, 1.0 MiB", "2: EFI system, 2.0 MiB, bootable"]);
        assert_eq!((layout.partitions[1].start, layout.partitions[1].size), (2 << 20, 2 << 20));
        let mut other = gpt(&[(2048, 4095, 0)]);
        other[1024] ^= 1;
        seal(&mut other);
        let layout = PartitionTable::parse(&other, 8 << 20).unwrap();
        assert_eq!(layout.partitions[0].to_string(), "1: type c12a7329-f81f-11d2-ba4b-00a0c93ec93b, 1.0 MiB");
    }

    #[track_caller]
    fn assert_refused(spoil: impl Fn(&mut Vec<u8>), expected: &str) {
        let mut head = gpt(&[(2048, 4095, 0)]);
        spoil(&mut head);
        let error = PartitionTable::parse(&head, 8 << 20).unwrap_err();
        assert_eq!((error.to_string().as_str(), kind(&error)), (expected, ExitKind::Refused));
    }

    #[test]
    fn a_missing_or_damaged_gpt_is_refused() {
        let absent = "the first sector announces a GPT, but the second has none";
        let far = "the entries of the GPT are not in the first MiB";
        assert_refused(|head| head[512] = 0, absent);
        assert_refused(|head| head.truncate(512), absent);
        let damaged = |what: &str| format!("the GPT is damaged: {what}");
        assert_refused(|head| head[512 + 40] ^= 1, &damaged("the checksum of its header is wrong"));
        assert_refused(|head| head[1024 + 40] ^= 1, &damaged("the checksum of its entries is wrong"));
        assert_refused(|head| put(head, 512 + 12, 91), &damaged("its header claims 91 bytes"));
        assert_refused(|head| put(head, 512 + 12, u32::MAX), &damaged("its header claims 4294967295 bytes"));
        assert_refused(|head| head.truncate(33 * 512), far);
        for (at, value) in [(72, u32::MAX), (76, u32::MAX), (80, u32::MAX), (84, u32::MAX)] {
            assert_refused(
                |head| {
                    put(head, 512 + at, value);
                    seal(head);
                },
                far,
            );
        }
        let short = |head: &mut Vec<u8>| {
            put(head, 512 + 84, 127);
            seal(head);
        };
        assert_refused(short, &damaged("its entries have 127 bytes, fewer than 128"));
        // U-Boot and Linux refuse these, too.
        let elsewhere = |sector: u64| format!("its header is that of sector {sector}, and lies in sector 1");
        for (at, value, what) in [
            (24, 0, elsewhere(0)),
            (24, 2, elsewhere(2)),
            (28, 1, elsewhere((1 << 32) + 1)),
            (40, 1, "its header leaves no usable sectors".to_owned()),
        ] {
            assert_refused(
                |head| {
                    put(head, 512 + at, value);
                    seal(head);
                },
                &damaged(&what),
            );
        }
    }

    #[test]
    fn partitions_that_a_disk_cannot_have_are_refused() {
        let error_of = |partitions: &[(u64, u64, u64)]| {
            PartitionTable::parse(&gpt(partitions), 4 << 20).unwrap_err().to_string()
        };
        let backwards = "the GPT is damaged: partition 2 ends before it begins";
        assert_eq!(error_of(&[(2048, 4095, 0), (4096, 4094, 0)]), backwards);
        assert_eq!(error_of(&[]), "the partition table is empty");
        assert_eq!(
            error_of(&[(2048, 8192, 0)]),
            "partition 1 ends at byte 4194816, beyond the end of the disk or image at byte 4194304"
        );
        assert!(
            error_of(&[(u64::MAX, u64::MAX, 0)])
                .contains("beyond the end of the disk or image at byte 4194304")
        );
        assert!(
            error_of(&[(0, u64::MAX, 0)]).contains("beyond the end of the disk or image at byte 4194304")
        );
    }

    /// The first MiB has room for thousands of partitions, and each would be a line of the plan.
    #[test]
    fn more_than_128_partitions_are_refused() {
        let parse = |count: u32| {
            let mut head = gpt(&[]);
            head.resize(1 << 20, 0);
            for at in 0..u64::from(count) {
                let entry = &mut head[1024 + usize::try_from(at).unwrap() * 128..][..128];
                entry[..16].copy_from_slice(&EFI);
                entry[32..40].copy_from_slice(&(2048 + at).to_le_bytes());
                entry[40..48].copy_from_slice(&(2048 + at).to_le_bytes());
            }
            put(&mut head, 512 + 80, count);
            seal_entries(&mut head, usize::try_from(count).unwrap());
            PartitionTable::parse(&head, 8 << 20).map(|table| table.partitions.len())
        };
        assert_eq!(parse(128).unwrap(), 128);
        for count in [129, 8000] {
            let expected = format!("the partition table has {count} partitions, more than the limit of 128");
            assert_eq!(parse(count).unwrap_err().to_string(), expected);
        }
    }

    /// The checksums are corrected, so that the checks behind them are reached.
    #[test]
    fn fuzz() {
        let head = gpt(&[(2048, 4095, 0), (4096, 8191, 4)]);
        let sealed = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            if bytes.len() >= 34 * 512 {
                seal(&mut bytes);
            }
            PartitionTable::parse(&bytes, 8 << 20)
        };
        crate::base::fuzz::check(&[&head], |bytes| {
            (PartitionTable::parse(bytes, 8 << 20).is_ok(), sealed(bytes).is_ok())
        });
    }
}
