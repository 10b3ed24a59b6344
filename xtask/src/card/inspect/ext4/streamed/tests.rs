//! File systems that mke2fs makes, read from start to end.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::super::tests::{VARIANTS, debugfs, make_ext4};
use super::*;

fn is_key(name: &[u8]) -> bool {
    name.starts_with(b"key")
}

fn is_relevant(name: &[u8]) -> bool {
    is_key(name) || matches!(name, b"etc" | b"ssh" | b"persist" | b"nix")
}

/// The files found in the file system `bytes`, which is read in parts of `part` bytes.
fn read_streamed(bytes: &[u8], part: usize) -> FoundFiles {
    let mut stream = StreamedExt4::new(bytes.len() as u64, is_relevant);
    bytes.chunks(part).for_each(|part| stream.feed(part));
    stream.finish()
}

/// The names of the keys in `folder`.
fn key_names(found: &FoundFiles, folder: &str) -> Vec<String> {
    let files = found.filled_files(folder, is_key);
    files.into_iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
}

fn write(dir: &Path, path: &str, content: &[u8]) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// A root with keys of every kind, and with folders of many blocks.
fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    for number in 0..400 {
        write(dir.path(), &format!("etc/{number:032}"), b"x");
        write(dir.path(), &format!("nix/store/{number:032}/etc/ssh/key"), b"x");
    }
    write(dir.path(), "etc/ssh/key-a", b"secret");
    write(dir.path(), "etc/ssh/key-empty", b"");
    write(dir.path(), "etc/ssh/other", b"x");
    write(dir.path(), "etc/ssh/key-folder/x", b"x");
    write(dir.path(), "persist/ssh/key-b", &vec![7; 60_000]);
    for (link, target) in [
        ("etc/ssh/key-link", "../../persist/ssh/key-b"),
        ("etc/ssh/key-absolute", "/persist/ssh/./key-b"),
        ("etc/ssh/key-dangling", "/persist/ssh/key-gone"),
        ("etc/ssh/key-elsewhere", "/run/keys/key-a"),
        ("etc/ssh/key-circle", "key-circle"),
        ("persist/etc", "/etc/"),
        ("nix/persist", "../persist"),
    ] {
        symlink(target, at(link)).unwrap();
    }
    dir
}

#[test]
fn files_are_found_whatever_the_layout_is() {
    let tree = tree();
    let own = ["key-a", "key-absolute", "key-link"];
    for &options in VARIANTS {
        let bytes = make_ext4(&[options, &["-N", "4096", "-d", tree.path().to_str().unwrap()]].concat(), 16);
        for part in [1 << 20, 1000, 70_000, bytes.len()] {
            let found = read_streamed(&bytes, part);
            for (folder, expected) in [
                ("etc/ssh", &own[..]),
                ("/persist/etc/ssh/", &own),
                ("nix/persist/etc/ssh", &own),
                ("persist/ssh", &["key-b"]),
                ("ssh", &[]),
                ("etc/ssh/key-a", &[]),
            ] {
                assert_eq!(key_names(&found, folder), expected, "{folder} {options:?} {part}");
            }
        }
    }
}

/// On a host whose /nix is the file system, `/nix/persist` is its `persist`.
#[test]
fn a_link_to_nix_leads_to_the_root_of_nix() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "persist/ssh/key", b"x");
    std::fs::create_dir(dir.path().join("persist/etc")).unwrap();
    symlink("/nix/persist/ssh", dir.path().join("persist/etc/ssh")).unwrap();
    let bytes = make_ext4(&["-d", dir.path().to_str().unwrap()], 8);
    let found = read_streamed(&bytes, 1 << 20);
    assert_eq!(key_names(&found, "persist/etc/ssh"), ["key"]);
    assert_eq!(key_names(&found, "nix/persist/ssh"), [""; 0]);
}

#[test]
fn deleted_files_are_not_found() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "root/etc/ssh/key", b"x");
    write(dir.path(), "root/etc/ssh/key-2", b"x");
    let root = dir.path().join("root");
    let file = dir.path().join("fs");
    std::fs::write(&file, make_ext4(&["-b", "1024", "-d", root.to_str().unwrap()], 8)).unwrap();
    debugfs(&["-w", "-R", "rm /etc/ssh/key", file.to_str().unwrap()]);
    assert_eq!(key_names(&read_streamed(&std::fs::read(&file).unwrap(), 1 << 20), "etc/ssh"), ["key-2"]);
    debugfs(&["-w", "-R", "unlink /etc/ssh", file.to_str().unwrap()]);
    assert_eq!(key_names(&read_streamed(&std::fs::read(&file).unwrap(), 1 << 20), "etc/ssh"), [""; 0]);
}

/// The file system has a million folders, each with four runs of blocks.
#[test]
fn the_memory_is_limited() {
    let mut bytes = make_ext4(&["-b", "1024", "-O", "^metadata_csum,^has_journal", "-N", "1000000"], 400);
    let stream = StreamedExt4::new(bytes.len() as u64, is_relevant);
    let State::Blocks(blocks) = feed_all(stream, &bytes).state else { panic!("not understood") };
    let inode = [&0o40755_u16.to_le_bytes()[..], &[0; 24], &[1, 0]].concat();
    for &(start, _) in &blocks.scanner.tables.starts {
        let start = usize::try_from(start * 1024).unwrap();
        let len = usize::try_from(blocks.scanner.tables.superblock.inode_table_blocks() * 1024).unwrap();
        for slot in bytes[start..start + len].chunks_exact_mut(256) {
            slot[..28].copy_from_slice(&inode);
            slot[0x20..0x24].copy_from_slice(&0x8_0000_u32.to_le_bytes());
            slot[0x28..0x34].copy_from_slice(&[0x0a, 0xf3, 4, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
            slot[0x34..0x64].copy_from_slice(&[0, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0].repeat(4));
        }
    }
    let mut state = None;
    let memory = allocation_counter::measure(|| {
        let stream = StreamedExt4::new(bytes.len() as u64, is_relevant);
        state = Some(feed_all(stream, &bytes).state);
    });
    assert!(matches!(state, Some(State::Unknown)));
    assert!(memory.bytes_max < 16 << 20, "{memory:?}");
}

/// `stream` after all of `bytes`.
fn feed_all(mut stream: StreamedExt4, bytes: &[u8]) -> StreamedExt4 {
    bytes.chunks(1 << 20).for_each(|part| stream.feed(part));
    stream
}

#[test]
fn fuzz() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "etc/ssh/key", b"x");
    symlink("key", dir.path().join("etc/ssh/key-link")).unwrap();
    let samples = ["^metadata_csum", "^metadata_csum,^64bit,^extents"].map(|features| {
        let features = format!("{features},^has_journal,^resize_inode");
        make_ext4(&["-b", "1024", "-N", "32", "-O", &features, "-d", dir.path().to_str().unwrap()], 1)
    });
    for sample in &samples {
        assert_eq!(key_names(&read_streamed(sample, 1 << 20), "etc/ssh"), ["key", "key-link"]);
    }
    // The content ends early, so that changes meet what matters.
    let samples = samples.map(|bytes| bytes[..160 << 10].to_vec());
    crate::base::fuzz::check(&samples.each_ref().map(Vec::as_slice), |bytes| {
        let mut stream = StreamedExt4::new(1 << 20, is_relevant);
        bytes.chunks(10_000).for_each(|part| stream.feed(part));
        key_names(&stream.finish(), "etc/ssh")
    });
}
