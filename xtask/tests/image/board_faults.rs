//! `card inspect --board` on good images of three layouts, and on images with one fault each.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::board_layouts::{CONFIG, assembled, kernel, new_uboot, raspberry_pi_os, stock, uboot};
use crate::support::Sandbox;
use crate::support::image::stdout_of;

/// The models of Pi that the proof knows.
const BOARDS: &[&str] =
    &["pi3", "pi3+", "pi02", "cm0", "cm3", "cm3+", "pi4", "pi400", "cm4", "cm4s", "pi5", "pi500", "cm5"];

/// Asserts that of all models only `boards` boot from `image`, and that nothing is missing for these.
#[track_caller]
fn assert_boards(image: &Path, boards: &[&str]) {
    for board in BOARDS {
        let (boots, faults) = prove(image, board);
        assert_eq!(boots, boards.contains(board), "{board}: {faults:?}");
        assert!(!boots || faults.is_empty(), "{board}: {faults:?}");
    }
}

/// Whether `board` boots from `image`, and all faults.
#[track_caller]
fn prove(image: &Path, board: &str) -> (bool, Vec<String>) {
    let outcome =
        Sandbox::new().run(&["card", "inspect", "--json", "--board", board, image.to_str().unwrap()]);
    let found: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:?}"));
    let proofs = found["boards"].as_array().unwrap();
    let proof = proofs.iter().find(|proof| proof["board"] == board);
    // A card without a partition table has no proofs.
    let Some(proof) = proof else {
        return (false, vec![found["verdict"]["message"].as_str().unwrap().to_owned()]);
    };
    let boots = proof["boots"] == true;
    assert_eq!(outcome.code, if boots { 0 } else { 4 }, "{outcome:?}");
    let faults = proof["faults"].as_array().unwrap().iter().map(|fault| &fault["message"]);
    let all = faults.chain(proof.get("unknown").filter(|unknown| !unknown.is_null()));
    (boots, all.map(|text| text.as_str().unwrap().to_owned()).collect())
}

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn good_images_boot_their_boards() {
    let dir = tempfile::tempdir().unwrap();
    assert_boards(&assembled(dir.path()), BOARDS);
    assert_boards(&raspberry_pi_os(dir.path()), BOARDS);
    assert_boards(&stock(dir.path()), &BOARDS[..10]);
}

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn the_plan_of_a_flash_has_the_board_of_the_user() {
    let dir = tempfile::tempdir().unwrap();
    let image = assembled(dir.path());
    let card = dir.path().join("card.img");
    fs::File::create(&card).unwrap().set_len(256 << 20).unwrap();
    let flash = |board: &str| {
        let [image, card] = [&image, &card].map(|path| path.to_str().unwrap());
        let args = ["flash", "--image", image, card, "--board", board, "--allow-virtual", "--dry-run"];
        Sandbox::new().run(&args)
    };
    for (board, name, is_seen) in [("pi4", "Raspberry Pi 4 Model B", true), ("pi5", "Raspberry Pi 5", false)]
    {
        let outcome = flash(board);
        outcome
            .assert_code(0)
            .assert_stderr_contains(format!("board  {name}: boots by the files of the image"));
        assert_eq!(outcome.stderr.contains("not yet seen on hardware"), !is_seen, "{outcome:?}");
    }
    stdout_of("mdel", &["-i", &format!("{}@@8M", image.display()), "::start4.elf"]);
    flash("pi4").assert_code(3).assert_stderr_contains("a Raspberry Pi 4 Model B does not boot from it");
    flash("pi5").assert_code(0);
}

/// What a fault changes on a good image.
enum Change {
    /// Removes a file of FIRMWARE.
    Remove(&'static str),
    /// Replaces a file of FIRMWARE by a [`content`].
    Put(&'static str, &'static str),
    /// Adds lines to config.txt.
    Config(&'static str),
    /// Removes a file of `NIXOS_SD`.
    RemoveFromRoot(&'static str),
    /// Replaces a file of `NIXOS_SD` by a [`content`].
    PutInRoot(&'static str, &'static str),
    /// Runs a program with the image as the last argument.
    Run(&'static [&'static str]),
    /// Makes FIRMWARE anew as FAT with so many bits, and copies the files.
    Fat(&'static str),
}

use Change::{Config, Fat, Put, PutInRoot, Remove, RemoveFromRoot, Run};

/// The partition `NIXOS_SD` of `image`, for the programs of ext4.
fn root_of(image: &Path) -> String {
    format!("{}?offset={}", image.display(), 48 << 20)
}

impl Change {
    fn apply(&self, image: &Path) {
        let dir = image.parent().unwrap();
        let firmware = format!("{}@@8M", image.display());
        let file = |content: &[u8]| {
            let file = dir.join("content");
            fs::write(&file, content).unwrap();
            file.to_str().unwrap().to_owned()
        };
        let put = |name: &str, content: &[u8]| {
            let file = file(content);
            stdout_of("mcopy", &["-o", "-i", &firmware, &file, &format!("::{name}")]);
        };
        let debugfs = |command: &str| {
            stdout_of("debugfs", &["-w", "-R", command, &root_of(image)]);
        };
        match self {
            Self::Remove(name) => drop(stdout_of("mdel", &["-i", &firmware, &format!("::{name}")])),
            Self::Put(name, text) => put(name, &content(text)),
            Self::Config(lines) => put("config.txt", format!("{CONFIG}[all]\n{lines}\n").as_bytes()),
            Self::RemoveFromRoot(path) => debugfs(&format!("rm {path}")),
            Self::PutInRoot(path, text) => {
                let file = file(&content(text));
                debugfs(&format!("rm {path}"));
                debugfs(&format!("write {file} {path}"));
            }
            Self::Run(words) => {
                let image = image.display().to_string();
                let words = words.iter().map(|word| word.replace("IMAGE", &image)).collect::<Vec<_>>();
                stdout_of(&words[0], &words[1..]);
            }
            Self::Fat(bits) => remake_firmware(dir, image, bits),
        }
    }
}

/// Makes FIRMWARE of `image` anew as FAT with `bits`, with the same files.
fn remake_firmware(dir: &Path, image: &Path, bits: &str) {
    let firmware = format!("{}@@8M", image.display());
    let files = dir.join("files");
    fs::create_dir(&files).unwrap();
    stdout_of("mcopy", &["-s", "-n", "-i", &firmware, "::*", files.to_str().unwrap()]);
    let path = image.to_str().unwrap();
    let clusters = if bits == "12" { "64" } else { "4" };
    stdout_of(
        "mkfs.vfat",
        &["-F", bits, "-s", clusters, "-n", "FIRMWARE", "--offset", "16384", path, "40960"],
    );
    for entry in files.read_dir().unwrap() {
        stdout_of("mcopy", &["-s", "-i", &firmware, entry.unwrap().path().to_str().unwrap(), "::"]);
    }
}

/// The content that `text` describes, or the text itself.
fn content(text: &str) -> Vec<u8> {
    match text {
        "a program of 32 bits" => vec![0, 0, 0, 0xea],
        "a kernel of 40 MiB" => kernel(40 << 20),
        "a part of U-Boot" => new_uboot()[..200_000].to_vec(),
        "a U-Boot for the Pi 4" => uboot(&["bcm2711-rpi-4-b.dtb"]),
        text => text.as_bytes().to_vec(),
    }
}

/// A menu whose system is not there.
const WRONG_MENU: &str =
    "LABEL x\nLINUX ../nixos/kernel\nINITRD ../nixos/initrd\nAPPEND init=/nix/store/absent/init\n";

/// The faults: the board, the change, a part of the message that names the fault, and whether the board boots with it.
const FAULTS: &[(&str, Change, &str, bool)] = &[
    ("pi4", Remove("bcm2711-rpi-4-b.dtb"), "no bcm2711-rpi-4-b.dtb (the device tree", false),
    ("pi5", Remove("bcm2712-rpi-5-b.dtb"), "no bcm2712-rpi-5-b.dtb (the device tree", false),
    ("pi02", Remove("bcm2710-rpi-zero-2-w.dtb"), "no bcm2710-rpi-zero-2-w.dtb or", false),
    ("pi3", Config("kernel=u-boot-pi3.bin"), "no u-boot-pi3.bin, which config.txt names", false),
    ("pi4", Put("u-boot.bin", "a program of 32 bits"), "u-boot.bin is a program of 32 bits", false),
    ("pi4", PutInRoot("/boot/nixos/kernel", "a kernel of 40 MiB"), "the kernel would overwrite", false),
    ("pi4", Config("dtoverlay=disable-bt"), "no overlays/disable-bt.dtbo", true),
    ("pi3", Remove("start.elf"), "no start.elf (the firmware)", false),
    ("pi4", Remove("start4.elf"), "no start4.elf (the firmware)", false),
    ("pi3+", Remove("bootcode.bin"), "no bootcode.bin", false),
    ("pi3", Remove("fixup.dat"), "no fixup.dat", true),
    ("pi4", Run(&["sfdisk", "-q", "--activate", "IMAGE", "-"]), "no partition is marked bootable", false),
    ("pi4", Run(&["sfdisk", "-q", "--activate", "IMAGE", "1"]), "FIRMWARE, FAT32) is marked bootable", false),
    (
        "pi4",
        Run(&["tune2fs", "-L", "OTHER", "IMAGE?offset=50331648"]),
        "/nix from /dev/disk/by-label/NIXOS_SD",
        false,
    ),
    (
        "pi4",
        Run(&["mlabel", "-i", "IMAGE@@8M", "::OTHER"]),
        "/boot/firmware from /dev/disk/by-label/FIRMWARE",
        true,
    ),
    ("pi4", Fat("16"), "partition 1 has FAT16", true),
    ("pi4", Fat("12"), "no partition has FAT32 or FAT16", false),
    ("pi4", Put("u-boot.bin", "a part of U-Boot"), "u-boot.bin is truncated", false),
    ("pi4", Put("u-boot.bin", ""), "u-boot.bin is empty", false),
    ("pi5", Put("u-boot.bin", "a U-Boot for the Pi 4"), "does not know the Raspberry Pi 5", false),
    ("pi4", Config("arm_64bit=0"), "in the mode for 32 bits", false),
    ("pi3", Remove("config.txt"), "config.txt names no kernel for this board", false),
    ("pi5", Put("config.txt", "[pi4]\nkernel=u-boot.bin\n"), "names no kernel for this board", false),
    ("pi4", Remove("armstub8-gic.bin"), "no armstub8-gic.bin (the armstub", false),
    ("pi4", Config("os_prefix=next/"), "ignores os_prefix=next/", true),
    ("pi4", Config("initramfs initrd8 followkernel"), "no initrd8, which config.txt names", true),
    ("pi4", Config("device_tree=mine.dtb"), "no mine.dtb, which config.txt names", false),
    ("pi4", Config("include other.txt\n[board-type=0x11]\nstart_x=1"), "no start4x.elf", false),
    (
        "pi4",
        RemoveFromRoot("/boot/nixos/dtbs/broadcom/bcm2711-rpi-4-b.dtb"),
        "no bcm2711-rpi-4-b.dtb in /boot/extlinux/../nixos/dtbs: Linux gets the device tree of the firmware",
        false,
    ),
    ("pi4", RemoveFromRoot("/boot/nixos/initrd"), "/nixos/initrd: file not found", false),
    ("pi4", RemoveFromRoot("/boot/nixos/kernel"), "/nixos/kernel: file not found", false),
    ("pi4", RemoveFromRoot("/boot/extlinux/extlinux.conf"), "extlinux.conf: file not found", false),
    ("pi4", PutInRoot("/boot/extlinux/extlinux.conf", WRONG_MENU), "absent/init: file not found", false),
    ("pi4", PutInRoot("/boot/nixos/kernel", "zImage"), "not a kernel for AArch64", false),
    ("pi4", Run(&["sfdisk", "-q", "--delete", "IMAGE"]), "the partition table is empty", false),
];

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn each_fault_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let good = assembled(dir.path());
    assert!(FAULTS.len() >= 30, "{}", FAULTS.len());
    for (board, change, expected, expected_boots) in FAULTS {
        let work = tempfile::tempdir_in(dir.path()).unwrap();
        let image = work.path().join("card.img");
        stdout_of("cp", &["--sparse=always", good.to_str().unwrap(), image.to_str().unwrap()]);
        change.apply(&image);
        let (boots, found) = prove(&image, board);
        assert!(found.iter().any(|fault| fault.contains(expected)), "{expected}: {found:?}");
        assert_eq!(boots, *expected_boots, "{expected}: {found:?}");
    }
}
