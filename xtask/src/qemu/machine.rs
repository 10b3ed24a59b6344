//! The machines that QEMU emulates, and their command lines.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::Serialize;

use super::start_files::StartFiles;

/// A machine that QEMU emulates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Machine {
    /// QEMU's own machine: the card is behind virtio, and the kernel is the card's, but not U-Boot
    #[default]
    Virt,
    /// A Raspberry Pi 3: U-Boot, the device tree and the kernel are the card's (slower)
    Raspi3b,
}

/// The program of the emulator.
pub const PROGRAM: &str = "qemu-system-aarch64";

/// A machine with a card in it.
#[derive(Debug)]
pub struct Setup {
    pub machine: Machine,
    /// The longest time that one boot may take.
    pub limit: Duration,
    drive: Drive,
    start: StartFiles,
    network: Network,
}

/// The file of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// For [`Machine::Raspi3b`] the size of the card is a power of two.
    pub file: PathBuf,
    pub format: DriveFormat,
}

/// The format of the file of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriveFormat {
    /// The content of the card.
    Raw,
    /// The blocks that differ from another file or device.
    Overlay,
}

/// The network of a [`Machine::Virt`]; a [`Machine::Raspi3b`] has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// No network card.
    None,
    /// A network with a DHCP server that reaches nothing.
    Isolated,
    /// An isolated network that forwards this port of 127.0.0.1 to the host's ssh server.
    Ssh(u16),
}

impl Machine {
    /// The time limit of one boot of a small system: ten times the time on an idle workstation.
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
    /// Prepares `machine` with the card in the file `card`, which the host changes. For a Pi 3, copies the boot files
    /// from the card to files beside `card`. `virt_uboot` is the file of a U-Boot for [`Machine::Virt`].
    ///
    /// # Errors
    /// A card without the boot files of a Pi 3.
    pub fn new(machine: Machine, card: &Path, virt_uboot: &Path) -> Result<Self> {
        let start = match machine {
            Machine::Virt => StartFiles::of_virt(virt_uboot),
            Machine::Raspi3b => {
                let file = File::open(card).with_context(|| format!("opening {}", card.display()))?;
                let size = file.metadata().context("reading the size of the card")?.len();
                StartFiles::copy_from_card(&file, size, card)?
            }
        };
        Ok(Self::with_drive(machine, Drive { file: card.to_owned(), format: DriveFormat::Raw }, start))
    }

    /// `machine` with a card in `drive`, started by `start`, without a network.
    pub fn with_drive(machine: Machine, drive: Drive, start: StartFiles) -> Self {
        Self { machine, limit: machine.time_limit(), drive, start, network: Network::None }
    }

    /// The same setup with a network that forwards `port` of 127.0.0.1 to the host's ssh server and reaches nothing
    /// else.
    #[must_use]
    pub fn with_ssh(self, port: u16) -> Self {
        self.with_network(Network::Ssh(port))
    }

    /// The same setup with `network`.
    #[must_use]
    pub fn with_network(self, network: Network) -> Self {
        Self { network, ..self }
    }

    /// The same setup, in which one boot may take `limit`.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// The file of the card, to which QEMU writes.
    pub fn drive_file(&self) -> &Path {
        &self.drive.file
    }

    /// The arguments of `PROGRAM`: the console is on stdin and stdout, and a reboot ends the emulator.
    pub fn args(&self) -> Vec<OsString> {
        let StartFiles { uboot, device_tree } = &self.start;
        let mut args = match self.machine {
            Machine::Virt => {
                let mut args = VIRT_ARGS.iter().map(OsString::from).collect::<Vec<_>>();
                args.extend(self.network.args().into_iter().map(OsString::from));
                args.extend(["-bios".into(), uboot.into(), "-drive".into()]);
                args.extend([self.drive.arg("if=none,id=card")]);
                args.extend(["-device", "virtio-blk-pci,drive=card"].map(OsString::from));
                args
            }
            Machine::Raspi3b => {
                let mut args =
                    ["-M", "raspi3b"].iter().chain(ONE_THREAD).map(OsString::from).collect::<Vec<_>>();
                args.extend(["-kernel".into(), uboot.into()]);
                args.extend(device_tree.iter().flat_map(|tree| ["-dtb".into(), tree.into()]));
                args.extend(["-drive".into(), self.drive.arg("if=sd")]);
                // The console is on the second serial port, as on a real Pi.
                args.extend(["-serial", "null"].map(OsString::from));
                args
            }
        };
        args.extend(COMMON_ARGS.iter().map(OsString::from));
        args
    }
}

impl Drive {
    /// The value of `-drive` behind `interface`.
    fn arg(&self, interface: &str) -> OsString {
        let format = match self.format {
            DriveFormat::Raw => "raw",
            DriveFormat::Overlay => "qcow2",
        };
        // QEMU ends the name at a single comma.
        let file = self.file.display().to_string().replace(',', ",,");
        format!("file={file},{interface},format={format},cache=unsafe").into()
    }
}

impl Network {
    /// The arguments of the network card. Its ROM is left out, because the ROM is in another package.
    fn args(self) -> Vec<String> {
        let forward = match self {
            Self::None => return vec!["-nic".into(), "none".into()],
            Self::Isolated => String::new(),
            Self::Ssh(port) => format!(",hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:22"),
        };
        vec![
            "-netdev".into(),
            format!("user,id=net,restrict=on{forward}"),
            "-device".into(),
            "virtio-net-pci,netdev=net,romfile=".into(),
        ]
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

#[cfg(test)]
mod tests {
    use super::*;

    fn args(machine: Machine, format: DriveFormat, network: Network) -> String {
        let [file, uboot, tree] = ["/a,b.img", "/u.bin", "/t.dtb"].map(PathBuf::from);
        let device_tree = (machine == Machine::Raspi3b).then_some(tree);
        let start = StartFiles { uboot, device_tree };
        let setup = Setup::with_drive(machine, Drive { file, format }, start).with_network(network);
        setup.args().iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_machine_has_its_arguments() {
        let virt = "-M virt,gic-version=3 -cpu cortex-a53 -smp 2 -m 1G";
        let device = "-device virtio-blk-pci,drive=card";
        let common = "-serial stdio -display none -monitor none -no-reboot";
        for (format, network, network_args, format_arg) in [
            (DriveFormat::Raw, Network::None, "-nic none", "raw"),
            (
                DriveFormat::Overlay,
                Network::Isolated,
                "-netdev user,id=net,restrict=on -device virtio-net-pci,netdev=net,romfile=",
                "qcow2",
            ),
            (
                DriveFormat::Raw,
                Network::Ssh(2222),
                "-netdev user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:2222-10.0.2.15:22 \
                 -device virtio-net-pci,netdev=net,romfile=",
                "raw",
            ),
        ] {
            assert_eq!(
                args(Machine::Virt, format, network),
                format!(
                    "{virt} {network_args} -bios /u.bin -drive \
                     file=/a,,b.img,if=none,id=card,format={format_arg},cache=unsafe {device} {common}"
                )
            );
        }
        assert_eq!(
            args(Machine::Raspi3b, DriveFormat::Overlay, Network::Ssh(2222)),
            format!(
                "-M raspi3b -accel tcg,thread=single -kernel /u.bin -dtb /t.dtb -drive \
                 file=/a,,b.img,if=sd,format=qcow2,cache=unsafe -serial null {common}"
            )
        );
    }
}
