//! `card inspect` reads U-Boot and kernel from images of real tools: mkfs.vfat, mcopy and mke2fs.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::content::{Content, HELLO};
use crate::support::Sandbox;
use crate::support::image::stdout_of;

const MIB: u64 = 1 << 20;

/// The bytes of a kernel whose header claims `size` bytes of memory.
fn kernel(size: u64) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[16..24].copy_from_slice(&size.to_le_bytes());
    bytes[24] = 0xa;
    bytes[56..60].copy_from_slice(b"ARMd");
    bytes
}

/// The bytes of a U-Boot of several clusters, with its settings at the end.
fn uboot() -> Vec<u8> {
    [&vec![7; 99_999][..], b"\0fdt_addr_r=0x02600000\0kernel_addr_r=0x00080000\0"].concat()
}

/// The content of an image that can boot, unless `kernel` is bad: two boards, and one U-Boot.
fn bootable_content(kernel: &[u8]) -> Content {
    let content = Content::new();
    let menu =
        format!("LABEL x\nLINUX ../kernel\nINITRD ../initrd\nAPPEND init=/nix/store/{HELLO}/bin/hello\n");
    for (file, bytes) in [
        ("root/boot/extlinux/extlinux.conf", menu.as_bytes()),
        ("root/boot/kernel", kernel),
        ("root/boot/initrd", b"initrd"),
        ("firmware/config.txt", b"[pi3]\nkernel=u-boot-pi3.bin\n[pi02]\nkernel=u-boot-pi3.bin\n"),
        ("firmware/u-boot-pi3.bin", &uboot()),
    ] {
        fs::write(content.path(file), bytes).unwrap();
    }
    content
}

/// Assembles `content`, and inspects the image as [`inspect`] does.
fn inspect_image(content: &Content) -> Result<Value, String> {
    inspect(&assemble_decompressed(content))
}

/// Assembles `content`, and returns the path of the decompressed image.
fn assemble_decompressed(content: &Content) -> PathBuf {
    let compressed = content.assemble(&[]).unwrap();
    let disk = content.path("disk.img");
    stdout_of("zstd", &["-q", "-d", "-f", "-o", disk.to_str().unwrap(), compressed.to_str().unwrap()]);
    disk
}

/// Runs `card inspect` on `disk`. Returns the boot files, or the reason why the image does not boot.
fn inspect(disk: &Path) -> Result<Value, String> {
    let outcome = Sandbox::new().run(&["card", "inspect", "--json", disk.to_str().unwrap()]);
    let found: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:?}"));
    match found["verdict"]["message"].as_str() {
        Some(reason) => Err(reason.to_owned()),
        None => Ok(found["verdict"]["contents"].clone()),
    }
}

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn a_kernel_with_room_below_the_device_tree_boots() {
    let content = bootable_content(&kernel(36 * MIB));
    let found = inspect_image(&content).unwrap();
    let expected =
        serde_json::json!([{"file": "u-boot-pi3.bin", "kernel_end": 38 * MIB, "device_tree": 38 * MIB}]);
    assert_eq!(found["uboots"], expected);
}

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn a_kernel_that_would_overwrite_the_device_tree_does_not_boot() {
    let large = kernel(36 * MIB + 1);
    let mut compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut compressed, &large).unwrap();
    for stored in [large, compressed.finish().unwrap()] {
        assert_eq!(
            inspect_image(&bootable_content(&stored)).unwrap_err(),
            "the kernel takes the memory up to 0x2600001, and u-boot-pi3.bin loads the device tree at 0x2600000, \
             which the kernel would overwrite"
        );
    }
}

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn a_bad_kernel_and_a_missing_u_boot_are_named() {
    let content = bootable_content(b"no kernel");
    let error = inspect_image(&content).unwrap_err();
    assert_eq!(
        error,
        "reading the file system on partition 2: reading /boot/kernel: not a kernel for AArch64"
    );
    let content = bootable_content(&kernel(33 * MIB));
    fs::remove_file(content.path("firmware/u-boot-pi3.bin")).unwrap();
    let error = inspect_image(&content).unwrap_err();
    assert_eq!(
        error,
        "reading FIRMWARE on partition 1: config.txt names u-boot-pi3.bin, which does not exist"
    );
}

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn a_boot_menu_with_a_damaged_size_does_not_boot() {
    let content = bootable_content(&kernel(36 * MIB));
    let disk = assemble_decompressed(&content);
    let root = format!("{}?offset={}", disk.display(), 48 * MIB);
    stdout_of("debugfs", &["-w", "-R", "sif /boot/extlinux/extlinux.conf size 0xf0000000000", &root]);
    let reason = inspect(&disk).unwrap_err();
    let expected = "reading the file system on partition 2: reading /boot/extlinux/extlinux.conf: \
                    the menu has 16492674416640 bytes, more than the limit of 1048576 bytes";
    assert_eq!(reason, expected);
}
