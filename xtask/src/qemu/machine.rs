//! The machines that QEMU emulates, and their command lines.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;

use crate::card::inspect;
use crate::failure;

/// A machine that QEMU emulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Machine {
    /// QEMU's own machine: the card is behind virtio, the kernel is the card's, U-Boot is Debian's for QEMU
    Virt,
    /// A Raspberry Pi 3: U-Boot, the device tree and the kernel are the card's (slower)
    Raspi3b,
}

/// The program of the emulator.
pub const PROGRAM: &str = "qemu-system-aarch64";

/// The device tree that the firmware of a Pi 3 would load from FIRMWARE.
const DEVICE_TREE: &str = "bcm2837-rpi-3-b.dtb";

/// A machine with a card in it.
#[derive(Debug)]
pub struct Setup {
    pub machine: Machine,
    /// The file of the card; for `raspi3b` its size is a power of two.
    card: PathBuf,
    /// The file of the U-Boot that the machine starts.
    uboot: PathBuf,
    /// The file of the device tree, which only `raspi3b` reads.
    device_tree: PathBuf,
    /// The port of 127.0.0.1 that is forwarded to the host's ssh server; `None` without a network.
    ssh_port: Option<u16>,
}

impl Machine {
    /// The time limit of one boot: ten times the time on an idle workstation.
    pub fn time_limit(self) -> Duration {
        Duration::from_secs(match self {
            Self::Virt => 120,
            Self::Raspi3b => 300,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Virt => "virt",
            Self::Raspi3b => "raspi3b",
        }
    }
}

impl Setup {
    /// Prepares `machine` with the card in the file `card`. For a Pi 3, copies the boot files from the card to files
    /// beside `card`. `virt_uboot` is the file of a U-Boot for [`Machine::Virt`].
    ///
    /// # Errors
    /// A card without the boot files of a Pi 3.
    pub fn new(machine: Machine, card: &Path, virt_uboot: &Path) -> Result<Self> {
        let mut uboot = virt_uboot.to_owned();
        let device_tree = card.with_extension("dtb");
        if machine == Machine::Raspi3b {
            uboot = card.with_extension("u-boot.bin");
            let card_file = File::open(card).with_context(|| format!("opening {}", card.display()))?;
            for (name, to) in [("u-boot.bin", &uboot), (DEVICE_TREE, &device_tree)] {
                fs::write(to, firmware_file(&card_file, name)?)
                    .with_context(|| format!("writing {}", to.display()))?;
            }
        }
        Ok(Self { machine, card: card.to_owned(), uboot, device_tree, ssh_port: None })
    }

    /// The same setup with a network that forwards `port` of 127.0.0.1 to the host's ssh server and reaches nothing
    /// else. Only [`Machine::Virt`] has a network card.
    #[must_use]
    pub fn with_ssh(self, port: u16) -> Self {
        Self { ssh_port: Some(port), ..self }
    }

    /// The arguments of `PROGRAM`: the console is on stdin and stdout, and a reboot ends the emulator.
    pub fn args(&self) -> Vec<OsString> {
        let drive = |interface: &str| {
            // QEMU ends the name at a single comma.
            let card = self.card.display().to_string().replace(',', ",,");
            OsString::from(format!("file={card},{interface},format=raw,cache=unsafe"))
        };
        let machine_args: Vec<OsString> = match self.machine {
            Machine::Virt => {
                let mut args = VIRT_ARGS.iter().map(OsString::from).collect::<Vec<_>>();
                args.extend(self.network_args().into_iter().map(OsString::from));
                args.extend(["-bios".into(), self.uboot.clone().into(), "-drive".into()]);
                args.extend([drive("if=none,id=card"), "-device".into(), "virtio-blk-pci,drive=card".into()]);
                args
            }
            // The console is on the second serial port, as on a real Pi.
            Machine::Raspi3b => {
                let mut args =
                    ["-M", "raspi3b"].iter().chain(ONE_THREAD).map(OsString::from).collect::<Vec<_>>();
                args.extend(["-kernel".into(), self.uboot.clone().into()]);
                args.extend([
                    "-dtb".into(),
                    self.device_tree.clone().into(),
                    "-drive".into(),
                    drive("if=sd"),
                ]);
                args.extend(["-serial", "null"].map(OsString::from));
                args
            }
        };
        machine_args.into_iter().chain(COMMON_ARGS.iter().map(OsString::from)).collect()
    }

    /// The arguments of the network card. Its ROM is left out, because the ROM is in another package.
    fn network_args(&self) -> Vec<String> {
        match self.ssh_port {
            None => vec!["-nic".into(), "none".into()],
            Some(port) => vec![
                "-netdev".into(),
                format!("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:22"),
                "-device".into(),
                "virtio-net-pci,netdev=net,romfile=".into(),
            ],
        }
    }
}

/// The arguments of [`Machine::Virt`].
const VIRT_ARGS: &[&str] = &["-M", "virt,gic-version=3", "-cpu", "cortex-a53", "-smp", "2", "-m", "1G"];

/// The arguments with which one thread emulates all four processors of a [`Machine::Raspi3b`]. In a thread of its own
/// each idle processor spins, and each change of the page tables waits for all of them: a boot takes five times as
/// long.
pub const ONE_THREAD: &[&str] = &["-accel", "tcg,thread=single"];

/// The arguments of all machines.
const COMMON_ARGS: &[&str] = &["-serial", "stdio", "-display", "none", "-monitor", "none", "-no-reboot"];

/// The content of the file `name` in FIRMWARE of a card.
fn firmware_file(card: &File, name: &str) -> Result<Vec<u8>> {
    inspect::firmware_file(card, name)?
        .ok_or_else(|| failure!(Verification, "the card's FIRMWARE has no {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(machine: Machine, ssh_port: Option<u16>) -> String {
        let [card, uboot, device_tree] = ["/a,b.img", "/u.bin", "/t.dtb"].map(PathBuf::from);
        let args = Setup { machine, card, uboot, device_tree, ssh_port }.args();
        args.iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_machine_has_its_arguments() {
        let virt = "-bios /u.bin -drive file=/a,,b.img,if=none,id=card,format=raw,cache=unsafe \
                    -device virtio-blk-pci,drive=card";
        let common = "-serial stdio -display none -monitor none -no-reboot";
        assert_eq!(
            args(Machine::Virt, None),
            format!("-M virt,gic-version=3 -cpu cortex-a53 -smp 2 -m 1G -nic none {virt} {common}")
        );
        assert_eq!(
            args(Machine::Virt, Some(2222)),
            format!(
                "-M virt,gic-version=3 -cpu cortex-a53 -smp 2 -m 1G -netdev \
                 user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:2222-10.0.2.15:22 \
                 -device virtio-net-pci,netdev=net,romfile= {virt} {common}"
            )
        );
        assert_eq!(
            args(Machine::Raspi3b, None),
            format!(
                "-M raspi3b -accel tcg,thread=single -kernel /u.bin -dtb /t.dtb -drive file=/a,,b.img,if=sd,format=raw,cache=unsafe \
                 -serial null {common}"
            )
        );
    }
}
