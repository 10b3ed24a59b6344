//! The proof of boards from the file systems of a card, good and hostile ones.

use std::fs::File;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

use super::super::ext4::tests::make_ext4;
use super::super::fat::tests::{FAT16, FAT32, make_fat};
use super::super::partition_table::tests::mbr;
use super::*;
use crate::boot::{Board, Outcome, uboot_program};

const SYSTEM: &str = "store/system";

/// A card with U-Boot and a system, whose ext4 has a `change`, and whose FIRMWARE is made by mkfs.vfat with `options`.
fn card(options: &[&str], change: impl Fn(&Path)) -> (File, PartitionTable) {
    let dir = tempfile::tempdir().unwrap();
    let menu = b"LABEL a\nLINUX ../k\nINITRD ../i\nAPPEND init=/nix/store/system/init\n".to_vec();
    for (path, content) in [
        ("boot/extlinux/extlinux.conf", menu),
        ("boot/k", boot::kernel_header(33 << 20)),
        ("boot/i", vec![7]),
        ("store/system/init", vec![7]),
    ] {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    change(dir.path());
    let root = make_ext4(&["-L", "NIXOS_SD", "-d", dir.path().to_str().unwrap()], 12);
    let mut files = vec![
        ("config.txt", b"arm_64bit=1\nkernel=u-boot.bin\n".to_vec()),
        ("u-boot.bin", uboot_program(&["bcm2711-rpi-4-b.dtb"])),
    ];
    files.extend(["start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb"].map(|name| (name, vec![7])));
    let firmware = make_fat(options, &files);
    let disk = tempfile::tempfile().unwrap();
    let table = mbr(&[(0x0e, false, 2048, 34 << 11), (0x83, true, 35 << 11, 12 << 11)]);
    for (at, bytes) in [(0, &table[..]), (1 << 20, &firmware), (35 << 20, &root)] {
        disk.write_all_at(bytes, at).unwrap();
    }
    (disk, PartitionTable::parse(&table, 47 << 20).unwrap())
}

/// The proof for a Pi 4.
fn prove(disk: &File, layout: &PartitionTable, budget: &Budget) -> BoardProof {
    let boards = read_boot(disk, layout, budget).boards;
    boards.into_iter().find(|proof| proof.board == Board::Pi4).unwrap()
}

/// Whether a Pi 4 boots, and its faults, where the system has this `fstab`.
fn faults(options: &[&str], fstab: &str) -> (bool, Vec<String>) {
    let (disk, layout) = card(options, |dir| {
        let etc = dir.join(SYSTEM).join("etc");
        std::fs::create_dir(&etc).unwrap();
        std::fs::write(etc.join("fstab"), fstab).unwrap();
    });
    let proof = prove(&disk, &layout, &Budget::without_stop());
    let messages = proof.faults.into_iter().map(|fault| fault.message);
    (proof.outcome == Outcome::Boots, messages.collect())
}

#[test]
#[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
fn the_partitions_of_a_card_have_their_names() {
    let (disk, layout) = card(FAT16, |_| ());
    let volumes = volumes(&disk, &layout, &Budget::without_stop()).unwrap();
    let id = |at: u64, range: std::ops::Range<usize>| {
        let mut head = vec![0; 2048];
        disk.read_exact_at(&mut head, at).unwrap();
        head[range].to_vec()
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let fat = id(1 << 20, 39..43).into_iter().rev().collect::<Vec<_>>();
    let fat = format!("{}-{}", hex(&fat[..2]).to_uppercase(), hex(&fat[2..]).to_uppercase());
    let ext4 = hex(&id(35 << 20, 1024 + 0x68..1024 + 0x78));
    let ext4 = [&ext4[..8], &ext4[8..12], &ext4[12..16], &ext4[16..20], &ext4[20..]].join("-");
    assert_eq!(volumes.len(), 2);
    for (device, is_there) in [
        (format!("UUID={fat}"), true),
        (format!("/dev/disk/by-uuid/{ext4}"), true),
        ("LABEL=NIXOS_SD".to_owned(), true),
        ("LABEL=FIRMWARE".to_owned(), true),
        ("/dev/mmcblk0p2".to_owned(), true),
        ("UUID=00000000-0000-0000-0000-000000000000".to_owned(), false),
        ("/dev/mmcblk0p3".to_owned(), false),
    ] {
        let (boots, found) = faults(FAT16, &format!("{device} / ext4\n"));
        let missing = found.iter().any(|fault| fault.contains("which no partition of the card is"));
        // The UUIDs of each card are its own.
        let is_own = device.contains(&fat) || device.contains(&ext4);
        assert!(is_own || (boots, missing) == (is_there, !is_there), "{device}: {found:?}");
    }
    let mut devices = boards::devices(&disk, &layout, &volumes, &Budget::without_stop());
    assert!(!devices.lack(&format!("UUID={fat}")) && !devices.lack(&format!("/dev/disk/by-uuid/{ext4}")));
    devices.add("LABEL=x");
    assert!(devices.lack("LABEL=y"));
}

#[test]
#[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
fn a_system_with_links_is_read_to_its_fstab() {
    let link = |target: &'static str| {
        card(FAT32, move |dir| {
            std::fs::create_dir_all(dir.join("store/etc/etc")).unwrap();
            std::fs::write(dir.join("store/fstab"), "LABEL=absent /nix ext4\n").unwrap();
            symlink("/nix/store/etc/etc", dir.join(SYSTEM).join("etc")).unwrap();
            symlink(target, dir.join("store/etc/etc/fstab")).unwrap();
        })
    };
    for target in ["/nix/store/fstab", "../../fstab", "./../../../store/fstab"] {
        let (disk, layout) = link(target);
        let proof = prove(&disk, &layout, &Budget::without_stop());
        let message = &proof.faults[0].message;
        assert_eq!(
            message, "the system mounts /nix from LABEL=absent, which no partition of the card is",
            "{target}"
        );
    }
    for target in ["/nix/store/absent", "/proc/mounts"] {
        let (disk, layout) = link(target);
        assert_eq!(prove(&disk, &layout, &Budget::without_stop()).outcome, Outcome::Boots, "{target}");
    }
    let (disk, layout) = link("/nix/store/etc/etc/fstab");
    let message = &prove(&disk, &layout, &Budget::without_stop()).faults[0].message;
    assert!(
        message.ends_with("reading the fstab of the system: the links in the path form a circle"),
        "{message}"
    );
}

#[test]
#[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
fn a_large_fstab_has_few_and_short_faults() {
    let (boots, found) = faults(FAT32, &"LABEL=x /nix e\n".repeat(60_000));
    assert!(!boots && found.len() == 8, "{found:?}");
    let long = format!("LABEL={} / ext4\n", "x".repeat(1_000_000));
    let (boots, found) = faults(FAT32, &long);
    assert!(!boots && found[0].len() < 310, "{}", found[0].len());
}

/// A card that is too slow, or that needs too many reads, is not one that does not boot.
#[test]
#[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
fn a_spent_budget_proves_nothing() {
    let (disk, layout) = card(FAT32, |_| ());
    assert_eq!(prove(&disk, &layout, &Budget::without_stop()).outcome, Outcome::Boots);
    for left in [1 << 10, 10 << 10, 40 << 10, 100 << 10] {
        let budget = Budget::without_stop();
        budget.spend((1 << 30) - left).unwrap();
        let proof = prove(&disk, &layout, &budget);
        let why = proof.unknown.clone().unwrap_or_default();
        assert_eq!(proof.outcome, Outcome::Unknown, "{left}: {proof:?}");
        assert!(why.contains("more than the limit of 1.0 GiB") && proof.faults.is_empty(), "{left}: {why}");
    }
}

/// A file system that ends in the middle, at any place.
#[test]
#[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
fn a_truncated_card_has_proofs() {
    let (disk, layout) = card(FAT32, |_| ());
    for size in [47 << 20, 36 << 20, 35 << 20, 20 << 20, (1 << 20) + 4096, 1 << 20, 4096] {
        disk.set_len(size).unwrap();
        let proof = prove(&disk, &layout, &Budget::without_stop());
        assert_eq!(proof.outcome == Outcome::Boots, size == 47 << 20, "{size}: {proof:?}");
        assert!(proof.faults.len() < 9, "{size}: {proof:?}");
    }
}
