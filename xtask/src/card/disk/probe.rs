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
/// The type byte of the protective entry in the MBR of a GPT disk.
const PROTECTIVE: u8 = 0xee;

/// After this time without an answer nothing is found: a disk that hangs must not prevent the writing of others.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// The file system that begins `start` bytes into the disk at `path`.
pub fn filesystem(path: &Path, start: u64) -> Filesystem {
    with_timeout(path, move |disk| read_filesystem(disk, start))
}

/// The partitions of the disk at `path`, of `size` bytes, by its own table. A disk without a table
/// that has one file system counts as one partition with the number 0.
pub fn partitions(path: &Path, size: u64) -> Vec<Partition> {
    with_timeout(path, move |disk| read_partitions(disk, size))
}

/// What `probe` finds on the disk at `path` within [`PROBE_TIMEOUT`], else the default. A thread of its own opens the
/// disk, as it may wait for ever.
pub(super) fn with_timeout<T>(path: &Path, probe: impl FnOnce(&File) -> io::Result<T> + Send + 'static) -> T
where
    T: Default + Send + 'static,
{
    let path = path.to_owned();
    let (sender, receiver) = channel();
    // Where no thread can be started, the receiver finds its channel closed.
    let _ = std::thread::Builder::new().spawn(move || {
        // After the timeout there is no receiver.
        let _ = sender.send(File::open(path).and_then(|disk| probe(&disk)).unwrap_or_default());
    });
    receiver.recv_timeout(PROBE_TIMEOUT).unwrap_or_default()
}

fn read_partitions(disk: &File, size: u64) -> io::Result<Vec<Partition>> {
    let part = |number, start, size, found: Filesystem| {
        let Filesystem { label, fstype } = found;
        Partition { name: None, number, start, size, label, fstype }
    };
    let whole = read_filesystem(disk, 0).unwrap_or_default();
    if whole.fstype.is_some() {
        return Ok(vec![part(0, 0, size, whole)]);
    }
    let mut sector = [0; 512];
    disk.read_exact_at(&mut sector, 0)?;
    if !sector.ends_with(&[0x55, 0xaa]) {
        return Ok(Vec::new());
    }
    let entries = sector[446..510].chunks_exact(16).zip(1..).filter(|(entry, _)| entry[4] != 0);
    let parts = entries.filter(|(entry, _)| entry[4] != PROTECTIVE).map(|(entry, number)| {
        let start = u64::from(le32(&entry[8..])) * SECTOR;
        let size = u64::from(le32(&entry[12..])) * SECTOR;
        part(number, start, size, read_filesystem(disk, start).unwrap_or_default())
    });
    Ok(parts.collect())
}

/// The file system at byte `start`: ext2 to ext4 by the magic number of its superblock, FAT by the type in its boot
/// sector.
fn read_filesystem(disk: &File, start: u64) -> io::Result<Filesystem> {
    let mut head = [0; 2048];
    disk.read_exact_at(&mut head, start)?;
    let found = |fstype: &str, label: &[u8]| {
        let label = String::from_utf8_lossy(label).trim_matches(['\0', ' ']).to_owned();
        let label = (!label.is_empty() && label != "NO NAME").then_some(label);
        Filesystem { label, fstype: Some(fstype.to_owned()) }
    };
    Ok(if head[1080..1082] == [0x53, 0xef] {
        found(ext_version(&head[1024..]), &head[1024 + 120..1024 + 136])
    } else if &head[82..87] == b"FAT32" {
        found("vfat", &head[71..82])
    } else if &head[54..58] == b"FAT1" {
        found("vfat", &head[43..54])
    } else {
        Filesystem::default()
    })
}

/// The version of ext: ext4 has extents (incompatible feature 0x40), ext3 a journal (compatible feature 0x4).
fn ext_version(superblock: &[u8]) -> &'static str {
    match (le32(&superblock[96..]) & 0x40 != 0, le32(&superblock[92..]) & 0x4 != 0) {
        (true, _) => "ext4",
        (false, true) => "ext3",
        (false, false) => "ext2",
    }
}

fn le32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 MiB with the pieces at their offsets.
    fn disk(pieces: &[(usize, &[u8])]) -> Vec<Partition> {
        let mut bytes = vec![0; 1 << 20];
        for (at, piece) in pieces {
            bytes[*at..*at + piece.len()].copy_from_slice(piece);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        partitions(file.path(), 1 << 20)
    }

    #[test]
    fn tables_and_file_systems() {
        let table: [(usize, &[u8]); 3] = [
            (446, &[0, 0, 0, 0, 0x0c, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0]),
            (462, &[0x80, 0, 0, 0, 0x83, 0, 0, 0, 16, 0, 0, 0, 64, 0, 0, 0]),
            (510, &[0x55, 0xaa]),
        ];
        let fat: [(usize, &[u8]); 2] = [(4096 + 71, b"FIRMWARE   "), (4096 + 82, b"FAT32   ")];
        let ext4: [(usize, &[u8]); 3] = [(9272, &[0x53, 0xef]), (9312, &[0x40]), (9216 + 120, b"NIXOS_SD\0")];
        let found = disk(&[&table[..], &fat, &ext4].concat());
        let words = found.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(words, ["FIRMWARE (vfat)", "NIXOS_SD (ext4)"]);
        assert_eq!((found[1].number, found[1].start, found[1].size), (2, 8192, 32768));
        assert_eq!(disk(&[]), []);
        let whole = disk(&[(1080, &[0x53, 0xef]), (1144, b"PHOTOS")]);
        assert_eq!((whole[0].number, whole[0].to_string().as_str()), (0, "PHOTOS (ext2)"));
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
    fn a_disk_that_does_not_answer() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("hangs");
        // Opening it waits until somebody writes to it.
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, 0o600.into()).unwrap();
        assert_eq!(filesystem(&fifo, 0), Filesystem::default());
        assert_eq!(partitions(&fifo, 1 << 20), []);
    }
}
