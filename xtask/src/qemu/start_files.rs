//! What a machine starts in place of a Pi's closed firmware.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::base::Context as Cx;
use crate::boot::Board;
use crate::card::inspect::{self, BoardStart};
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

    /// Copies what the firmware of a Pi 3 starts from `card`, which has `size` bytes, to files beside `beside`.
    ///
    /// # Errors
    /// `Verification` for a card from which a Pi 3 starts nothing.
    pub fn copy_from_card(card: &File, size: u64, beside: &Path) -> Result<Self> {
        let BoardStart { program, device_tree } = inspect::board_start(card, size, Board::Qemu)?;
        let write = |ending: &str, content: &[u8]| {
            let to = beside.with_extension(ending);
            fs::write(&to, content).with_context(|| format!("writing {}", to.display()))?;
            Ok::<_, anyhow::Error>(to)
        };
        Ok(Self { uboot: write("u-boot.bin", &program)?, device_tree: Some(write("dtb", &device_tree)?) })
    }
}
