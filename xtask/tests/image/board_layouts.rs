//! Images for the proof of boards: by the assembler, in the layout of nixpkgs' module, and in that of Raspberry Pi OS.

use std::fs;
use std::path::{Path, PathBuf};

use crate::content::Content;
use crate::support::image::stdout_of;

/// The device trees of the foundation's kernel on FIRMWARE.
const FIRMWARE_TREES: &[&str] = &[
    "bcm2710-rpi-3-b.dtb",
    "bcm2710-rpi-3-b-plus.dtb",
    "bcm2710-rpi-zero-2-w.dtb",
    "bcm2710-rpi-cm0.dtb",
    "bcm2710-rpi-cm3.dtb",
    "bcm2711-rpi-4-b.dtb",
    "bcm2711-rpi-400.dtb",
    "bcm2711-rpi-cm4.dtb",
    "bcm2711-rpi-cm4s.dtb",
];

/// Those of a Pi 5, which the layout of nixpkgs does not have.
const TREES_OF_5: &[&str] = &["bcm2712-rpi-5-b.dtb", "bcm2712-rpi-500.dtb", "bcm2712-rpi-cm5-cm5io.dtb"];

/// The device trees of the mainline kernel.
const MAINLINE_TREES: &[&str] = &[
    "bcm2711-rpi-400.dtb",
    "bcm2711-rpi-4-b.dtb",
    "bcm2712-rpi-5-b.dtb",
    "bcm2837-rpi-3-b-plus.dtb",
    "bcm2837-rpi-3-b.dtb",
    "bcm2837-rpi-zero-2-w.dtb",
];

/// `config.txt` of a host of this project, which the suite evaluation compares with the evaluated one.
pub const CONFIG: &str = include_str!("../evaluation/config.txt");

/// That of nixpkgs' module, in our words.
const STOCK_CONFIG: &str = "[pi3]\nkernel=u-boot-rpi3.bin\ncore_freq=250\n[pi02]\nkernel=u-boot-rpi3.bin\n\
                            [pi4]\nkernel=u-boot-rpi4.bin\nenable_gic=1\narmstub=armstub8-gic.bin\n[cm4]\notg_mode=1\n\
                            [all]\narm_64bit=1\nenable_uart=1\n";

/// That of Raspberry Pi OS, in our words.
const PI_OS_CONFIG: &str = "dtparam=audio=on\nauto_initramfs=1\ndtoverlay=vc4-kms-v3d\narm_64bit=1\n\
                            [cm4]\notg_mode=1\n[cm5]\ndtoverlay=dwc2,dr_mode=host\n[all]\n";

const SYSTEM: &str = "cccccccccccccccccccccccccccccccc-nixos-system-pi";
const ETC: &str = "dddddddddddddddddddddddddddddddd-etc";

/// The header of a kernel that takes `size` bytes of memory.
pub fn kernel(size: u64) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[16..24].copy_from_slice(&size.to_le_bytes());
    bytes[24] = 0xa;
    bytes[56..60].copy_from_slice(b"ARMd");
    bytes
}

/// A program in the form of U-Boot: its header with its size, its settings, and the device trees that it knows.
pub fn uboot(trees: &[&str]) -> Vec<u8> {
    let size: u64 = 256 << 10;
    let header = [0xd503_201f_1400_000a, 0, size, size, size + 4096];
    let mut bytes = header.iter().flat_map(|word: &u64| word.to_le_bytes()).collect::<Vec<_>>();
    bytes.resize(99_999, 7);
    bytes.extend(b"\0fdt_addr_r=0x02600000\0kernel_addr_r=0x00080000\0");
    for tree in trees {
        bytes.extend(format!("broadcom/{tree}\0").into_bytes());
    }
    bytes.resize(256 << 10, 7);
    bytes
}

/// The `U-Boot` of all boards.
pub fn new_uboot() -> Vec<u8> {
    uboot(MAINLINE_TREES)
}

fn write(folder: &Path, files: &[(&str, &[u8])]) {
    for (name, content) in files {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
}

/// The firmware of the Pi 3 and 4, and the device trees `trees`.
fn write_firmware(folder: &Path, trees: &[&str]) {
    for name in ["bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat", "armstub8-gic.bin"] {
        write(folder, &[(name, b"firmware")]);
    }
    for name in trees {
        write(folder, &[(name, b"tree")]);
    }
}

/// The boot menu with its files below `boot`.
fn write_menu(boot: &Path) {
    let menu = format!(
        "DEFAULT nixos-default\nLABEL nixos-default\n  LINUX ../nixos/kernel\n  INITRD ../nixos/initrd\n  \
         APPEND init=/nix/store/{SYSTEM}/init root=fstab\n  FDTDIR ../nixos/dtbs\n"
    );
    let files = [
        ("extlinux/extlinux.conf", menu.as_bytes()),
        ("nixos/kernel", &kernel(33 << 20)),
        ("nixos/initrd", b"initrd"),
    ];
    write(boot, &files);
    for name in MAINLINE_TREES {
        write(boot, &[(&format!("nixos/dtbs/broadcom/{name}"), b"tree")]);
    }
}

/// The system in the folder `store`, which mounts `NIXOS_SD` at `root`.
fn write_system(store: &Path, root: &str) {
    let fstab = format!(
        "/dev/disk/by-label/NIXOS_SD {root} ext4 x-initrd.mount 0 2\n\
         /dev/disk/by-label/FIRMWARE /boot/firmware vfat noauto,nofail 0 2\n"
    );
    write(store, &[(&format!("{SYSTEM}/init"), b"#!"), (&format!("{ETC}/etc/fstab"), fstab.as_bytes())]);
    std::os::unix::fs::symlink(format!("/nix/store/{ETC}/etc"), store.join(SYSTEM).join("etc")).unwrap();
}

/// An image by the assembler. Returns its decompressed file in `dir`.
pub fn assembled(dir: &Path) -> PathBuf {
    let content = Content::new();
    let firmware = content.path("firmware");
    write_firmware(&firmware, &[FIRMWARE_TREES, TREES_OF_5].concat());
    write(&firmware, &[("config.txt", CONFIG.as_bytes()), ("u-boot.bin", &new_uboot())]);
    fs::remove_dir_all(content.path("root/boot")).unwrap();
    write_menu(&content.path("root/boot"));
    let store = content.path("store");
    write_system(&store, "/nix");
    let paths = [SYSTEM, ETC].map(|name| store.join(name).display().to_string()).join("\n");
    fs::write(content.path("paths"), paths).unwrap();
    let compressed = content.assemble(&[]).unwrap();
    let disk = dir.join("assembled.img");
    stdout_of("zstd", &["-q", "-d", "-f", "-o", disk.to_str().unwrap(), compressed.to_str().unwrap()]);
    disk
}

/// An image in the layout of nixpkgs' module for SD images.
pub fn stock(dir: &Path) -> PathBuf {
    let [firmware, root] = ["stock-firmware", "stock-root"].map(|name| dir.join(name));
    write_firmware(&firmware, FIRMWARE_TREES);
    let old = uboot(&MAINLINE_TREES[..2]);
    let files = [
        ("config.txt", STOCK_CONFIG.as_bytes()),
        ("u-boot-rpi3.bin", &new_uboot()),
        ("u-boot-rpi4.bin", &old),
    ];
    write(&firmware, &files);
    write_menu(&root.join("boot"));
    write_system(&root.join("nix/store"), "/");
    make_disk(&dir.join("stock.img"), &firmware, &root, "type=83, bootable", "NIXOS_SD")
}

/// An image in the layout of Raspberry Pi OS: the firmware starts the kernel, and no partition is marked.
pub fn raspberry_pi_os(dir: &Path) -> PathBuf {
    let [firmware, root] = ["os-firmware", "os-root"].map(|name| dir.join(name));
    write_firmware(&firmware, &[FIRMWARE_TREES, TREES_OF_5].concat());
    let command_line =
        b"console=serial0,115200 console=tty1 root=PARTUUID=2178694e-02 rootfstype=ext4 rootwait\n";
    for (name, content) in [
        ("config.txt", PI_OS_CONFIG.as_bytes()),
        ("cmdline.txt", command_line),
        ("kernel8.img", &kernel(33 << 20)),
        ("kernel_2712.img", &kernel(33 << 20)),
        ("initramfs8", b"initramfs"),
        ("initramfs_2712", b"initramfs"),
        ("overlays/vc4-kms-v3d.dtbo", b"overlay"),
        ("overlays/dwc2.dtbo", b"overlay"),
    ] {
        write(&firmware, &[(name, content)]);
    }
    write(&root, &[("sbin/init", b"init")]);
    make_disk(&dir.join("os.img"), &firmware, &root, "type=83", "rootfs")
}

/// Makes an image of `firmware` and `root`, whose partition has these `facts` and this `label`.
fn make_disk(image: &Path, firmware: &Path, root: &Path, facts: &str, label: &str) -> PathBuf {
    fs::File::create(image).unwrap().set_len(90 << 20).unwrap();
    let path = image.to_str().unwrap();
    let table = image.with_extension("table");
    let lines = format!("label: dos\nlabel-id: 0x2178694e\nstart=8M, size=40M, type=c\nstart=48M, {facts}\n");
    fs::write(&table, lines).unwrap();
    let sfdisk = "exec sfdisk --quiet --no-reread --no-tell-kernel \"$1\" <\"$2\"";
    stdout_of("sh", &["-c", sfdisk, "sh", path, table.to_str().unwrap()]);
    stdout_of(
        "mkfs.vfat",
        &["--invariant", "-F", "32", "-n", "FIRMWARE", "--offset", "16384", path, "40960"],
    );
    for entry in firmware.read_dir().unwrap() {
        let entry = entry.unwrap().path();
        stdout_of("mcopy", &["-s", "-i", &format!("{path}@@8M"), entry.to_str().unwrap(), "::"]);
    }
    let options = format!("offset={}", 48 << 20);
    let root = root.to_str().unwrap();
    stdout_of("mke2fs", &["-q", "-t", "ext4", "-L", label, "-E", &options, "-d", root, path, "42M"]);
    image.to_owned()
}
