//! The boot files of good and incomplete file systems.

use super::super::ext4::Ext4;
use super::super::partition_table::tests::mbr;
use super::*;

#[test]
fn the_label_is_read_from_ext4_fat32_and_fat16() {
    let filesystem = |kind, label: &str| Some(Filesystem { kind, label: label.to_owned() });
    let mut head = vec![0; 2048];
    assert_eq!(identify_filesystem(&head), None);
    head[71..90].copy_from_slice(b"FIRMWARE   FAT32   ");
    assert_eq!(identify_filesystem(&head), filesystem("FAT32", "FIRMWARE"));
    head[1080..1082].copy_from_slice(&[0x53, 0xef]);
    head[1144..1152].copy_from_slice(b"NIXOS_SD");
    assert_eq!(identify_filesystem(&head), filesystem("ext4", "NIXOS_SD"));
    assert_eq!(identify_filesystem(b"short"), None);
    let mut fat16 = vec![0; 2048];
    fat16[43..62].copy_from_slice(b"FIRMWARE   FAT16   ");
    assert_eq!(identify_filesystem(&fat16), filesystem("FAT16", "FIRMWARE"));
}

/// The kernel that U-Boot starts from a file system with a menu of these `lines` and with `change` in its files.
fn started_kernel(lines: &str, change: impl Fn(&std::path::Path)) -> Result<String, String> {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in [
        (
            "boot/extlinux/extlinux.conf",
            &*format!("LABEL a\nLINUX ../k\nINITRD ../i\nAPPEND init=/nix/store/s/init\n{lines}"),
        ),
        ("boot/k", "kernel"),
        ("boot/i", "initrd"),
        ("store/s/init", "init"),
    ] {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    change(dir.path());
    let bytes = super::super::ext4::tests::make_ext4(&["-d", dir.path().to_str().unwrap()], 8);
    let disk = tempfile::tempfile().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&disk, &bytes, 0).unwrap();
    let root = Ext4::open(&disk, 0, bytes.len() as u64, Budget::without_stop()).unwrap();
    system::read_entry(&root).map(|entry| entry.boot.kernel).map_err(|error| format!("{error:#}"))
}

#[test]
fn nothing_starts_from_what_is_no_file_with_content() {
    assert_eq!(started_kernel("", |_| ()), Ok("/boot/k".to_owned()));
    for (lines, expected) in [
        ("LINUX ../../store", "finding /boot/extlinux/../../store: not a regular file"),
        ("FDT ../../store", "finding /boot/extlinux/../../store: not a regular file"),
        ("APPEND init=/nix/store/s", "finding /nix/store/s: not a regular file"),
        ("LINUX ../absent", "finding /boot/extlinux/../absent: file not found"),
        ("FDT ../absent", "finding /boot/extlinux/../absent: file not found"),
        (&format!("LINUX {}", "x/".repeat(3000)), "extlinux.conf names a file with a path of 6000 bytes"),
        (
            &format!("APPEND init={}", "x/".repeat(3000)),
            "extlinux.conf names an init with a path of 6000 bytes",
        ),
    ] {
        let error = started_kernel(lines, |_| ()).unwrap_err();
        assert!(error.contains(expected) && error.len() < 200, "{error}");
    }
    for file in ["boot/k", "boot/i", "store/s/init", "boot/extlinux/extlinux.conf"] {
        let error = started_kernel("", |dir| std::fs::write(dir.join(file), "").unwrap()).unwrap_err();
        assert!(error.ends_with(": the file is empty"), "{error}");
        let pipe = |dir: &std::path::Path| {
            std::fs::remove_file(dir.join(file)).unwrap();
            rustix::fs::mkfifoat(rustix::fs::CWD, dir.join(file), 0o600.into()).unwrap();
        };
        let error = started_kernel("", pipe).unwrap_err();
        assert!(error.ends_with(": not a regular file"), "{error}");
    }
}

#[test]
fn a_link_as_the_init_is_not_followed() {
    let link = |dir: &std::path::Path| {
        std::fs::remove_file(dir.join("store/s/init")).unwrap();
        std::os::unix::fs::symlink("/nix/store/x/init", dir.join("store/s/init")).unwrap();
    };
    assert_eq!(started_kernel("", link), Ok("/boot/k".to_owned()));
}

/// The boot files of a card with a FIRMWARE that mkfs.vfat makes with `options`, and with a bootable ext4.
fn files_of_card(options: &[&str]) -> Result<BootFiles> {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in [
        (
            "boot/extlinux/extlinux.conf",
            b"LABEL a\nLINUX ../k\nINITRD ../i\nAPPEND init=/nix/store/s\n".to_vec(),
        ),
        ("boot/k", boot::kernel_header(33 << 20)),
        ("boot/i", vec![7]),
        ("store/s", vec![7]),
    ] {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let root = super::super::ext4::tests::make_ext4(&["-d", dir.path().to_str().unwrap()], 8);
    let firmware = super::super::fat::tests::make_fat(options, &[("kernel8.img", vec![7; 100])]);
    let disk = tempfile::tempfile().unwrap();
    let table = mbr(&[(0x0e, false, 2048, 34 << 11), (0x83, true, 35 << 11, 8 << 11)]);
    for (at, bytes) in [(0, &table[..]), (1 << 20, &firmware), (35 << 20, &root)] {
        std::os::unix::fs::FileExt::write_all_at(&disk, bytes, at).unwrap();
    }
    let layout = PartitionTable::parse(&table, 43 << 20).unwrap();
    read_boot(&disk, &layout, &Budget::without_stop()).files
}

#[test]
#[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
fn a_pi_boots_from_fat16_as_from_fat32() {
    use super::super::fat::tests::{FAT16, FAT32};
    for (options, expected) in [(FAT32, "FAT32"), (FAT16, "FAT16")] {
        let found = files_of_card(options).unwrap();
        assert_eq!(found.volumes[0].to_string(), format!("1: FIRMWARE, {expected}, 34.0 MiB"));
        assert_eq!(found.boot.kernel, "/boot/k");
    }
}

#[test]
#[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
fn not_every_pi_boots_from_fat12() {
    let error = files_of_card(&["-F", "12", "-s", "64"]).unwrap_err();
    let words = "no partition has FAT32 or FAT16, from which every Pi reads its firmware";
    assert_eq!(error.to_string(), words);
}
