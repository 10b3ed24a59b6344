//! Reading hostile trees of folders.

use std::os::unix::fs::FileExt;

use super::tests::{disk, entry, open_fat};
use super::*;

/// Folders that point to the root, to themselves, to a file, and to no cluster.
#[test]
fn a_hostile_tree_of_folders_ends() {
    let disk = disk();
    let folder = [
        entry(b"ROOT       ", 0x10, 0, 0),
        entry(b"SELF       ", 0x10, 2, 0),
        entry(b"..         ", 0x10, 0, 0),
        entry(b"FILE       ", 0x10, 3, 0),
        entry(b"NOWHERE    ", 0x10, 0xfff0, 0),
        entry(b"CONFIG  TXT", 0x20, 3, 700),
    ];
    disk.write_all_at(&folder.concat(), 4096 + 512 * 2).unwrap();
    let fat = open_fat(&disk, 4096).unwrap();
    for path in ["root/self/../root/config.txt", "../../config.txt", "/self//self/config.txt"] {
        assert_eq!(fat.size(path).unwrap(), Some(700), "{path}");
    }
    assert_eq!(fat.size(&format!("{}config.txt", "self/".repeat(10_000))).unwrap(), Some(700));
    for path in ["file/config.txt", "config.txt/x", "root", "", "/"] {
        assert_eq!(fat.size(path).unwrap(), None, "{path}");
    }
    fat.size("nowhere/config.txt").unwrap_err();
    let (size, head) = fat.beginning("config.txt", 600).unwrap().unwrap();
    assert_eq!((size, head.len()), (700, 600));
}

#[test]
fn of_two_files_with_one_name_the_first_counts() {
    let disk = disk();
    let folder = [
        entry(b"CONFIG  TXT", 0x10, 2, 0),
        entry(b"config  txt", 0x20, 3, 5),
        entry(b"CONFIG  TXT", 0x20, 3, 9),
    ];
    disk.write_all_at(&[folder.concat(), vec![0; 32]].concat(), 4096 + 512 * 2).unwrap();
    let fat = open_fat(&disk, 4096).unwrap();
    assert_eq!(fat.size("Config.TXT").unwrap(), Some(5));
    assert_eq!(fat.size("config.txt/CONFIG.txt").unwrap(), Some(5));
}

/// Paths through thousands of folders keep few of them in memory.
#[test]
fn few_folders_are_kept() {
    let disk = disk();
    let fat = open_fat(&disk, 4096).unwrap();
    for folder in 0..1000 {
        drop(fat.entries(folder));
    }
    assert!(fat.folders.borrow().len() <= MAX_FOLDERS);
}
