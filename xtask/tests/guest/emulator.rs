//! The machines of the guests, as commands of QEMU.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use xtask::qemu::ONE_THREAD;

use super::card::{Lab, command, lab};

/// The offset of FIRMWARE on the card, in bytes.
const FIRMWARE_OFFSET: u64 = 8 << 20;

/// The command of QEMU's own machine with `card` behind virtio, a watchdog, and ssh at `port` of 127.0.0.1. QEMU
/// records the writes to the card in the file `record`, if one is named.
pub fn virt(card: &Path, record: Option<&Path>, port: u16) -> Command {
    let mut command = command("qemu-system-aarch64");
    command
        .args(["-M", "virt,gic-version=3", "-cpu", "max,pauth=off,sve=off", "-smp", "1", "-m", "512M"])
        // MiB of translated code: less translates code again, more takes no less time.
        .args(["-accel", "tcg,tb-size=128"])
        .arg("-bios")
        .arg(uboot())
        .arg("-drive")
        .arg(drive(card, record, "if=none,id=card"))
        .args(["-device", "virtio-blk-pci,drive=card"])
        .arg("-netdev")
        .arg(format!("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:22"))
        .args(["-device", "virtio-net-pci,netdev=net,romfile="])
        .args(["-device", "i6300esb", "-action", "watchdog=reset", "-serial", "stdio"]);
    command
}

/// Debian's U-Boot, which does not wait 2 s for a key: the emulated processor is busy meanwhile.
fn uboot() -> &'static Path {
    static UBOOT: OnceLock<PathBuf> = OnceLock::new();
    UBOOT.get_or_init(|| {
        let mut code = fs::read(Lab::parts().join("emulator/u-boot.bin")).unwrap();
        let delay = b"bootdelay=2\0";
        let position = code.windows(delay.len()).position(|bytes| bytes == delay).unwrap();
        code[position + delay.len() - 2] = b'0';
        let file = lab().path("u-boot.bin");
        fs::write(&file, code).unwrap();
        file
    })
}

/// The command of a Raspberry Pi 3 with `card` in its slot and the console on the second serial port. It runs the
/// U-Boot of the card with the device tree of the card, as the firmware of a Pi would. Grows the file `card` to a power
/// of two, and writes both files beside it. QEMU records the writes to the card in the file `record`, if one is named.
pub fn pi_3(card: &Path, record: Option<&Path>) -> Command {
    // The size of an SD card is a power of two.
    let file = fs::File::options().write(true).open(card).unwrap();
    file.set_len(file.metadata().unwrap().len().next_power_of_two()).unwrap();
    let [uboot, device_tree] = ["u-boot.bin", "bcm2837-rpi-3-b.dtb"].map(|name| {
        let file = card.with_extension(name);
        fs::write(&file, read_firmware(card, name)).unwrap();
        file
    });
    let mut command = command("qemu-system-aarch64");
    command
        .args(["-M", "raspi3b"])
        .args(ONE_THREAD)
        .arg("-kernel")
        .arg(uboot)
        .arg("-dtb")
        .arg(device_tree)
        .arg("-drive")
        .arg(drive(card, record, "if=sd"))
        .args(["-serial", "null", "-serial", "stdio"]);
    command
}

/// The content of the file `name` of FIRMWARE on `card`; empty where there is no such file.
pub fn read_firmware(card: &Path, name: &str) -> Vec<u8> {
    let image = format!("{}@@{FIRMWARE_OFFSET}", card.display());
    command("mcopy").args(["-n", "-i", &image, &format!("::{name}"), "-"]).output().unwrap().stdout
}

/// The argument of QEMU for a drive with the file `card` behind `interface`. Only a recorded drive passes on the
/// flushes of the guest.
fn drive(card: &Path, record: Option<&Path>, interface: &str) -> String {
    let card = card.display();
    match record {
        None => format!("file={card},{interface},format=raw,cache=unsafe"),
        Some(record) => {
            fs::write(record, "").unwrap();
            format!(
                "driver=blklogwrites,{interface},cache=writeback,file.driver=raw,file.file.driver=file,\
                 file.file.filename={card},log.driver=file,log.filename={},log-sector-size=512",
                record.display()
            )
        }
    }
}
