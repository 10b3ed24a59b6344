//! The proof of firmware partitions and systems with one fault each.

use std::collections::BTreeMap;

use super::tests::{CONFIG, direct, good, prove_files, system};
use super::*;
use crate::boot::board_fault::FaultKind;
use crate::boot::kernel_header;
use crate::boot::uboot_program;

type Files = BTreeMap<String, Vec<u8>>;

/// Faults of FIRMWARE: the board, the change of a good FIRMWARE, and what the proof says. A change removes a file
/// (`-NAME`), adds a line to config.txt (`+LINE`), or replaces a file (`NAME=TEXT`).
const FAULTS: &[(Board, &str, &str)] = &[
    (Board::Pi3, "-bootcode.bin", "no bootcode.bin (the first program of the firmware)"),
    (Board::Pi3, "-start.elf", "no start.elf (the firmware)"),
    (Board::Pi4, "-start4.elf", "no start4.elf (the firmware)"),
    (Board::Pi4, "start4.elf=", "start4.elf is empty (the firmware)"),
    (Board::Pi02, "-fixup.dat", "no fixup.dat: the firmware does not use all memory of the board (boots)"),
    (
        Board::Pi4,
        "+start_x=1",
        "no start4x.elf (the firmware) + no fixup4x.dat: the firmware does not use all memory of the board",
    ),
    (
        Board::Pi3,
        "+gpu_mem=16",
        "no start_cd.elf (the firmware) + no fixup_cd.dat: the firmware does not use all memory of the board",
    ),
    (Board::Pi3, "+start_file=mine.elf", "no mine.elf (the firmware)"),
    (
        Board::Pi3Plus,
        "-bcm2710-rpi-3-b-plus.dtb",
        "no bcm2710-rpi-3-b-plus.dtb (the device tree that the firmware loads)",
    ),
    (Board::Pi5, "-bcm2712-rpi-5-b.dtb", "no bcm2712-rpi-5-b.dtb (the device tree that the firmware loads)"),
    (Board::Pi4, "+device_tree=mine.dtb", "no mine.dtb, which config.txt names as the device tree"),
    (
        Board::Pi4,
        "+device_tree=",
        "config.txt sets `device_tree=`, so that the firmware loads no device tree",
    ),
    (Board::Pi4, "+kernel=u-boot-pi4.bin", "no u-boot-pi4.bin, which config.txt names as the kernel"),
    (
        Board::Pi5,
        "config.txt=[pi4]\nkernel=u-boot.bin\n",
        "config.txt names no kernel for this board, and there is no kernel_2712.img or kernel8.img",
    ),
    (Board::Pi4, "u-boot.bin=", "u-boot.bin is empty (the program that the firmware starts)"),
    (Board::Pi3, "config.txt=kernel=u-boot.bin\n", "the firmware starts u-boot.bin in the mode for 32 bits"),
    (Board::Pi4, "+arm_64bit=0", "the firmware starts u-boot.bin in the mode for 32 bits"),
    (Board::Pi4, "-armstub8-gic.bin", "no armstub8-gic.bin (the armstub that config.txt names)"),
    (
        Board::Pi4,
        "+dtoverlay=absent,x=1",
        "no overlays/absent.dtbo, which config.txt names as an overlay (boots)",
    ),
    (
        Board::Pi4,
        "+os_prefix=old/",
        "the firmware ignores os_prefix=old/: no kernel or no device tree has such a name (boots)",
    ),
    (
        Board::Pi4,
        "+initramfs absent followkernel",
        "no absent, which config.txt names as the initramfs (boots)",
    ),
];

/// Faults of a FIRMWARE whose kernel needs no U-Boot.
const FAULTS_WITHOUT_UBOOT: &[(Board, &str, &str)] = &[
    // The initramfs may know the root.
    (Board::Pi3, "cmdline.txt=console=tty1\n", " (boots)"),
    (
        Board::Pi3,
        "cmdline.txt=root=PARTUUID=0badcafe-02\n",
        "cmdline.txt has root=PARTUUID=0badcafe-02, which no partition of the card is",
    ),
    (
        Board::Pi3,
        "config.txt=arm_64bit=1\ninitramfs mine followkernel\n",
        "no mine, which config.txt names as the initramfs",
    ),
    (
        Board::Pi3,
        "config.txt=arm_64bit=1\ncmdline=mine.txt\n",
        "no mine.txt (the command line of the kernel)",
    ),
    (
        Board::Pi3,
        "config.txt=kernel=kernel_2712.img\n",
        "the firmware starts kernel_2712.img in the mode for 32 bits",
    ),
    (Board::Pi3, "config.txt=arm_64bit=1\n", " (boots)"),
];

/// The kind of the first fault of each change, as JSON has it. The system mounts a root that is not on the card.
const KINDS: &[(Board, &str, &str)] = &[
    (Board::Pi4, "-start4.elf", "firmware"),
    (Board::Pi4, "-fixup4.dat", "firmware"),
    (Board::Pi4, "+os_prefix=old/", "config_txt"),
    (Board::Pi4, "-u-boot.bin", "program"),
    (Board::Pi4, "u-boot.bin=", "program"),
    (Board::Pi4, "+arm_64bit=0", "processor_mode"),
    (Board::Pi4, "-bcm2711-rpi-4-b.dtb", "device_tree"),
    (Board::Pi4, "+dtoverlay=absent", "overlay"),
    (Board::Pi4, "-armstub8-gic.bin", "armstub"),
    (Board::Pi4, "+initramfs absent followkernel", "initramfs"),
];

/// `files` with a change in the form of [`FAULTS`].
fn changed(mut files: Files, change: &str) -> Files {
    if let Some(name) = change.strip_prefix('-') {
        files.remove(name).unwrap();
    } else if let Some(line) = change.strip_prefix('+') {
        files.insert("config.txt".into(), format!("{CONFIG}[all]\n{line}\n").into());
    } else {
        let (name, text) = change.split_once('=').unwrap();
        files.insert(name.into(), text.into());
    }
    files
}

/// All faults of `board`.
fn faults_of(board: Board, files: Files) -> String {
    let proof = prove_files(board, files, &system());
    let faults = proof.faults.iter().map(|fault| fault.message.clone()).collect::<Vec<_>>().join(" + ");
    let suffix = if proof.outcome == Outcome::DoesNotBoot { "" } else { " (boots)" };
    format!("{faults}{suffix}")
}

#[test]
fn a_fault_of_the_firmware_is_named() {
    for (board, change, expected) in FAULTS {
        assert_eq!(faults_of(*board, changed(good(), change)), *expected, "{change}");
    }
}

#[test]
fn a_fault_has_a_kind_for_programs() {
    let kind = |proof: &BoardProof| serde_json::to_value(&proof.faults[0]).unwrap()["kind"].clone();
    for (board, change, expected) in KINDS {
        let proof = prove_files(*board, changed(good(), change), &system());
        assert_eq!(kind(&proof), *expected, "{change}: {:?}", proof.faults);
    }
    for (change, expected) in
        [("cmdline.txt=root=PARTUUID=0badcafe-02\n", "missing_device"), ("-cmdline.txt", "command_line")]
    {
        let proof = prove_files(Board::Pi3, changed(direct(), change), &system());
        assert_eq!(kind(&proof), expected, "{change}: {:?}", proof.faults);
    }
    let mut files = good();
    files.insert("u-boot.bin".into(), uboot_program(&["bcm2711-rpi-4-b.dtb"]));
    assert_eq!(kind(&prove_files(Board::Pi5, files, &system())), "unknown_board");
}

#[test]
fn a_fault_of_u_boot_is_named() {
    let old = uboot_program(&["bcm2711-rpi-4-b.dtb"]);
    for (board, program, expected) in [
        (Board::Pi4, &[0, 0, 0, 0xea][..], "u-boot.bin is a program of 32 bits"),
        (Board::Pi4, &old[..old.len() - 1], "u-boot.bin is truncated: it has 131071 of 131072 bytes"),
        (Board::Pi5, &old, "the U-Boot in u-boot.bin does not know the Raspberry Pi 5"),
    ] {
        let mut files = good();
        files.insert("u-boot.bin".into(), program.to_vec());
        assert_eq!(faults_of(board, files), expected);
    }
}

#[test]
fn a_fault_of_a_kernel_on_firmware_is_named() {
    for (board, change, expected) in FAULTS_WITHOUT_UBOOT {
        assert_eq!(faults_of(*board, changed(direct(), change)), *expected, "{change}");
    }
    let files = changed(changed(direct(), "-initramfs8"), "cmdline.txt=quiet");
    assert_eq!(faults_of(Board::Pi3, files), "cmdline.txt has no root= for the kernel");
}

/// U-Boot goes on with the device tree of the firmware.
#[test]
fn a_device_tree_that_the_generation_lacks_is_named() {
    for (board, missing) in [
        (Board::Pi5, "bcm2712-rpi-5-b.dtb"),
        (Board::Pi5, "bcm2712-d-rpi-5-b.dtb"),
        (Board::Pi3Plus, "bcm2837-rpi-3-a-plus.dtb"),
    ] {
        let mut system = system();
        let MenuTree::Folder { files, .. } = &mut system.menu.as_mut().unwrap().device_tree else { panic!() };
        files.remove(missing);
        let proof = prove_files(board, good(), &system);
        assert_eq!((proof.outcome, proof.faults.len()), (Outcome::Boots, 1), "{:?}", proof.faults);
        assert_eq!(
            proof.faults[0].to_string(),
            format!(
                "no {missing} in /boot/nixos/dtbs: Linux gets the device tree of the firmware, which is made for another \
                 kernel; let `hardware.deviceTree.filter` match such a file"
            )
        );
        // An older U-Boot does not look for it.
        let mut files = good();
        files.insert("u-boot.bin".into(), uboot_program(&["bcm2712-rpi-500.dtb"]));
        assert_eq!(prove_files(board, files, &system).faults, []);
    }
}

/// As for a host, whose deploy is refused: nobody knows whether the kernel boots with the device tree of another one.
#[test]
fn a_board_without_any_device_tree_of_the_generation_is_unknown() {
    let mut system = system();
    let MenuTree::Folder { files, .. } = &mut system.menu.as_mut().unwrap().device_tree else { panic!() };
    files.clear();
    for (board, names) in
        [(Board::Pi4, "bcm2711-rpi-4-b.dtb"), (Board::Pi5, "bcm2712-rpi-5-b.dtb or bcm2712-d-rpi-5-b.dtb")]
    {
        let proof = prove_files(board, good(), &system);
        assert_eq!((proof.outcome, &proof.faults[..]), (Outcome::Unknown, &[][..]));
        let why = format!("no {names} in /boot/nixos/dtbs: Linux gets the device tree of the firmware, ");
        assert!(proof.unknown.unwrap().starts_with(&why));
    }
    // Mainline Linux has none for it, so the firmware's is the only one.
    assert_eq!(prove_files(Board::Cm4, good(), &system).outcome, Outcome::Boots);
}

#[test]
fn a_fault_of_the_system_is_named() {
    let faults = |change: &dyn Fn(&mut SystemFacts)| {
        let mut system = system();
        change(&mut system);
        let proof = prove_files(Board::Pi4, good(), &system);
        assert_eq!(proof.outcome, Outcome::DoesNotBoot);
        proof.faults[0].to_string()
    };
    let large = |system: &mut SystemFacts| {
        let menu = system.menu.as_mut().unwrap();
        menu.header = Kernel::read(&kernel_header(40 << 20)[..]).unwrap();
    };
    assert!(
        faults(&large).contains("which the kernel would overwrite; use a smaller kernel"),
        "{}",
        faults(&large)
    );
    let unmarked = |system: &mut SystemFacts| {
        system.menu = Err(BoardFault::fatal(FaultKind::BootMenu, "no partition is marked bootable"));
    };
    assert_eq!(faults(&unmarked), "no partition is marked bootable");
}
