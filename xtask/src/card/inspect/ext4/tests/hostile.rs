//! Hostile ext4 file systems: fields with extreme numbers, and mutations.

use super::*;

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// The position of the inode of `path`, in bytes.
fn inode_at(bytes: &[u8], path: &str) -> usize {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let output = debugfs(&["-R", &format!("imap {path}"), file.path().to_str().unwrap()]);
    let (block, offset) =
        output.rsplit_once("located at block ").unwrap().1.split_once(", offset 0x").unwrap();
    block.parse::<usize>().unwrap() * 1024 + usize::from_str_radix(offset.trim(), 16).unwrap()
}

/// Asserts that `read` of a file system with `change` fails with `expected`, within little memory and time.
#[track_caller]
fn assert_refused(change: impl Fn(&mut Vec<u8>), read: impl Fn(&Ext4) -> Result<()>, expected: &str) {
    let mut bytes = make_populated(VARIANTS[1]);
    change(&mut bytes);
    let disk = disk(&bytes);
    let mut message = String::new();
    let begin = crate::base::fuzz::cpu_time();
    let memory = allocation_counter::measure(|| {
        message = format!("{:#}", open(&disk).and_then(|fs| read(&fs)).unwrap_err());
    });
    assert!(message.contains(expected), "{message}");
    assert!(memory.bytes_max < 64 << 20, "{memory:?}");
    assert!(crate::base::fuzz::cpu_time().saturating_sub(begin).as_secs() < 20);
}

#[test]
fn a_hostile_superblock_or_group_is_refused() {
    let find_boot = |fs: &Ext4| fs.find("/boot").map(drop);
    let descriptor = 2 * 1024;
    assert_refused(|bytes| put(bytes, 1024 + 0x18, &60_u32.to_le_bytes()), find_boot, "wrong block size");
    // A list of these groups would take 64 GiB of memory.
    let groups = |bytes: &mut Vec<u8>| {
        put(bytes, 1024 + 0x04, &u32::MAX.to_le_bytes());
        put(bytes, 1024 + 0x20, &0_u32.to_le_bytes());
    };
    assert_refused(groups, find_boot, "larger than the partition");
    assert_refused(
        |bytes| put(bytes, 1024 + 0x20, &[1, 0, 0, 0]),
        find_boot,
        "wrong number of blocks in a group",
    );
    assert_refused(|bytes| put(bytes, 1024 + 0x28, &[0; 4]), find_boot, "wrong number of inodes in a group");
    assert_refused(
        |bytes| put(bytes, descriptor + 8, &u32::MAX.to_le_bytes()),
        find_boot,
        "an inode table lies beyond the end",
    );
    let mut wide = make_populated(&["-b", "1024", "-O", "^metadata_csum,64bit"]);
    put(&mut wide, descriptor + 0x28, &u32::MAX.to_le_bytes());
    let disk = disk(&wide);
    assert!(
        open(&disk).unwrap().find("/boot").unwrap_err().to_string().contains("an inode table lies beyond")
    );
}

#[test]
fn a_hostile_inode_is_refused() {
    let bytes = make_populated(VARIANTS[1]);
    let root = inode_at(&bytes, "/");
    let store = inode_at(&bytes, "/store");
    let long = inode_at(&bytes, "/store/long");
    let holes = inode_at(&bytes, "/persist/holes");
    let find = |path: &'static str| move |fs: &Ext4<'_>| fs.find(path).map(drop);
    // A link of 3,000,000,000 bytes, all of them a hole.
    assert_refused(
        |bytes| put(bytes, long + 4, &3_000_000_000_u32.to_le_bytes()),
        find("/store/long"),
        "more than the limit of 4096",
    );
    // A folder of the largest size, with one block or a hole.
    let large = |at: usize| move |bytes: &mut Vec<u8>| put(bytes, at + 0x6c, &[255, 255, 255, 0]);
    assert_refused(large(store), find("/store/a"), "more than the limit of 16777216");
    assert_refused(large(root), find("/store"), "more than the limit of 16777216");
    // A node of the extent tree that is its own child.
    let cycle = |bytes: &mut Vec<u8>| {
        put(bytes, store + 0x28, &[0x0a, 0xf3, 1, 0, 4, 0, 5, 0]);
        let node = [0x0a, 0xf3, 84, 0, 84, 0, 5, 0];
        put(bytes, 5000 * 1024, &node);
        for entry in 0..84 {
            put(bytes, 5000 * 1024 + 12 + 12 * entry + 4, &5000_u32.to_le_bytes());
        }
        put(bytes, store + 0x28 + 12, &[0, 0, 0, 0]);
        put(bytes, store + 0x28 + 16, &5000_u32.to_le_bytes());
    };
    assert_refused(cycle, find("/store/a"), "is damaged");
    // A file of the largest size, all of it a hole.
    let hole = move |bytes: &mut Vec<u8>| {
        put(bytes, holes + 4, &u32::MAX.to_le_bytes());
        put(bytes, holes + 0x28 + 2, &[0, 0]);
    };
    let read_whole = |fs: &Ext4<'_>| {
        let inode = fs.find("/persist/holes")?.unwrap();
        let first = fs.beginning(&inode, 32 << 20)?;
        assert!(first.iter().all(|byte| *byte == 0) && first.len() == 32 << 20);
        fs.content(&inode, 64 << 20).map(drop)
    };
    assert_refused(hole, read_whole, "more than the limit of 67108864");
}

#[test]
fn extreme_numbers_in_the_superblock_and_the_first_group_take_little_memory() {
    let bytes = make_populated(VARIANTS[1]);
    let disk = disk(&bytes);
    for at in (1024..1024 + 0x178).step_by(2).chain([1024 + 0x270]).chain((2048..2048 + 48).step_by(2)) {
        for number in [0, 1, 2, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX] {
            disk.write_all_at(&number.to_le_bytes(), at as u64).unwrap();
            let memory = allocation_counter::measure(|| drop(read_everything(&disk)));
            assert!(memory.bytes_max < 256 << 20, "{at:#x} {number:#x}: {memory:?}");
            disk.write_all_at(&bytes[at..at + 4], at as u64).unwrap();
        }
    }
    assert_eq!(read_everything(&disk).unwrap().len(), 7);
}

/// Mutates 256 bytes at each of the positions that `positions` finds in a file system made with `args`, and reads it.
fn fuzz_at(args: &[&str], positions: impl Fn(&[u8]) -> Vec<usize>) {
    let bytes = make_populated(args);
    let disk = disk(&bytes);
    let found = positions(&bytes);
    let sample = found.iter().flat_map(|at| bytes[*at..at + 256].to_vec()).collect::<Vec<_>>();
    crate::base::fuzz::check(&[&sample], |input| {
        let mut input = input.to_vec();
        input.resize(sample.len(), 0);
        for (at, piece) in found.iter().zip(input.chunks_exact(256)) {
            disk.write_all_at(piece, *at as u64).unwrap();
        }
        read_everything(&disk).is_ok()
    });
}

#[test]
fn fuzz_superblock_and_groups() {
    fuzz_at(VARIANTS[1], |_| vec![1024, 1024 + 256, 2048]);
}

#[test]
fn fuzz_inodes() {
    let paths = ["/", "/store", "/store/long", "/store/short", "/persist/holes", "/boot/nixos/k"];
    for args in [VARIANTS[1], VARIANTS[2]] {
        fuzz_at(args, |bytes| paths.iter().map(|path| inode_at(bytes, path)).collect());
    }
}

#[test]
fn fuzz_folders_and_trees() {
    let blocks = |path: &str, bytes: &[u8]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let output = debugfs(&["-R", &format!("blocks {path}"), file.path().to_str().unwrap()]);
        output
            .split_whitespace()
            .take(2)
            .map(|block| block.parse::<usize>().unwrap() * 1024)
            .collect::<Vec<_>>()
    };
    for args in [VARIANTS[1], VARIANTS[2]] {
        fuzz_at(args, |bytes| {
            ["/", "/store", "/boot", "/store/long"].iter().flat_map(|path| blocks(path, bytes)).collect()
        });
    }
}

#[test]
fn fuzz_journals() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("fs"), make_populated(VARIANTS[1])).unwrap();
    std::fs::write(path("block"), [7; 1024]).unwrap();
    std::fs::write(path("script"), format!("jo\njw -b 5001 -r 5002 {}\njc\n", path("block"))).unwrap();
    debugfs(&["-w", "-f", &path("script"), &path("fs")]);
    let bytes = std::fs::read(path("fs")).unwrap();
    let output = debugfs(&["-R", "blocks <8>", &path("fs")]);
    let first = output.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024;
    let disk = disk(&bytes);
    let sample = bytes[first..first + 5 * 1024].to_vec();
    crate::base::fuzz::check(&[&sample], |input| {
        let mut input = input.to_vec();
        input.resize(sample.len(), 0);
        disk.write_all_at(&input, first as u64).unwrap();
        read_everything(&disk).is_ok()
    });
}
