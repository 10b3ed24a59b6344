//! Reading FAT file systems, good and hostile ones.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::super::budget::Budget;
use super::*;

pub(super) fn open_fat(disk: &File, start: u64) -> Result<Fat<'_>> {
    let size = disk.metadata().unwrap().len() - start;
    Fat::open(LimitedRegion::new(disk, start, size, Budget::without_stop()))
}

/// An entry of a folder: a short name of 11 bytes, its kind, the first cluster and the size.
pub(super) fn entry(name: &[u8; 11], kind: u8, first: u16, size: u32) -> Vec<u8> {
    let mut entry = vec![0; 32];
    entry[..11].copy_from_slice(name);
    entry[11] = kind;
    entry[26..28].copy_from_slice(&first.to_le_bytes());
    entry[28..].copy_from_slice(&size.to_le_bytes());
    entry
}

/// An entry of a folder with part `number` of a long name.
fn name_part(number: u8, text: &str) -> Vec<u8> {
    let units = text.encode_utf16().chain([0]).chain(std::iter::repeat(0xffff));
    let bytes = units.take(13).flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let mut entry = entry(b"           ", 0x0f, 0, 0);
    entry[0] = number;
    entry[1..11].copy_from_slice(&bytes[..10]);
    entry[14..26].copy_from_slice(&bytes[10..22]);
    entry[28..].copy_from_slice(&bytes[22..]);
    entry
}

/// The root folder of [`disk`].
fn root_folder() -> Vec<u8> {
    let deleted = entry(b"\xe5LD     TXT", 0x20, 9, 9);
    let parts = [
        entry(b"FIRMWARE   ", 0x08, 0, 0),
        entry(b"CONFIG  TXT", 0x20, 3, 700),
        entry(b"OVERLAYS   ", 0x10, 4, 0),
        deleted,
        name_part(0x42, "n"),
        name_part(1, "u-boot-pi3.bi"),
        entry(b"U-BOOT~1BIN", 0x20, 5, 3),
        entry(b"CUT        ", 0x20, 7, 4_000),
        entry(b"HUGE       ", 0x20, 3, u32::MAX),
        vec![0; 32],
        entry(b"BEHIND     ", 0x20, 5, 3),
    ];
    parts.concat()
}

/// A file with a FAT32 at byte 4096. Of its sectors of 512 bytes, sector 0 is the boot sector, sector 1 the file
/// allocation table, and each later sector `n` the cluster `n`.
pub(super) fn disk() -> File {
    let file = tempfile::tempfile().unwrap();
    let mut head = [0; 512];
    head[11..17].copy_from_slice(&[0, 2, 1, 1, 0, 1]);
    head[36] = 1;
    head[44] = 2;
    head[82..90].copy_from_slice(b"FAT32   ");
    // The root folder is cluster 2, CONFIG.TXT the clusters 3 and 6, and CUT has fewer clusters than its size needs.
    let table = [0, 0, 0x0fff_ffff, 6, 0, 0x0fff_fff8, 0x0fff_ffff, 0x0fff_ffff];
    let table = table.iter().flat_map(|link: &u32| link.to_le_bytes()).collect::<Vec<_>>();
    for (sector, bytes) in [
        (0, &head[..]),
        (1, &table),
        (2, &root_folder()),
        (3, &[1; 512]),
        (5, b"abc"),
        (6, &[2; 512]),
        (7, &[0]),
    ] {
        file.write_all_at(bytes, 4096 + 512 * sector).unwrap();
    }
    file.set_len(4096 + 512 * 9).unwrap();
    file
}

#[test]
fn files_of_the_root_folder_are_read() {
    let disk = disk();
    let fat = open_fat(&disk, 4096).unwrap();
    let config = fat.read("config.txt").unwrap().unwrap();
    assert_eq!(config, [vec![1; 512], vec![2; 188]].concat());
    assert_eq!(fat.read("u-boot-pi3.bin").unwrap().unwrap(), b"abc");
    for absent in ["old.txt", "overlays", "firmware", "behind", "u-boot~1.bin"] {
        assert_eq!(fat.read(absent).unwrap(), None, "{absent}");
    }
}

#[test]
fn errors_name_the_damage() {
    let disk = disk();
    let fat = open_fat(&disk, 4096).unwrap();
    for (name, expected) in [
        ("cut", "the clusters of cut end before its 4000 bytes"),
        ("huge", "huge has 4294967295 bytes, more than the limit of 67108864 bytes"),
    ] {
        assert_eq!(format!("{:#}", fat.read(name).unwrap_err()), expected);
    }
    let other = "the file system is neither FAT32 nor FAT16";
    assert_eq!(open_fat(&disk, 0).unwrap_err().to_string(), other);
    for (at, byte) in [(11, 1), (12, 3), (13, 0), (13, 3)] {
        let disk = self::disk();
        disk.write_all_at(&[byte], 4096 + at).unwrap();
        assert_eq!(open_fat(&disk, 4096).unwrap_err().to_string(), other, "{at}");
    }
}

#[test]
fn a_folder_whose_clusters_form_a_circle_is_refused() {
    let disk = disk();
    disk.write_all_at(&name_part(1, "a").repeat(16), 4096 + 512 * 2).unwrap();
    disk.write_all_at(&2_u32.to_le_bytes(), 4096 + 512 + 8).unwrap();
    let error = open_fat(&disk, 4096).unwrap().read("config.txt").unwrap_err();
    assert_eq!(format!("{error:#}"), "reading the root folder: the chain of clusters is a circle");
}

/// A damaged folder may have any number of parts of a name.
#[test]
fn a_long_name_is_cut() {
    let full = name_part(1, "abcdefghijklm").repeat(1000);
    let folder = [full, entry(b"SHORT      ", 0x20, 3, 1)].concat();
    let found = parse_entries(&folder, Root::Chain { cluster: 2 });
    assert_eq!(found[0].name, "abcdefghijklm".repeat(20));
}

/// The options of `mkfs.vfat` for FAT32 and FAT16 of 34 MiB.
pub const FAT32: &[&str] = &["-F", "32", "-s", "1"];
pub const FAT16: &[&str] = &["-F", "16", "-s", "4"];

/// A FAT32 that mkfs.vfat and mcopy make, with these files.
pub fn make_fat32(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    make_fat(FAT32, files)
}

/// A file system of 34 MiB that `mkfs.vfat` makes with `options` and mcopy fills with `files`, in their folders.
pub fn make_fat(options: &[&str], files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("fat");
    File::create(&image).unwrap().set_len(34 << 20).unwrap();
    let image = image.to_str().unwrap();
    let launcher = crate::base::process::Launcher::new("/").with_path_front("/usr/sbin".as_ref());
    launcher.read("mkfs.vfat", &[options, &["-n", "FIRMWARE", image]].concat()).unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    for (name, content) in files {
        let file = root.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, content).unwrap();
    }
    for entry in root.read_dir().unwrap() {
        launcher.read("mcopy", &["-s", "-i", image, entry.unwrap().path().to_str().unwrap(), "::"]).unwrap();
    }
    std::fs::read(image).unwrap()
}

/// A `config.txt` of many clusters.
fn config() -> Vec<u8> {
    (0..3000).map(|number| format!("kernel=k{number}\n")).collect::<String>().into_bytes()
}

#[test]
#[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
fn fat16_is_read_as_fat32_is() {
    let files = [("config.txt", config()), ("a long name.bin", vec![7; 5000])];
    for options in [FAT32, FAT16] {
        let image = make_fat(options, &files);
        let disk = tempfile::tempfile().unwrap();
        disk.write_all_at(&image, 0).unwrap();
        let fat = open_fat(&disk, 0).unwrap();
        for (name, content) in &files {
            assert_eq!(fat.read(name).unwrap().as_ref(), Some(content), "{name} {options:?}");
        }
        assert_eq!(fat.size("absent").unwrap(), None);
    }
}

#[test]
#[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
fn files_in_folders_are_read_by_their_paths() {
    for options in [FAT32, FAT16] {
        let image = make_fat(options, &[("overlays/Deep er/a long name.dtbo", vec![7; 5000])]);
        let disk = tempfile::tempfile().unwrap();
        disk.write_all_at(&image, 0).unwrap();
        let fat = open_fat(&disk, 0).unwrap();
        assert_eq!(fat.read("Overlays/deep ER/A long name.dtbo").unwrap(), Some(vec![7; 5000]));
        for absent in ["overlays", "overlays/Deep er", "a long name.dtbo", "absent/a", "overlays/../overlays"]
        {
            assert_eq!(fat.size(absent).unwrap(), None, "{absent}");
        }
    }
}

/// With so few clusters a file system is FAT12, also where its first sector has the name of FAT16.
#[test]
fn fat12_is_refused() {
    let disk = tempfile::tempfile().unwrap();
    for name in [b"FAT12", b"FAT16"] {
        disk.write_all_at(&make_fat(&["-F", "12", "-s", "64"], &[]), 0).unwrap();
        disk.write_all_at(name, 54).unwrap();
        let error = open_fat(&disk, 0).unwrap_err().to_string();
        assert_eq!(error, "the file system is neither FAT32 nor FAT16");
    }
}

#[test]
#[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
fn fuzz() {
    fuzz_metadata(FAT32, |image| le32(&image[36..]));
}

#[test]
#[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
fn fuzz_fat16() {
    fuzz_metadata(FAT16, |image| le16(&image[22..]).into());
}

/// Mutates all of the metadata of a file system made with `options`, whose tables have `table` sectors each.
fn fuzz_metadata(options: &[&str], table: impl Fn(&[u8]) -> u32) {
    let image = make_fat(options, &[("config.txt", config()), ("a long name.bin", vec![7; 5000])]);
    let reserved = u64::from(le16(&image[14..])) * 512;
    let folder = reserved + 2 * u64::from(table(&image)) * 512;
    // The first sector, the beginning of the first table, and the root folder.
    let parts = [(0, 512), (reserved, 256), (folder, 512)];
    let disk = tempfile::tempfile().unwrap();
    disk.write_all_at(&image, 0).unwrap();
    let bytes = |(at, len): (u64, usize)| image[usize::try_from(at).unwrap()..][..len].to_vec();
    let sample = parts.map(bytes).concat();
    let parse = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.resize(sample.len(), 0);
        let mut rest = &bytes[..];
        for (at, len) in parts {
            disk.write_all_at(rest.split_off(..len).unwrap(), at).unwrap();
        }
        let fat = open_fat(&disk, 0)?;
        ["config.txt", "a long name.bin"].into_iter().map(|name| fat.read(name)).collect::<Result<Vec<_>>>()
    };
    assert_eq!(parse(&sample).unwrap(), [Some(config()), Some(vec![7; 5000])]);
    crate::base::fuzz::check(&[&sample], parse);
}

#[test]
fn a_file_beyond_its_limit_is_not_read() {
    let disk = disk();
    let fat = open_fat(&disk, 4096).unwrap();
    assert!(fat.read_within("config.txt", 700).unwrap().is_some());
    let error = fat.read_within("config.txt", 699).unwrap_err();
    assert_eq!(format!("{error:#}"), "config.txt has 700 bytes, more than the limit of 699 bytes");
}

#[test]
fn a_folder_is_read_once_for_many_lookups() {
    let disk = disk();
    // As many entries as the cluster of the root folder holds.
    let full_folder = entry(b"CONFIG  TXT", 0x20, 3, 1).repeat(16);
    disk.write_all_at(&full_folder, 4096 + 512 * 2).unwrap();
    let budget = Budget::without_stop();
    let fat = Fat::open(LimitedRegion::new(&disk, 4096, 512 * 9, budget.clone())).unwrap();
    assert!(fat.read("absent").unwrap().is_none());
    (0..1_000_000).for_each(|_| drop(fat.read("absent").unwrap()));
    // The budget has 1 GiB: a million lookups have spent at most 4096 bytes of it.
    budget.spend((1 << 30) - 4096).unwrap();
}

/// Thousands of large files may share the same clusters.
#[test]
#[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
fn the_budget_limits_all_files_together() {
    let image = make_fat32(&[("config.txt", config()), ("k", vec![7; 20 << 20])]);
    let disk = tempfile::tempfile().unwrap();
    disk.write_all_at(&image, 0).unwrap();
    let fat = open_fat(&disk, 0).unwrap();
    let error = (0..3000).find_map(|_| fat.read("k").err()).unwrap();
    assert!(format!("{error:#}").contains("more than the limit of 1.0 GiB"), "{error:#}");
}
