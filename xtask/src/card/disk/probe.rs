//! The partitions and file systems of a disk, read from the disk itself: for machines without udev, kernels that do not
//! scan partition tables, and plain files. Finds nothing on a disk that this user may not read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::Partition;
use super::udev::Filesystem;

/// The unit of sizes and offsets in an MBR, in bytes.
const SECTOR: u64 = 512;
/// The type byte of an unused entry in an MBR.
const UNUSED: u8 = 0;
/// The type byte of the protective entry in the MBR of a GPT disk.
const PROTECTIVE: u8 = 0xee;

/// The time after which a disk that does not answer counts as empty: a disk that hangs must not prevent the writing of
/// others.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// The file system that begins `start` bytes into the disk at `path`.
pub fn filesystem(path: &Path, start: u64) -> Filesystem {
    with_timeout(path, move |disk| read_filesystem(disk, start))
}

/// The partitions of the disk at `path`, of `size` bytes, by the MBR of the disk. A file system on the whole disk
/// counts as one partition with the number 0.
pub fn partitions(path: &Path, size: u64) -> Vec<Partition> {
    with_timeout(path, move |disk| read_partitions(disk, size))
}

/// The result of `probe` for the disk at `path`; the default value where `probe` fails or takes longer than
/// [`PROBE_TIMEOUT`]. A thread of its own opens and reads the disk, because both may wait for ever.
pub(super) fn with_timeout<T>(path: &Path, probe: impl FnOnce(&File) -> io::Result<T> + Send + 'static) -> T
where
    T: Default + Send + 'static,
{
    let path = path.to_owned();
    let (sender, receiver) = channel();
    // Where no thread can be started, the receiver finds its channel closed.
    let _ = std::thread::Builder::new().spawn(move || {
        let result = File::open(path).and_then(|disk| probe(&disk));
        // After the timeout there is no receiver.
        let _ = sender.send(result.unwrap_or_default());
    });
    receiver.recv_timeout(PROBE_TIMEOUT).unwrap_or_default()
}

fn read_partitions(disk: &File, size: u64) -> io::Result<Vec<Partition>> {
    if let Ok(Filesystem { label, fstype: Some(fstype) }) = read_filesystem(disk, 0) {
        return Ok(vec![Partition { name: None, number: 0, start: 0, size, label, fstype: Some(fstype) }]);
    }
    let mut mbr = [0; 512];
    disk.read_exact_at(&mut mbr, 0)?;
    if !mbr.ends_with(&[0x55, 0xaa]) {
        return Ok(Vec::new());
    }
    let mut partitions = Vec::new();
    for (number, entry) in (1..).zip(mbr[446..510].chunks_exact(16)) {
        if matches!(entry[4], UNUSED | PROTECTIVE) {
            continue;
        }
        let start = u64::from(le32(&entry[8..])) * SECTOR;
        let size = u64::from(le32(&entry[12..])) * SECTOR;
        let Filesystem { label, fstype } = read_filesystem(disk, start).unwrap_or_default();
        partitions.push(Partition { name: None, number, start, size, label, fstype });
    }
    Ok(partitions)
}

/// The file system at byte `start`: ext2 to ext4 by the magic number of its superblock, FAT by the type in its boot
/// sector. The default where it is none of these.
fn read_filesystem(disk: &File, start: u64) -> io::Result<Filesystem> {
    let mut head = [0; 2048];
    disk.read_exact_at(&mut head, start)?;
    let superblock = &head[1024..];
    if superblock[56..58] == [0x53, 0xef] {
        return Ok(labelled_filesystem(ext_version(superblock), &superblock[120..136]));
    }
    if &head[82..87] == b"FAT32" {
        return Ok(labelled_filesystem("vfat", &head[71..82]));
    }
    // FAT12 or FAT16.
    if &head[54..58] == b"FAT1" {
        return Ok(labelled_filesystem("vfat", &head[43..54]));
    }
    Ok(Filesystem::default())
}

/// The file system of type `fstype` with `label`, which is padded. FAT has the label `NO NAME` where there is none.
fn labelled_filesystem(fstype: &str, label: &[u8]) -> Filesystem {
    let label = String::from_utf8_lossy(label).trim_matches(['\0', ' ']).to_owned();
    let has_label = !label.is_empty() && label != "NO NAME";
    Filesystem { label: has_label.then_some(label), fstype: Some(fstype.to_owned()) }
}

/// The version of ext: ext4 has extents (incompatible feature 0x40), ext3 a journal (compatible feature 0x4).
fn ext_version(superblock: &[u8]) -> &'static str {
    let has_extents = le32(&superblock[96..]) & 0x40 != 0;
    let has_journal = le32(&superblock[92..]) & 0x4 != 0;
    if has_extents {
        "ext4"
    } else if has_journal {
        "ext3"
    } else {
        "ext2"
    }
}

/// The little-endian number in the first four of `bytes`; 0 where there are fewer.
fn le32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The partitions of a disk of 1 MiB that has each of the `pieces` at its offset, and zeros elsewhere.
    fn partitions_of(pieces: &[(usize, &[u8])]) -> Vec<Partition> {
        let mut bytes = vec![0; 1 << 20];
        for (offset, piece) in pieces {
            bytes[*offset..*offset + piece.len()].copy_from_slice(piece);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        partitions(file.path(), 1 << 20)
    }

    #[test]
    fn partitions_and_file_systems_are_recognized() {
        let table: [(usize, &[u8]); 3] = [
            (446, &[0, 0, 0, 0, 0x0c, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0]),
            (462, &[0x80, 0, 0, 0, 0x83, 0, 0, 0, 16, 0, 0, 0, 64, 0, 0, 0]),
            (510, &[0x55, 0xaa]),
        ];
        let fat: [(usize, &[u8]); 2] = [(4096 + 71, b"FIRMWARE   "), (4096 + 82, b"FAT32   ")];
        let ext4: [(usize, &[u8]); 3] =
            [(9216 + 56, &[0x53, 0xef]), (9216 + 96, &[0x40]), (9216 + 120, b"NIXOS_SD\0")];
        let two = partitions_of(&[&table[..], &fat, &ext4].concat());
        let titles = two.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(titles, ["FIRMWARE (vfat)", "NIXOS_SD (ext4)"]);
        assert_eq!((two[1].number, two[1].start, two[1].size), (2, 8192, 32768));
        assert_eq!(partitions_of(&[]), []);
        let whole_disk = partitions_of(&[(1024 + 56, &[0x53, 0xef]), (1024 + 120, b"PHOTOS")]);
        assert_eq!((whole_disk[0].number, whole_disk[0].to_string().as_str()), (0, "PHOTOS (ext2)"));
    }

    #[test]
    fn a_disk_that_is_gone_counts_as_empty() {
        assert_eq!(partitions(Path::new("/no/such/card"), 7), []);
    }

    #[test]
    fn fuzz() {
        let mut table = vec![0; 4096];
        table[446..462].copy_from_slice(&[0x80, 0, 0, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0]);
        table[510..512].copy_from_slice(&[0x55, 0xaa]);
        let mut ext4 = vec![0; 2048];
        ext4[1080..1082].copy_from_slice(&[0x53, 0xef]);
        let file = tempfile::tempfile().unwrap();
        crate::base::fuzz::check(&[&table, &ext4], |bytes| {
            file.set_len(0).and_then(|()| file.write_all_at(bytes, 0)).unwrap();
            (read_partitions(&file, bytes.len() as u64), read_filesystem(&file, u64::MAX - 100))
        });
    }

    #[test]
    fn a_disk_that_does_not_answer_counts_as_empty() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("hangs");
        // Opening a FIFO waits until somebody opens it for writing.
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, 0o600.into()).unwrap();
        assert_eq!(filesystem(&fifo, 0), Filesystem::default());
        assert_eq!(partitions(&fifo, 1 << 20), []);
    }
}
