//! What a machine starts in place of a Pi's closed firmware.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::base::Context as Cx;
use crate::card::inspect;
use crate::{bail, failure};

/// The files that QEMU loads at power on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFiles {
    pub uboot: PathBuf,
    /// The device tree, where the machine makes none itself.
    pub device_tree: Option<PathBuf>,
}

/// The variable that names the U-Boot for the machine `virt`.
const UBOOT_VARIABLE: &str = "XTASK_UBOOT";

/// Where distributions have the U-Boot for the machine `virt`: Debian's package `u-boot-qemu`, and Fedora's
/// `uboot-images-armv8`.
const UBOOTS: &[&str] = &["/usr/lib/u-boot/qemu_arm64/u-boot.bin", "/usr/share/uboot/qemu_arm64/u-boot.bin"];

/// The device trees of a Pi 3 B, by the foundation's name, which the firmware prefers, and by that of mainline Linux.
const DEVICE_TREES: &[&str] = &["bcm2710-rpi-3-b.dtb", "bcm2837-rpi-3-b.dtb"];

/// The file that the firmware of a Pi 3 starts where `config.txt` names none.
const DEFAULT_KERNEL: &str = "kernel8.img";

impl StartFiles {
    /// The start of the machine `virt` by the U-Boot in the file `uboot`.
    pub fn of_virt(uboot: &Path) -> Self {
        Self { uboot: uboot.to_owned(), device_tree: None }
    }

    /// Finds the U-Boot of this workstation for the machine `virt`.
    ///
    /// # Errors
    /// `Refused` where there is none.
    pub fn find_for_virt(cx: &Cx) -> Result<Self> {
        if let Some(file) = cx.launcher.env(UBOOT_VARIABLE).filter(|file| !file.is_empty()) {
            let file = PathBuf::from(file);
            if !file.is_file() {
                bail!(
                    Refused, "{UBOOT_VARIABLE} names {}, which is not a file", file.display();
                    hint: "let it name the file u-boot.bin of nixpkgs' ubootQemuAarch64"
                );
            }
            return Ok(Self::of_virt(&file));
        }
        let found = UBOOTS.iter().map(Path::new).find(|file| file.is_file());
        found.map(Self::of_virt).ok_or_else(|| {
            failure!(
                Refused, "there is no U-Boot for the machine virt: {} is missing", UBOOTS[0];
                hint: "run `cargo xtask setup --boot`, let {UBOOT_VARIABLE} name the file u-boot.bin of nixpkgs' \
                       ubootQemuAarch64, or pass --machine raspi3b, which takes the card's own"
            )
        })
    }

    /// Copies what the firmware of a Pi 3 would load from FIRMWARE of `card`, which has `size` bytes, to files beside
    /// `beside`.
    ///
    /// # Errors
    /// A card without these files.
    pub fn copy_from_card(card: &File, size: u64, beside: &Path) -> Result<Self> {
        let read = |name: &str| inspect::firmware_file(card, size, name);
        let write = |ending: &str, content: &[u8]| {
            let to = beside.with_extension(ending);
            fs::write(&to, content).with_context(|| format!("writing {}", to.display()))?;
            Ok::<_, anyhow::Error>(to)
        };
        let config = read("config.txt")?.unwrap_or_default();
        let kernel = kernel_of_pi_3(&String::from_utf8_lossy(&config));
        let Some(program) = read(&kernel)? else {
            bail!(
                Verification, "the card's FIRMWARE has no {kernel}, which a Pi 3 would start";
                hint: "pass --machine virt, which brings its own U-Boot"
            );
        };
        for name in DEVICE_TREES {
            if let Some(tree) = read(name)? {
                let device_tree = Some(write("dtb", &tree)?);
                return Ok(Self { uboot: write("u-boot.bin", &program)?, device_tree });
            }
        }
        bail!(
            Verification, "the card's FIRMWARE has no device tree of a Pi 3: neither {}", DEVICE_TREES.join(" nor ");
            hint: "pass --machine virt, which makes its own device tree"
        )
    }
}

/// The file that the firmware of a Pi 3 starts by this `config.txt`: the last `kernel=` in a section that applies to
/// that board.
fn kernel_of_pi_3(config: &str) -> String {
    let mut applies = true;
    let mut kernel = DEFAULT_KERNEL;
    for line in config.lines().map(str::trim) {
        match line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(section) => applies = matches!(section, "all" | "pi3"),
            None if applies => kernel = line.strip_prefix("kernel=").map_or(kernel, str::trim),
            None => {}
        }
    }
    kernel.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pi_3_starts_the_kernel_of_its_sections() {
        for (config, expected) in [
            ("", "kernel8.img"),
            ("kernel=a.bin\r\n", "a.bin"),
            (
                "[pi3]\nkernel=u-boot-pi3.bin\n[pi02]\nkernel=b\n[pi4]\nkernel=c\n[all]\narm_64bit=1\n",
                "u-boot-pi3.bin",
            ),
            ("[pi4]\nkernel=c\n", "kernel8.img"),
            ("[pi3]\nkernel=a\n[all]\nkernel=b\n", "b"),
            ("#kernel=x\n kernel = y\nkernel=z", "z"),
        ] {
            assert_eq!(kernel_of_pi_3(config), expected, "{config:?}");
        }
    }
}
