//! The boards: config.txt, the files of FIRMWARE and the device trees of the kernel for each, and what evaluation says
//! of settings that a board or the kernel does not follow.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// The files of nixpkgs' package of the Pi's firmware that concern a board.
const PACKAGE: &[&str] = &[
    "COPYING.linux",
    "LICENCE.broadcom",
    "bcm2708-rpi-zero-w.dtb",
    "bcm2709-rpi-2-b.dtb",
    "bcm2710-rpi-2-b.dtb",
    "bcm2710-rpi-3-b-plus.dtb",
    "bcm2710-rpi-3-b.dtb",
    "bcm2710-rpi-cm3.dtb",
    "bcm2710-rpi-zero-2-w.dtb",
    "bcm2710-rpi-zero-2.dtb",
    "bcm2711-rpi-4-b.dtb",
    "bcm2711-rpi-400.dtb",
    "bcm2711-rpi-cm4.dtb",
    "bcm2711-rpi-cm4s.dtb",
    "bcm2712-rpi-5-b.dtb",
    "bcm2712-rpi-500.dtb",
    "bcm2712-rpi-cm5-cm4io.dtb",
    "bcm2712-rpi-cm5-cm5io.dtb",
    "bcm2712-rpi-cm5l-cm4io.dtb",
    "bcm2712-rpi-cm5l-cm5io.dtb",
    "bcm2712d0-rpi-5-b.dtb",
    "bootcode.bin",
    "fixup.dat",
    "fixup4.dat",
    "kernel8.img",
    "kernel_2712.img",
    "overlays/README",
    "overlays/bcm2712d0.dtbo",
    "overlays/overlay_map.dtb",
    "start.elf",
    "start4.elf",
];

/// The files that each board reads from FIRMWARE: before config.txt, and its device tree.
const BOARDS: &[(&str, &[&str])] = &[
    ("pi3", &["bootcode.bin", "start.elf", "fixup.dat", "bcm2710-rpi-3-b.dtb", "bcm2710-rpi-3-b-plus.dtb"]),
    ("pi02", &["bootcode.bin", "start.elf", "fixup.dat", "bcm2710-rpi-zero-2-w.dtb"]),
    ("pi4", &["start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb", "armstub8-gic.bin"]),
    ("pi400", &["start4.elf", "fixup4.dat", "bcm2711-rpi-400.dtb"]),
    ("cm4", &["start4.elf", "fixup4.dat", "bcm2711-rpi-cm4.dtb"]),
    (
        "pi5",
        &[
            "bcm2712-rpi-5-b.dtb",
            "bcm2712d0-rpi-5-b.dtb",
            "overlays/bcm2712d0.dtbo",
            "overlays/overlay_map.dtb",
        ],
    ),
    ("pi500", &["bcm2712-rpi-500.dtb"]),
    ("cm5", &["bcm2712-rpi-cm5-cm5io.dtb", "bcm2712-rpi-cm5l-cm5io.dtb", "bcm2712-rpi-cm5-cm4io.dtb"]),
];

/// Runs the evaluated script `script` on `files`, which have their own paths for content. A path begins with the name
/// of the source. Returns a folder with the output of the script in `out`.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn run_script(script: &Value, files: &[String]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    let mut text = script["text"].as_str().unwrap().to_owned();
    for (source, path) in script["sources"].as_object().unwrap() {
        text = text.replace(path.as_str().unwrap(), dir.path().join(source).to_str().unwrap());
    }
    assert!(!text.contains("/nix/store"), "{text}");
    let out = dir.path().join("out");
    let status = Command::new("sh").args(["-euc", &text]).env("out", out).status().unwrap();
    assert!(status.success(), "{text}");
    dir
}

/// The files below `folder`, by their paths in it.
fn files_below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            found.extend(files_below(&entry.path()).iter().map(|file| format!("{name}/{file}")));
        } else {
            found.insert(name);
        }
    }
    found
}

/// The messages of the failed assertions of the host with the settings `name`.
fn failed(name: &str) -> Vec<&'static str> {
    let settings = &super::evaluate()["settings"][name];
    assert_eq!(settings["warnings"], super::evaluate()["system"]["warnings"], "{name}");
    settings["failed"].as_array().unwrap().iter().map(|message| message.as_str().unwrap()).collect()
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn one_config_txt_serves_all_boards() {
    let settings = &super::evaluate()["settings"];
    for host in ["current", "old", "profile"] {
        assert_eq!(settings[host]["configTxt"], include_str!("config.txt"), "{host}");
    }
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn firmware_has_what_each_board_reads() {
    let package = PACKAGE.iter().map(|file| format!("firmware/share/raspberrypi/boot/{file}"));
    let others =
        ["stubs/armstub8-gic.bin", "uboot/u-boot.bin", "trial/boot.scr", "trial/no-trial.env", "config"];
    let files = package.chain(others.map(str::to_owned)).collect::<Vec<_>>();
    let dir = run_script(&super::evaluate()["firmwareScript"], &files);
    let made = files_below(&dir.path().join("out"));
    for (board, needed) in BOARDS {
        for file in needed.iter().chain(&["config.txt", "u-boot.bin", "boot.scr", "trial.env"]) {
            assert!(made.contains(*file), "{board} needs {file}: {made:?}");
        }
    }
    // What config.txt names, and no kernel that the firmware of a Pi would start without config.txt.
    for line in include_str!("config.txt").lines() {
        if let Some(("kernel" | "armstub", file)) = line.split_once('=') {
            assert!(made.contains(file), "{line}: {made:?}");
        }
    }
    assert!(!made.iter().any(|file| file.starts_with("kernel") || file.starts_with("bcm2708")), "{made:?}");
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn a_pi_500_gets_the_device_tree_of_a_later_pi_5() {
    let script = &super::evaluate()["deviceTreeScript"];
    let later = "bcm2712-d-rpi-5-b.dtb";
    for (kernel, of_500) in [
        (&["bcm2712-rpi-5-b.dtb", later][..], Some(later)),
        (&[later, "bcm2712-rpi-500.dtb"], Some("bcm2712-rpi-500.dtb")),
        (&["bcm2711-rpi-4-b.dtb"], None),
    ] {
        let file = |name: &str| format!("kernel/dtbs/broadcom/{name}");
        let files = kernel.iter().copied().chain(["stingray.dtb"]).map(file).collect::<Vec<_>>();
        let dir = run_script(script, &files);
        let made = files_below(&dir.path().join("out"));
        let mut expected = kernel.iter().map(|name| format!("broadcom/{name}")).collect::<BTreeSet<_>>();
        expected.extend(of_500.map(|_| "broadcom/bcm2712-rpi-500.dtb".to_owned()));
        assert_eq!(made, expected);
        if let Some(of_500) = of_500 {
            let content = fs::read_to_string(dir.path().join("out/broadcom/bcm2712-rpi-500.dtb")).unwrap();
            assert_eq!(content, file(of_500));
        }
    }
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn a_board_that_the_kernel_or_u_boot_does_not_boot_is_refused() {
    assert_eq!(failed("current"), [""; 0]);
    let faults = failed("old");
    let [kernel, uboot, cm5] = faults[..] else { panic!("{faults:?}") };
    let words = "raspberryPi.boards has pi5: Linux has its Ethernet and USB since 6.18, and boot.kernelPackages has 6.12.";
    assert!(kernel.starts_with(words), "{kernel}");
    assert_eq!(
        uboot,
        "raspberryPi.boards has pi5: U-Boot knows its revisions since 2026.04, and raspberryPi.firmware.uboot is 2026.01."
    );
    assert_eq!(
        cm5,
        "raspberryPi.boards has cm5: mainline Linux has no device tree for it; docs/pi-5.md shows a host with the kernel \
         of the Raspberry Pi foundation."
    );
    // A kernel without these modules gets an initrd all the same.
    let modules = json!(["clk-rp1", "pinctrl-rp1", "rp1_pci"]);
    assert_eq!(super::evaluate()["settings"]["old"]["missingModules"], modules);
    assert_eq!(failed("cm5"), [""; 0]);
}

#[test]
fn the_documents_show_the_compute_module_5_that_is_evaluated() {
    let (_, module) = include_str!("hosts/cm5.nix").split_once('\n').unwrap();
    assert!(
        include_str!("../../../docs/pi-5.md").contains(&format!("```nix module\n{module}```\n")),
        "{module}"
    );
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn overlays_that_would_not_reach_the_kernel_are_refused() {
    let [message] = failed("overlays")[..] else { panic!("{:?}", failed("overlays")) };
    let named = message.lines().filter(|line| line.starts_with("  ")).map(str::trim).collect::<Vec<_>>();
    assert_eq!(
        named,
        [
            "[all] camera_auto_detect=1",
            "[all] dtparam=i2c_arm=on",
            "[all] dtparam=spi=on",
            "[pi4][board-type=0x14] dtparam=ant2",
            "[pi4] dtoverlay=gpio-fan,temp=80000",
            "[all] dtoverlay=disable-bt",
            "[pi5] dtoverlay=uart2-pi5",
            "[pi5] dtoverlay=dwc2",
        ]
    );
    for remedy in
        ["hardware.deviceTree.overlays", "useGenerationDeviceTree = false", "overlaysForUBoot = true"]
    {
        assert!(message.contains(remedy), "{message}");
    }
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn overlays_apply_where_the_device_tree_of_the_firmware_does() {
    let settings = &super::evaluate()["settings"];
    for host in ["cm5", "overlaysForUboot"] {
        assert_eq!(failed(host), [""; 0], "{host}");
        let text = settings[host]["configTxt"].as_str().unwrap();
        for lines in [
            "dtparam=i2c_arm=on\ndtparam=spi=on\n",
            "[pi5]\ndtoverlay=uart2-pi5\n",
            "\ndtoverlay=disable-bt\n",
        ] {
            assert!(text.contains(lines), "{host} lacks {lines}: {text}");
        }
    }
    let cm5 = settings["cm5"]["configTxt"].as_str().unwrap();
    assert!(cm5.contains("\n[all]\n[cm5]\ndtoverlay=dwc2\ndtparam=dr_mode=host\ndtoverlay=\n"), "{cm5}");
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn nothing_but_update_firmware_writes_firmware() {
    let [message] = failed("profile")[..] else { panic!("{:?}", failed("profile")) };
    assert!(
        message.starts_with("hardware.raspberry-pi.firmware.enable writes FIRMWARE at each switch"),
        "{message}"
    );
}
