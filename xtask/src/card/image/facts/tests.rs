//! The facts of compressed images are those of the same images that are not compressed.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::super::{
    BoardCheck, CheckCache, Depth, Source, check_board, examine, examine_and_remember, examine_once,
    inspect_compressed,
};
use super::*;
use crate::base::Silent;
use crate::base::failure::{ExitKind, kind};
use crate::boot::{Board, Outcome, kernel_header, uboot_program};
use crate::card::inspect::ext4::tests::make_ext4;
use crate::card::inspect::{Verdict, inspect, make_fat32, mbr};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw me\n";
const SYSTEM: &str = "nix/store/h-nixos-system-pi-26.05";
const MENU: &str = "DEFAULT a\nLABEL a\n  LINUX ../kernel\n  INITRD ../initrd\n  APPEND init=/nix/store/h-nixos-system-pi-26.05/init\n";

/// A name for which a link to it does not fit into an inode.
const LONG: &str = "nix/store/0123456789abcdefghijklmnopqrstuv-authorized-keys-of-the-admin-of-all-hosts";

/// Writes `content` to `path` in `root`.
fn write(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// Fills `root` with a system and what makes it hard to find: many folders, files of programs, files in many pieces.
fn fill(root: &Path) {
    write(root, "boot/kernel", [kernel_header(33 << 20), vec![7; 100_000]].concat());
    write(root, "boot/initrd", vec![9; 50_000]);
    write(root, "boot/extlinux/extlinux.conf", MENU);
    write(root, &format!("{SYSTEM}/init"), "#!/bin/sh\n");
    write(root, "nix/store/h-etc/etc/ssh/sshd_config", "");
    write(
        root,
        "nix/store/h-etc/etc/fstab",
        "# <file system> <mount point>\n/dev/disk/by-label/NIXOS_SD / ext4 noatime 0 1\n",
    );
    symlink("/nix/store/h-etc/etc", root.join(SYSTEM).join("etc")).unwrap();
    write(root, LONG, KEY);
    std::fs::create_dir(root.join("nix/store/h-etc/etc/ssh/authorized_keys.d")).unwrap();
    symlink(format!("/{LONG}"), root.join("nix/store/h-etc/etc/ssh/authorized_keys.d/admin")).unwrap();
    write(root, "root/.ssh/authorized_keys", KEY.repeat(200));
    for number in 0..600 {
        write(
            root,
            &format!("nix/store/h-package-{number}/bin/program"),
            [number.to_string().into_bytes(), vec![3; 5000]].concat(),
        );
    }
}

/// An image with FIRMWARE for a Pi 4 and an ext4 with blocks of `block_size` bytes, which begins in the middle of a
/// block of 4 KiB. `change` changes the files of the ext4.
fn image(block_size: &str, change: impl Fn(&Path)) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    change(dir.path());
    let root = make_ext4(&["-L", "NIXOS_SD", "-b", block_size, "-d", dir.path().to_str().unwrap()], 24);
    let files = [
        ("config.txt", b"arm_64bit=1\nkernel=u-boot.bin\n".to_vec()),
        ("u-boot.bin", uboot_program(&[])),
        ("start4.elf", vec![7]),
        ("fixup4.dat", vec![7]),
        ("bcm2711-rpi-4-b.dtb", vec![7]),
    ];
    let firmware = make_fat32(&files);
    let sectors = |bytes: &[u8]| u32::try_from(bytes.len() / 512).unwrap();
    let start = 2048 + sectors(&firmware) + 3;
    let mut bytes =
        mbr(&[(0x0c, false, 2048, sectors(&firmware)), (0x83, true, start, sectors(&root))]).to_vec();
    bytes.resize(1 << 20, 0);
    bytes.extend(firmware);
    bytes.extend([0; 3 * 512]);
    bytes.extend(root);
    bytes
}

/// The image in `bytes`, in a file with this `ending`, after a check.
fn check(dir: &Path, bytes: &[u8], ending: &str) -> Image {
    let file = dir.join(format!("pi.{ending}"));
    let packed = if ending == "img" { bytes.to_vec() } else { zstd::encode_all(bytes, 1).unwrap() };
    std::fs::write(&file, packed).unwrap();
    examine(Source::open(&file).unwrap(), Depth::Whole, &Silent).unwrap()
}

#[test]
#[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
fn a_compressed_image_has_the_facts_of_the_decompressed_one() {
    let dir = tempfile::tempdir().unwrap();
    for block_size in ["1024", "4096"] {
        let bytes = image(block_size, |_| ());
        let [raw, compressed] = ["img", "img.zst"].map(|ending| check(dir.path(), &bytes, ending).facts());
        let ImageLogins::Found(LoginFiles { has_sshd, keys }) = &raw.logins else { panic!("{raw:?}") };
        let users = keys.iter().map(|(user, text)| (user.as_str(), text.len() / KEY.len()));
        assert_eq!((*has_sshd, users.collect::<BTreeSet<_>>()), (true, [("admin", 1), ("root", 200)].into()));
        let boots = |board| {
            raw.boards
                .as_ref()
                .unwrap()
                .iter()
                .any(|proof| proof.board == board && proof.outcome == Outcome::Boots)
        };
        assert!(boots(Board::Pi4) && !boots(Board::Pi3), "{:?}", raw.boards);
        assert_eq!(compressed, raw, "{block_size}");
    }
}

/// Also where the system does not boot, and where there is no system.
#[test]
#[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
fn a_compressed_image_is_inspected_as_the_decompressed_one() {
    let dir = tempfile::tempdir().unwrap();
    let without_init = |root: &Path| std::fs::remove_file(root.join(SYSTEM).join("init")).unwrap();
    let without_boot = |root: &Path| std::fs::remove_dir_all(root.join("boot")).unwrap();
    for (bytes, boots) in [
        (image("4096", |_| ()), true),
        (image("1024", without_init), false),
        (image("4096", without_boot), false),
    ] {
        let raw = check(dir.path(), &bytes, "img");
        let file = std::fs::File::open(&raw.source.path).unwrap();
        let expected = inspect(&file, raw.size, &Budget::without_stop()).unwrap();
        assert_eq!(!matches!(expected.verdict, Verdict::No { .. }), boots, "{:?}", expected.verdict);
        let compressed = check(dir.path(), &bytes, "img.zst").source;
        let (image, found) = inspect_compressed(compressed, &Silent).unwrap();
        assert_eq!((found, image.size), (Some(expected), raw.size));
    }
}

#[test]
#[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
fn a_cached_check_has_the_facts_too() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pi.img.zst");
    std::fs::write(&file, zstd::encode_all(&image("4096", |_| ())[..], 1).unwrap()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(150));
    let cache = CheckCache::new(&dir.path().join("state"));
    let open = || Source::open(&file).unwrap();
    let checked = examine_and_remember(open(), &cache, &Silent).unwrap();
    assert!(matches!(checked.facts().logins, ImageLogins::Found(_)));
    assert_eq!(cache.recall(&file).unwrap().facts.as_ref(), Some(&checked.facts()));
    assert_eq!(examine_once(open(), &cache, &Silent).unwrap().facts(), checked.facts());
    // The cache of an earlier version, which kept nothing.
    let path = dir.path().join("state/checked-images.json");
    let mut cached = serde_json::from_slice::<serde_json::Value>(&std::fs::read(&path).unwrap()).unwrap();
    cached[0].as_object_mut().unwrap().remove("facts").unwrap();
    std::fs::write(&path, cached.to_string()).unwrap();
    assert_eq!(examine_once(open(), &cache, &Silent).unwrap().facts(), checked.facts());
}

/// What a card would be refused for after the flash, the image is refused for before.
#[test]
#[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
fn an_image_is_refused_for_a_board_as_the_card_would_be() {
    let dir = tempfile::tempdir().unwrap();
    let without_menu = |root: &Path| std::fs::remove_file(root.join("boot/extlinux/extlinux.conf")).unwrap();
    let without_kernel = |root: &Path| std::fs::remove_file(root.join("boot/kernel")).unwrap();
    let cases = [
        (image("4096", |_| ()), None),
        (image("4096", without_menu), Some("extlinux.conf: file not found")),
        (image("4096", without_kernel), Some("finding /boot")),
    ];
    for (bytes, expected) in cases {
        for ending in ["img", "img.zst"] {
            let image = check(dir.path(), &bytes, ending);
            match (check_board(&image, Board::Pi4), expected) {
                (Ok(BoardCheck::Whole | BoardCheck::Firmware), None) => {}
                (Err(error), Some(expected)) => {
                    assert_eq!(kind(&error), ExitKind::Refused);
                    assert!(format!("{error:#}").contains(expected), "{ending}: {error:#}");
                }
                (found, _) => panic!("{ending}: {found:?}, not {expected:?}"),
            }
        }
    }
}

/// A kernel that the proof of the boards lacks.
#[test]
#[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
fn login_keys_are_known_where_boards_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = image("4096", |root| write(root, "boot/kernel", "no kernel"));
    let facts = check(dir.path(), &bytes, "img.zst").facts();
    assert!(matches!(facts.logins, ImageLogins::Found(_)), "{facts:?}");
    assert_eq!(facts.boards, None);
}

/// A file that does not look like one with keys is not taken for an empty one.
#[test]
#[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
fn what_is_not_kept_is_unknown_and_never_none() {
    let dir = tempfile::tempdir().unwrap();
    let hidden = |root: &Path| {
        write(root, "root/.ssh/authorized_keys", [&[1; 5000][..], KEY.as_bytes()].concat());
    };
    let bytes = image("4096", hidden);
    assert_eq!(check(dir.path(), &bytes, "img.zst").facts().logins, ImageLogins::NotKept);
    assert!(matches!(check(dir.path(), &bytes, "img").facts().logins, ImageLogins::Found(_)));
}

#[test]
fn kept_sectors_know_what_they_lack() {
    let mut kept = KeptSectors::default();
    kept.keep(512, &[1; 512]).unwrap();
    kept.keep(1024, &[0; 1024]).unwrap();
    kept.keep(4096, &[2; 512]).unwrap();
    let read = |at, count| {
        let mut bytes = vec![9; count];
        kept.fill(&mut bytes, at).map(|()| bytes).ok()
    };
    assert_eq!(read(1000, 48), Some([vec![1; 24], vec![0; 24]].concat()));
    assert_eq!(read(512, 1536).map(|bytes| bytes.len()), Some(1536));
    assert!(!kept.take_is_missed());
    for (at, count) in [(0, 1), (511, 2), (2047, 2), (2048, 1), (4608, 1), (u64::MAX, 1)] {
        assert_eq!((read(at, count), kept.take_is_missed()), (None, true), "{at}");
    }
}

#[test]
fn fuzz() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "boot/extlinux/extlinux.conf", MENU);
    write(dir.path(), "root/.ssh/authorized_keys", KEY);
    let root = make_ext4(&["-b", "1024", "-d", dir.path().to_str().unwrap()], 1);
    let mut seed = mbr(&[(0x83, true, 2048, 2048)]).to_vec();
    seed.resize(1 << 20, 0);
    seed.extend(root);
    crate::base::fuzz::check(&[&seed], |bytes| {
        let Ok(layout) = PartitionTable::parse(&bytes[..bytes.len().min(1 << 20)], bytes.len() as u64) else {
            return 0;
        };
        let mut parts = KeptParts::new(&layout);
        bytes.chunks(1 << 20).for_each(|chunk| parts.feed(chunk));
        parts.facts(&layout).boards.map_or(0, |boards| boards.len())
    });
}
