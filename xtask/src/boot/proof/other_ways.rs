//! Ways to boot that the proof does not follow. A board that takes one of these may boot: that is unknown.

use anyhow::Result;

use crate::boot::board::Board;
use crate::boot::config_txt::{AUTOBOOT, ConfigTxt, Reading};
use crate::boot::firmware::CardFirmware;
use crate::boot::trial;

/// The files on FIRMWARE from which U-Boot starts where it finds no boot menu on ext4: scripts, a boot menu, UEFI
/// (U-Boot, `boot/bootmeth_*.c`).
const OF_UBOOT: &[&str] = &[
    "extlinux/extlinux.conf",
    "boot/extlinux/extlinux.conf",
    "boot.scr.uimg",
    "boot.scr",
    "boot/boot.scr.uimg",
    "boot/boot.scr",
    "EFI/BOOT/BOOTAA64.EFI",
];

/// The size from which an armstub is a program of its own, such as UEFI, in bytes.
const LARGE_STUB: u64 = 128 << 10;

/// The size of the largest script of this project, in bytes.
const MAX_SCRIPT: u64 = 64 << 10;

/// What the firmware of `board` starts instead of what `config` names; `None` where it starts that.
///
/// # Errors
/// Files that cannot be read.
pub fn of_firmware(firmware: &impl CardFirmware, board: Board, config: &ConfigTxt) -> Result<Option<String>> {
    let autoboot = ConfigTxt::read(firmware, board, AUTOBOOT, Reading::Lenient)?;
    let other = autoboot.and_then(|autoboot| autoboot.number("boot_partition"));
    if let Some(number) = other.filter(|number| *number > 1 && *number != u64::from(firmware.partition())) {
        return Ok(Some(format!("{AUTOBOOT} lets the firmware start from partition {number}")));
    }
    let has_ramdisk = config.is_on("boot_ramdisk") && firmware.size("boot.img")?.is_some();
    Ok(has_ramdisk.then(|| "the firmware starts from the files in boot.img".to_owned()))
}

/// The armstub that starts instead of a kernel.
///
/// # Errors
/// Files that cannot be read.
pub fn of_armstub(firmware: &impl CardFirmware, armstub: Option<&str>) -> Result<Option<String>> {
    let Some(armstub) = armstub else { return Ok(None) };
    let is_large = firmware.size(armstub)?.is_some_and(|size| size >= LARGE_STUB);
    Ok(is_large.then(|| format!("the firmware starts the armstub {armstub}, and no kernel")))
}

/// What U-Boot starts where it finds no boot menu on ext4.
///
/// # Errors
/// Files that cannot be read.
pub fn of_uboot(firmware: &impl CardFirmware) -> Result<Option<String>> {
    for name in OF_UBOOT {
        let Some(size) = firmware.size(name)? else { continue };
        if size > 0 && !(size <= MAX_SCRIPT && is_trial(firmware, name)?) {
            return Ok(Some(format!(
                "U-Boot finds {name} on FIRMWARE, and no boot menu with a kernel on ext4"
            )));
        }
    }
    Ok(None)
}

/// Whether `name` is the script of a trial, which starts nothing but an entry of the boot menu.
fn is_trial(firmware: &impl CardFirmware, name: &str) -> Result<bool> {
    Ok(name == trial::SCRIPT && firmware.text(name)?.is_some_and(|text| text.contains(trial::FLAG)))
}
