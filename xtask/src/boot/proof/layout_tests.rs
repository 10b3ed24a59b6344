//! The proof of the layouts of other systems, made from their public descriptions.

use std::collections::BTreeMap;
use std::io::Write;

use super::tests::{good, prove_files, system};
use super::*;
use crate::boot::board_fault::FaultKind;
use crate::boot::kernel_header;

type Files = BTreeMap<String, Vec<u8>>;

/// The system of a card whose boot menu U-Boot does not find.
fn without_menu() -> SystemFacts {
    let fault = BoardFault::fatal(FaultKind::BootMenu, "no partition is marked bootable");
    SystemFacts { menu: Err(fault), devices: Devices::new(false), faults: Vec::new() }
}

/// The firmware and the device trees of all boards, with these `files` and this `config.txt`.
fn firmware(config: &str, files: &[(&str, &[u8])]) -> Files {
    let mut all = good();
    all.remove("u-boot.bin");
    all.remove("armstub8-gic.bin");
    all.insert("config.txt".into(), config.into());
    all.extend(files.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())));
    all
}

/// A kernel that is compressed with gzip.
fn gzip_kernel() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&kernel_header(33 << 20)).unwrap();
    encoder.finish().unwrap()
}

/// Whether a board boots, or why that is unknown, or why it does not.
fn answer(board: Board, files: &Files) -> String {
    let proof = prove_files(board, files.clone(), &without_menu());
    summarize(&[proof]).concat().split_once(": ").unwrap().1.to_owned()
}

const CMDLINE: (&str, &[u8]) = ("cmdline.txt", b"root=LABEL=root rootwait");

#[track_caller]
fn check(files: &Files, boards: &[Board], expected: &str) {
    for board in boards {
        assert_eq!(answer(*board, files), expected, "{board}");
    }
}

fn unread(config: &str, files: &[(&str, &[u8])]) -> (Files, SystemFacts) {
    let mut system = without_menu();
    system.devices.add_unread_filesystem();
    (firmware(config, files), system)
}

const OF_3: [Board; 6] = [Board::Pi3, Board::Pi3Plus, Board::Pi02, Board::Cm0, Board::Cm3, Board::Cm3Plus];
const OF_4: [Board; 4] = [Board::Pi4, Board::Pi400, Board::Cm4, Board::Cm4s];
const OF_5: [Board; 3] = [Board::Pi5, Board::Pi500, Board::Cm5];

/// The kernel is compressed, and its root is a file system that is not read.
#[test]
fn ubuntu() {
    let kernel = gzip_kernel();
    let config = "[all]\nkernel=vmlinuz\ncmdline=cmdline.txt\ninitramfs initrd.img followkernel\n[pi4]\nmax_framebuffers=2\n\
                  [all]\narm_64bit=1\n[cm4]\ndtoverlay=dwc2,dr_mode=host\n[all]\nos_prefix=current/\n";
    let mut files = vec![
        ("current/vmlinuz", &kernel[..]),
        ("current/initrd.img", b"initrd"),
        ("current/cmdline.txt", CMDLINE.1),
        ("current/overlays/README", b"text"),
        ("current/overlays/dwc2.dtbo", b"overlay"),
    ];
    let trees = Board::pis().flat_map(|board| board.facts().firmware_trees);
    let trees = trees.map(|name| format!("current/{name}")).collect::<Vec<_>>();
    files.extend(trees.iter().map(|name| (name.as_str(), &b"tree"[..])));
    let (files, system) = unread(config, &files);
    for board in Board::pis() {
        let proof = prove_files(board, files.clone(), &system);
        assert_eq!((proof.outcome, &proof.faults[..]), (Outcome::Boots, &[][..]), "{board}");
        assert_eq!(proof.firmware.initramfs, ["current/initrd.img"], "{board}");
    }
}

/// A generation of NixOS whose kernel the firmware starts, with a prefix, and a generation each for the firmware.
#[test]
fn nixos_without_u_boot() {
    let kernel = kernel_header(33 << 20);
    let config =
        "[all]\narm_64bit=1\nkernel=kernel.img\ninitramfs initrd followkernel\nos_prefix=nixos/default/\n";
    let files = [
        ("nixos/default/kernel.img", &kernel[..]),
        ("nixos/default/initrd", b"initrd"),
        ("nixos/default/cmdline.txt", b"init=/nix/store/x/init"),
        ("nixos/default/bcm2712-rpi-5-b.dtb", b"tree"),
    ];
    check(&firmware(config, &files), &[Board::Pi5], "boots");
    // The prefix is in force only with the device tree of the board.
    let expected = "does not boot: no kernel.img, which config.txt names as the kernel";
    check(&firmware(config, &files), &[Board::Pi4], expected);
}

/// Raspberry Pi OS with 64 bits, and `DietPi`: compressed kernels with the default names.
#[test]
fn default_kernels() {
    let kernel = gzip_kernel();
    let both = firmware("arm_64bit=1\n", &[("kernel8.img", &kernel), ("kernel_2712.img", &kernel), CMDLINE]);
    for boards in [&OF_3[..], &OF_4, &OF_5] {
        for board in boards {
            let mut system = without_menu();
            system.devices.add("LABEL=root");
            assert_eq!(prove_files(*board, both.clone(), &system).outcome, Outcome::Boots, "{board}");
        }
    }
    check(&both, &OF_4, "does not boot: cmdline.txt has root=LABEL=root, which no partition of the card is");
}

/// Raspberry Pi OS with 32 bits.
#[test]
fn a_kernel_of_32_bits_is_unknown() {
    let mut kernel = vec![0; 64];
    kernel[0x24..0x28].copy_from_slice(&0x016f_2818_u32.to_le_bytes());
    let files =
        |config| firmware(config, &[("kernel7.img", &kernel[..]), ("kernel7l.img", &kernel), CMDLINE]);
    let of_3 = "unknown: the firmware starts kernel7.img, a Linux kernel of 32 bits";
    let of_4 = "unknown: the firmware starts kernel7l.img, a Linux kernel of 32 bits";
    check(&files("arm_64bit=0\n"), &OF_3, of_3);
    check(&files("arm_64bit=0\n"), &OF_4, of_4);
    check(&files(""), &OF_3, of_3);
    check(&files(""), &OF_4, of_4);
    let mine = firmware("arm_64bit=1\nkernel=mine.img\n", &[("mine.img", &kernel[..]), CMDLINE]);
    check(&mine, &OF_4, "does not boot: the firmware starts mine.img in the mode for 64 bits");
}

/// Fedora, openSUSE, FreeBSD and Talos: U-Boot starts a program of UEFI. Home Assistant and Armbian: a script.
#[test]
fn u_boot_without_a_boot_menu_is_unknown() {
    let uboot = good().remove("u-boot.bin").unwrap();
    let config = "arm_64bit=1\nkernel=u-boot.bin\n";
    for name in ["EFI/BOOT/bootaa64.efi", "boot.scr", "boot/boot.scr.uimg", "extlinux/extlinux.conf"] {
        let files = firmware(config, &[("u-boot.bin", &uboot), (name, b"program")]);
        for boards in [&OF_3[..], &OF_4, &OF_5] {
            for board in boards {
                let found = answer(*board, &files);
                assert!(found.starts_with("unknown: U-Boot finds "), "{board}: {name}: {found}");
            }
        }
    }
    // The script of a trial starts nothing without a boot menu.
    for script in [&b"load mmc 0:1 ${a} trial.env"[..], b""] {
        let files = firmware(config, &[("u-boot.bin", &uboot), ("boot.scr", script)]);
        check(&files, &OF_4, "does not boot: no partition is marked bootable");
    }
    let absent = firmware(config, &[("EFI/BOOT/bootaa64.efi", b"program")]);
    check(&absent, &OF_4, "does not boot: no u-boot.bin, which config.txt names as the kernel");
}

/// The firmware of the UEFI projects for the Pi 3 and 4 is an armstub, without a kernel.
#[test]
fn a_large_armstub_is_unknown() {
    let config = "arm_64bit=1\nenable_gic=1\narmstub=RPI_EFI.fd\ndevice_tree_address=0x1f0000\n";
    let mut files = firmware(config, &[("RPI_EFI.fd", &vec![1; 1 << 20])]);
    let expected = "unknown: the firmware starts the armstub RPI_EFI.fd, and no kernel";
    check(&files, &OF_3, expected);
    check(&files, &OF_4, expected);
    files.retain(|name, _| !name.starts_with("bcm2"));
    check(&files, &OF_4, expected);
    files.insert("RPI_EFI.fd".into(), vec![1; 8 << 10]);
    let found = answer(Board::Pi4, &files);
    assert!(found.starts_with("does not boot: "), "{found}");
}

/// Layouts with two slots: the firmware goes on from another partition, or from files in an image.
#[test]
fn another_start_of_the_firmware_is_unknown() {
    let autoboot = b"[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n";
    let files = firmware("", &[("autoboot.txt", autoboot)]);
    check(&files, &OF_5, "unknown: autoboot.txt lets the firmware start from partition 2");
    let kernel = gzip_kernel();
    let files =
        [("autoboot.txt", &b"[all]\nboot_partition=1\n"[..]), ("kernel8.img", &kernel), ("b.txt", b"quiet")];
    let config = "[boot_partition=2]\ncmdline=a.txt\n[boot_partition=1]\ncmdline=b.txt\n[all]\narm_64bit=1\n";
    check(&firmware(config, &files), &OF_4, "does not boot: b.txt has no root= for the kernel");
    let files = firmware("boot_ramdisk=1\n", &[("boot.img", b"image")]);
    check(&files, &OF_5, "unknown: the firmware starts from the files in boot.img");
}

#[test]
fn a_root_that_is_not_read_is_no_fault() {
    let kernel = gzip_kernel();
    let (files, system) = unread("arm_64bit=1\n", &[("kernel8.img", &kernel), CMDLINE]);
    assert_eq!(prove_files(Board::Pi4, files.clone(), &system).outcome, Outcome::Boots);
    let mut files = files;
    files.insert("cmdline.txt".into(), b"root=PARTUUID=7b1d5a7c-0001-4000-8000-000000000002".to_vec());
    let gpt = SystemFacts { devices: Devices::new(true), ..without_menu() };
    assert_eq!(prove_files(Board::Pi4, files.clone(), &gpt).outcome, Outcome::Boots);
    assert_eq!(prove_files(Board::Pi4, files, &without_menu()).outcome, Outcome::DoesNotBoot);
}

/// `gpu_mem` of the board's memory comes first.
#[test]
fn the_cut_down_firmware_is_chosen_by_memory() {
    for (lines, board, expected) in [
        ("gpu_mem=16\ngpu_mem_1024=128\n", Board::Pi4, true),
        ("gpu_mem=76\ngpu_mem_1024=16\n", Board::Pi4, false),
        ("gpu_mem_512=16\n", Board::Pi4, true),
        ("gpu_mem_512=16\n", Board::Pi02, false),
    ] {
        let uboot = good().remove("u-boot.bin").unwrap();
        let files = firmware(&format!("{lines}arm_64bit=1\nkernel=u-boot.bin\n"), &[("u-boot.bin", &uboot)]);
        let proof = prove_files(board, files, &system());
        assert_eq!(proof.outcome == Outcome::Boots, expected, "{lines}: {:?}", proof.faults);
    }
}
