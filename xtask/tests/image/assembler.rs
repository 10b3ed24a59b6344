//! The content of assembled images, and the errors for input that cannot be assembled.

use std::fs;

use crate::content::{Content, HELLO, WORLD};
use crate::script::{Call, Programs};
use crate::support::image::{Image, stdout_of};

#[test]
fn the_refusal_of_an_invalid_variable_names_the_variable() {
    let content = Content::new();
    for (changes, expected) in [
        (("OUT", ""), "assemble: the variable OUT is not set\n"),
        (("FIRMWARE_MIB", "30"), "assemble: FIRMWARE_MIB is 30; FAT32 needs 34 at least\n"),
        (("HEADROOM_MIB", "1 GiB"), "assemble: HEADROOM_MIB is not a whole number: 1 GiB\n"),
        (("ROOT_UUID", "4444-4444"), "assemble: ROOT_UUID is not a UUID: 4444-4444\n"),
        (("FIRMWARE_MIB", "040"), "assemble: FIRMWARE_MIB is not a whole number: 040\n"),
        (("ZSTD_LEVEL", "20"), "assemble: ZSTD_LEVEL is 20, not from 1 to 19\n"),
        (("ZSTD_LEVEL", "0"), "assemble: ZSTD_LEVEL is 0, not from 1 to 19\n"),
        (("ZSTD_LEVEL", "03"), "assemble: ZSTD_LEVEL is not a whole number: 03\n"),
        (("ZSTD_LEVEL", "-1"), "assemble: ZSTD_LEVEL is not a whole number: -1\n"),
        (("ROOT_TREE", "/nowhere"), "assemble: ROOT_TREE is not a folder: /nowhere\n"),
        (("STORE_PATHS", "/nowhere"), "assemble: STORE_PATHS is not a file: /nowhere\n"),
    ] {
        let call = Call { changes: &[changes], programs: Programs::Machine, ..Call::new(content.dir()) };
        assert_eq!(call.run().unwrap_err(), expected);
        content.assert_unchanged();
    }
}

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn content_that_cannot_be_assembled_is_refused() {
    let content = Content::new();
    fs::write(content.path("paths"), "/nowhere/cccc-x\n").unwrap();
    let stderr = content.assemble(&[]).unwrap_err();
    assert_eq!(stderr, "assemble: STORE_PATHS names /nowhere/cccc-x, which does not exist\n");
    content.assert_unchanged();

    let content = Content::new();
    fs::write(content.path("firmware/large"), vec![1; 41 << 20]).unwrap();
    let stderr = content.assemble(&[]).unwrap_err();
    assert!(stderr.contains("of FIRMWARE failed; do they fit into 40 MiB?"), "{stderr}");
    content.assert_unchanged();

    let content = Content::new();
    fs::write(content.path("firmware/Config.TXT"), "").unwrap();
    let stderr = content.assemble(&[]).unwrap_err();
    let clash = "assemble: FIRMWARE_TREE has ./Config.TXT and ./config.txt, which are one name on FAT\n";
    assert_eq!(stderr, clash);
    content.assert_unchanged();

    let content = Content::new();
    std::os::unix::fs::symlink("nowhere", content.path("firmware/a")).unwrap();
    let stderr = content.assemble(&[]).unwrap_err();
    assert!(stderr.contains("assemble: copying ./a "), "{stderr}");
    content.assert_unchanged();
}

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn all_content_is_in_the_image() {
    let content = Content::new();
    let image = Image::decompress(&content.assemble(&[]).unwrap(), content.dir(), 40);
    image.assert_sound();
    assert_has_content(&image);
}

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn firmware_files_that_begin_with_a_dot_are_in_the_image() {
    let content = Content::new();
    fs::create_dir(content.path("firmware/.folder")).unwrap();
    for name in ["firmware/.file", "firmware/.folder/..file"] {
        fs::write(content.path(name), "x").unwrap();
    }
    let image = Image::decompress(&content.assemble(&[]).unwrap(), content.dir(), 40);
    let mut found = image.firmware_paths();
    found.retain(|name| name.starts_with('.'));
    found.sort();
    assert_eq!(found, [".file", ".folder/", ".folder/..file"]);
}

/// Asserts that `image` has the files of [`Content`].
#[track_caller]
pub fn assert_has_content(image: &Image) {
    assert_eq!(image.sorted_names("/"), ["boot", "lost+found", "persist", "store"]);
    assert_eq!(image.sorted_names("/store"), [HELLO, WORLD]);
    assert_eq!(image.text("/boot/extlinux/extlinux.conf"), "DEFAULT x\n".repeat(3));
    assert_eq!(image.text(&format!("/store/{HELLO}/copy")), "hello".repeat(50_000));
    let link = image.debugfs(&format!("stat /store/{HELLO}/link"));
    assert!(link.contains("Fast link dest: \"bin/hello\"") && link.contains("User:     0"), "{link}");
    assert_eq!(image.firmware_paths(), ["config.txt", "overlays/", "overlays/with space.dtbo"]);
}

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn large_stable_store_paths_come_first() {
    let content = Content::new();
    let name = |name: &str| format!("{}-{name}", "d".repeat(32));
    let mut paths = Vec::new();
    for (base, size) in [
        ("etc", 4_000),
        ("unit-a.service", 300),
        ("zlib-1.3", 90_000),
        ("bash-5.2", 1_500_000),
        ("linux-6.12", 17 << 20),
        ("initrd-linux-6.12", 2 << 20),
        ("nixos-system-pi-26.05", 200),
    ] {
        let path = content.path("store").join(name(base));
        fs::write(&path, vec![b'x'; size]).unwrap();
        paths.push(path.display().to_string());
    }
    fs::write(content.path("paths"), paths.join("\n")).unwrap();
    fs::create_dir_all(content.path("root/boot/nixos")).unwrap();
    let kernel = name("linux-6.12-Image");
    fs::write(content.path("root/boot/nixos").join(&kernel), vec![b'k'; 16 << 20]).unwrap();
    let image = Image::decompress(&content.assemble(&[]).unwrap(), content.dir(), 40);
    image.assert_sound();
    let mut found = image.inodes("/store");
    found.extend(image.inodes("/boot/nixos"));
    found.extend(image.inodes("/boot/extlinux"));
    found.sort();
    let expected = [
        "linux-6.12",
        "linux-6.12-Image",
        "bash-5.2",
        "initrd-linux-6.12",
        "extlinux.conf",
        "zlib-1.3",
        "etc",
        "nixos-system-pi-26.05",
        "unit-a.service",
    ];
    let found = found.iter().map(|(_, name)| name.trim_start_matches('d').trim_start_matches('-'));
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn every_file_has_the_given_time() {
    let content = Content::new();
    // Nix gives files in the store the time 1.
    for (now, fat, ext4) in [
        ("1700000000", "2023-11-14  22:13", "14-Nov-2023 22:13"),
        ("1", "1980-01-01   0:00", " 1-Jan-1970 00:00"),
    ] {
        let compressed = content.assemble(&[("SOURCE_DATE_EPOCH", now)]).unwrap();
        let image = Image::decompress(&compressed, content.dir(), 40);
        image.assert_sound();
        let entry = image.firmware_entry("config.txt");
        assert!(entry.contains(fat), "{entry}");
        let listing = image.debugfs("ls -l /boot/extlinux");
        assert!(listing.lines().filter(|line| !line.is_empty()).all(|line| line.contains(ext4)), "{listing}");
    }
}

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn the_image_grows_with_its_content() {
    let content = Content::new();
    let size = |changes: &[(&str, &str)]| {
        let compressed = fs::File::open(content.assemble(changes).unwrap()).unwrap();
        zstd::zstd_safe::get_frame_content_size(&frame_header(compressed)).unwrap().unwrap()
    };
    let small = size(&[]);
    assert_eq!(small % (1 << 20), 0);
    assert_eq!(size(&[("HEADROOM_MIB", "9")]), small, "a small change does not move the end");
    assert!(size(&[("HEADROOM_MIB", "540")]) > small + (480 << 20));
    let many = content.path("root/many");
    fs::create_dir(&many).unwrap();
    for number in 0..5_000 {
        fs::write(many.join(number.to_string()), "").unwrap();
    }
    assert!(size(&[]) > small, "5000 empty files need inodes");
}

/// The first bytes of a compressed image, which have the header of its first frame.
fn frame_header(mut file: impl std::io::Read) -> Vec<u8> {
    let mut head = vec![0; 18];
    file.read_exact(&mut head).unwrap();
    head
}

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn the_file_system_has_checksums_and_large_folders_an_index() {
    let content = Content::new();
    for file in 0..400 {
        fs::write(content.path(&format!("store/{HELLO}/bin/a-name-as-programs-have-it-{file}")), "").unwrap();
    }
    // A file system of this size has copies of the superblock.
    let image = Image::decompress(&content.assemble(&[("HEADROOM_MIB", "300")]).unwrap(), content.dir(), 40);
    image.assert_sound();
    let superblock = image.debugfs("show_super_stats -h");
    let features = superblock.lines().find(|line| line.starts_with("Filesystem features:")).unwrap();
    for feature in ["metadata_csum", "dir_index", "has_journal"] {
        assert!(features.split_whitespace().any(|word| word == feature), "{features}");
    }
    assert!(superblock.contains("Filesystem state:         clean"), "{superblock}");
    let flags = |folder: &str| {
        let stat = image.debugfs(&format!("stat {folder}"));
        stat.split("Flags: 0x").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap().to_owned()
    };
    // The bits of extents, and of an index.
    assert_eq!(flags(&format!("/store/{HELLO}/bin")), "81000");
    assert_eq!(flags("/boot"), "80000");
    // The number of free blocks, which is read before the journal is.
    let copy = ["-b", "4096", "-s", "32768", "-R", "show_super_stats -h", &image.root_argument()];
    let copy = stdout_of("debugfs", &copy);
    assert_eq!(free_blocks(&copy), free_blocks(&superblock));
}

/// The line about free blocks in `superblock`, as debugfs shows one.
fn free_blocks(superblock: &str) -> &str {
    superblock.lines().find(|line| line.starts_with("Free blocks:")).unwrap()
}
