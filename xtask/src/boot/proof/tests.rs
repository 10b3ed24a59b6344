//! The proof of good firmware partitions.

use std::collections::BTreeMap;

use clap::ValueEnum;

use super::*;
use crate::boot::firmware::tests::MemoryFirmware;
use crate::boot::kernel_header;
use crate::boot::uboot_program;

/// The `config.txt` of a card for all boards.
pub const CONFIG: &str = "[all]\narm_64bit=1\nkernel=u-boot.bin\n[pi4]\narmstub=armstub8-gic.bin\n";

/// A FIRMWARE for all boards, with U-Boot.
pub fn good() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::from([
        ("config.txt".to_owned(), CONFIG.into()),
        ("u-boot.bin".to_owned(), uboot_program(&Board::kernel_trees().into_iter().collect::<Vec<_>>())),
    ]);
    for name in ["bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat", "armstub8-gic.bin"] {
        files.insert(name.to_owned(), vec![7]);
    }
    let trees = Board::pis().flat_map(|board| board.facts().firmware_trees);
    files.extend(trees.map(|name| ((*name).to_owned(), vec![7])));
    files
}

/// A FIRMWARE in the layout of Raspberry Pi OS: the firmware starts the kernel itself.
pub fn direct() -> BTreeMap<String, Vec<u8>> {
    let mut files = good();
    files.remove("u-boot.bin");
    let config = "arm_64bit=1\nauto_initramfs=1\ndtoverlay=vc4-kms-v3d\n[cm5]\ndtoverlay=dwc2,dr_mode=host\n";
    for (name, content) in [
        ("config.txt", config.into()),
        ("kernel8.img", kernel_header(33 << 20)),
        ("kernel_2712.img", kernel_header(33 << 20)),
        ("initramfs8", vec![7]),
        ("initramfs_2712", vec![7]),
        ("cmdline.txt", b"console=tty1 root=PARTUUID=2178694e-02 rootwait".to_vec()),
        ("overlays/vc4-kms-v3d-pi4.dtbo", vec![7]),
        ("overlays/vc4-kms-v3d-pi5.dtbo", vec![7]),
        ("overlays/vc4-kms-v3d.dtbo", vec![7]),
        ("overlays/dwc2.dtbo", vec![7]),
    ] {
        files.insert(name.to_owned(), content);
    }
    files
}

pub fn system() -> SystemFacts {
    let menu = MenuFacts {
        kernel: "/boot/nixos/kernel".into(),
        initrd: "/boot/nixos/initrd".into(),
        header: Kernel::read(&kernel_header(33 << 20)[..]).unwrap(),
        device_tree: MenuTree::Folder {
            path: "/boot/nixos/dtbs".into(),
            files: Board::kernel_trees().into_iter().map(str::to_owned).collect(),
        },
    };
    let mut devices = Devices::default();
    devices.add("LABEL=NIXOS_SD");
    devices.add("PARTUUID=2178694e-02");
    SystemFacts { menu: Ok(menu), devices, faults: Vec::new() }
}

pub fn prove_files(board: Board, files: BTreeMap<String, Vec<u8>>, system: &SystemFacts) -> BoardProof {
    prove(board, &MemoryFirmware(files), Some(system)).unwrap()
}

#[test]
fn all_boards_boot_from_good_layouts() {
    for board in Board::value_variants() {
        for files in [good(), direct()] {
            // QEMU does not start a kernel that is on FIRMWARE.
            if *board == Board::Qemu && !files.contains_key("u-boot.bin") {
                continue;
            }
            let proof = prove_files(*board, files, &system());
            assert_eq!((proof.outcome, &proof.faults[..]), (Outcome::Boots, &[][..]), "{board}");
        }
    }
}

#[test]
fn a_proof_names_what_is_loaded() {
    let steps = |board, files| {
        let steps = prove_files(board, files, &system()).steps();
        steps.iter().map(|(label, text)| format!("{label} {text}")).collect::<Vec<_>>()
    };
    assert_eq!(
        steps(Board::Pi4, good()),
        [
            "board Raspberry Pi 4 Model B: boots",
            "loads start4.elf, fixup4.dat, u-boot.bin",
            "with bcm2711-rpi-4-b.dtb, armstub8-gic.bin",
            "u-boot /boot/nixos/kernel, /boot/nixos/initrd, bcm2711-rpi-4-b.dtb",
        ]
    );
    assert_eq!(
        steps(Board::Cm5, direct()),
        [
            "board Compute Module 5: boots",
            "loads kernel_2712.img",
            "with bcm2712-rpi-cm5-cm5io.dtb, initramfs_2712, overlays/vc4-kms-v3d.dtbo, overlays/dwc2.dtbo",
            "kernel mounts PARTUUID=2178694e-02",
        ]
    );
    let mut without_500 = good();
    without_500.insert("u-boot.bin".into(), uboot_program(&["bcm2712-rpi-5-b.dtb"]));
    assert!(steps(Board::Pi500, without_500)[3].ends_with(", the device tree of the firmware"));
}

/// A prefix is in force only with its own kernel and device tree.
#[test]
fn files_with_os_prefix_come_first() {
    let mut files = good();
    files.insert("config.txt".into(), format!("{CONFIG}[all]\nos_prefix=new/\ndtoverlay=a\n").into());
    files.insert("new/u-boot.bin".into(), files["u-boot.bin"].clone());
    files.insert("overlays/a.dtbo".into(), vec![7]);
    files.insert("new/bcm2711-rpi-4-b.dtb".into(), vec![7]);
    files.insert("new/armstub8-gic.bin".into(), vec![7]);
    let loaded = prove_files(Board::Pi4, files.clone(), &system()).firmware;
    assert_eq!(loaded.program.as_deref(), Some("new/u-boot.bin"));
    assert_eq!(loaded.overlays, ["overlays/a.dtbo"]);
    files.insert("new/overlays/README".into(), vec![7]);
    files.insert("new/overlays/a.dtbo".into(), vec![7]);
    let loaded = prove_files(Board::Pi4, files, &system()).firmware;
    assert_eq!(loaded.overlays, ["new/overlays/a.dtbo"]);
}

#[test]
fn a_program_of_another_kind_is_unknown() {
    let mut files = good();
    files.insert("u-boot.bin".into(), b"UEFI".to_vec());
    let proof = prove_files(Board::Pi4, files, &system());
    assert_eq!(proof.outcome, Outcome::Unknown);
    let expected = "pi4: unknown: the firmware starts u-boot.bin, which is neither U-Boot nor a Linux kernel";
    assert_eq!(summarize(&[proof]), [expected]);
}

#[test]
fn warnings_name_what_does_not_prevent_the_boot() {
    let prove_all = |files: &BTreeMap<String, Vec<u8>>| {
        let proofs =
            Board::value_variants().iter().map(|board| prove_files(*board, files.clone(), &system()));
        proofs.collect::<Vec<_>>()
    };
    let warnings = |files: &BTreeMap<String, Vec<u8>>| {
        let faults = warnings(&prove_all(files)).into_iter();
        faults.map(|fault| fault.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(warnings(&good()), [""; 0]);
    let mut files = good();
    files.remove("fixup4.dat");
    let expected = "pi4, pi400, cm4, cm4s: no fixup4.dat: the firmware does not use all memory of the board";
    assert_eq!(warnings(&files), [expected]);
    files.remove("u-boot.bin");
    let expected =
        "no board boots by the files of the card: no u-boot.bin, which config.txt names as the kernel";
    assert_eq!(warnings(&files), [expected]);
}

/// A flash of another system must not call it one that does not boot.
#[test]
fn what_is_unknown_is_not_called_a_fault() {
    let prove_all = |program: &[u8], config: &str| {
        let mut files = good();
        files.insert("other.bin".into(), program.to_vec());
        files.insert("config.txt".into(), config.into());
        let boards = Board::value_variants().iter();
        boards.map(|board| prove_files(*board, files.clone(), &system())).collect::<Vec<_>>()
    };
    let all = prove_all(b"UEFI", "arm_64bit=1\nkernel=other.bin\n");
    let ids = "pi3, pi3+, pi02, cm0, cm3, cm3+, pi4, pi400, cm4, cm4s, pi5, pi500, cm5";
    assert_eq!(summarize_shortly(&all), format!("whether {ids} boot from the card is unknown"));
    let expected =
        format!("{ids}: unknown: the firmware starts other.bin, which is neither U-Boot nor a Linux kernel");
    assert_eq!(warnings(&all).iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    let some = prove_all(b"UEFI", "arm_64bit=1\n[pi4]\nkernel=u-boot.bin\n[pi5]\nkernel=other.bin\n");
    assert_eq!(
        summarize_shortly(&some),
        "pi4, pi400, cm4, cm4s boot by the files of the card, and not pi3, pi3+, pi02, cm0, cm3, cm3+; unknown for pi5, pi500, cm5"
    );
}

#[test]
fn boards_with_the_same_answer_share_a_line() {
    let mut files = good();
    files.insert(
        "config.txt".into(),
        b"arm_64bit=1\n[pi3]\nkernel=u-boot.bin\n[pi02]\nkernel=u-boot.bin\n".to_vec(),
    );
    let proofs = Board::value_variants().iter().map(|board| prove_files(*board, files.clone(), &system()));
    assert_eq!(
        summarize(&proofs.collect::<Vec<_>>()),
        [
            "pi3, pi3+, pi02, cm0, cm3, cm3+: boots",
            "pi4, pi400, cm4, cm4s: does not boot: config.txt names no kernel for this board, and there is no kernel8.img or kernel7l.img",
            "pi5, pi500, cm5: does not boot: config.txt names no kernel for this board, and there is no kernel_2712.img or kernel8.img",
        ]
    );
}

/// Whether the firmware reads a line is open: the board boots for sure only where that does not matter.
#[test]
fn a_doubtful_line_makes_a_board_unknown_only_where_it_decides() {
    let answer = |board, config: &str| {
        let mut files = good();
        files.insert("config.txt".into(), config.into());
        files.insert("pi5.txt".into(), b"kernel=u-boot.bin\n".to_vec());
        files.insert("text.txt".into(), b"hdmi_group=1\n".to_vec());
        summarize(&[prove_files(board, files, &system())]).concat().split_once(": ").unwrap().1.to_owned()
    };
    let open = "unknown: documents leave open whether the firmware reads";
    for (board, config, expected) in [
        (
            Board::Pi5,
            "arm_64bit=1\ninclude pi5.txt\n",
            format!("{open} `include pi5.txt` in config.txt, and it boots only if it does"),
        ),
        (Board::Pi4, "arm_64bit=1\ninclude pi5.txt\n", "boots".to_owned()),
        (Board::Pi5, "kernel=u-boot.bin\ninclude text.txt\n", "boots".to_owned()),
        (
            Board::Pi4,
            "kernel = u-boot.bin\n",
            format!("{open} `kernel = u-boot.bin` in config.txt, and it boots only if it does"),
        ),
        (
            Board::Pi4,
            "kernel=u-boot.bin\narm_64bit = 0\n",
            format!("{open} `arm_64bit = 0` in config.txt, and it boots only if it does not"),
        ),
    ] {
        assert_eq!(answer(board, config), expected, "{board} {config:?}");
    }
}
