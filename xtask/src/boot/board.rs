//! The models of Pi that run `AArch64`, with what their firmware and U-Boot look for.
//!
//! Sources: the filters and kernels are those of the Raspberry Pi documentation, `config_txt` (conditional.adoc,
//! boot.adoc), the board types those of its page about revision codes. The names of U-Boot's device trees are in
//! `board/raspberrypi/rpi/rpi.c` of U-Boot. A board whose type is not there gets `bcm283x-rpi-other.dtb` from U-Boot,
//! which no kernel has, and so the device tree of the firmware.

use std::collections::BTreeSet;
use std::fmt;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A model of Pi, or the emulator that starts the boot files of a Pi 3.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Board {
    /// Raspberry Pi 3 Model B
    Pi3,
    /// Raspberry Pi 3 Model B+ and A+
    #[value(name = "pi3+")]
    #[serde(rename = "pi3+")]
    Pi3Plus,
    /// Raspberry Pi Zero 2 W
    // The name in `config.txt` is not the one on the board.
    #[value(alias = "zero2w")]
    Pi02,
    /// Compute Module 0
    Cm0,
    /// Compute Module 3
    Cm3,
    /// Compute Module 3+
    #[value(name = "cm3+")]
    #[serde(rename = "cm3+")]
    Cm3Plus,
    /// Raspberry Pi 4 Model B
    Pi4,
    /// Raspberry Pi 400
    Pi400,
    /// Compute Module 4
    Cm4,
    /// Compute Module 4S
    Cm4s,
    /// Raspberry Pi 5
    Pi5,
    /// Raspberry Pi 500 and 500+
    // The documentation gives both the same sections; it has no board type of the 500+.
    #[value(alias = "pi500+")]
    Pi500,
    /// Compute Module 5
    Cm5,
    /// The machine raspi3b of QEMU, which starts U-Boot without the firmware of a Pi
    Qemu,
}

/// The processors of the boards, which decide what the firmware needs on the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Pi 3 and Zero 2 W: the boot ROM reads `bootcode.bin` from the card.
    Bcm2837,
    /// Pi 4: the EEPROM has what `bootcode.bin` is for the others.
    Bcm2711,
    /// Pi 5: the EEPROM has the whole firmware, and starts nothing of 32 bits.
    Bcm2712,
    /// QEMU loads U-Boot and the device tree by itself.
    Emulated,
}

/// The facts about a board.
#[derive(Debug)]
pub struct Facts {
    name: &'static str,
    pub family: Family,
    /// The sections of `config.txt` that apply to the board, beside `[all]`.
    pub filters: &'static [&'static str],
    /// The numbers of `[board-type=…]`.
    pub types: &'static [u64],
    /// The device trees of the foundation's kernel, one of which the firmware loads.
    pub firmware_trees: &'static [&'static str],
    /// The device trees that U-Boot looks for among those of the kernel: one of them, by the revision of the board.
    pub kernel_trees: &'static [&'static str],
    /// Whether the mainline kernel has these device trees. U-Boot goes on with that of the firmware otherwise.
    pub is_in_mainline: bool,
}

impl Board {
    /// All models of Pi, without the emulator.
    pub fn pis() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied().filter(|board| *board != Self::Qemu)
    }

    /// The device trees that U-Boot looks for, each once.
    pub fn kernel_trees() -> BTreeSet<&'static str> {
        Self::value_variants().iter().flat_map(|board| board.facts().kernel_trees).copied().collect()
    }

    pub fn facts(self) -> &'static Facts {
        match self {
            Self::Pi3 => &PI3,
            Self::Pi3Plus => &PI3_PLUS,
            Self::Pi02 => &PI02,
            Self::Cm0 => &CM0,
            Self::Cm3 => &CM3,
            Self::Cm3Plus => &CM3_PLUS,
            Self::Pi4 => &PI4,
            Self::Pi400 => &PI400,
            Self::Cm4 => &CM4,
            Self::Cm4s => &CM4S,
            Self::Pi5 => &PI5,
            Self::Pi500 => &PI500,
            Self::Cm5 => &CM5,
            Self::Qemu => &QEMU,
        }
    }

    /// Whether somebody has seen a card of this project boot the board. `docs/pi-5.md` is about the others.
    pub fn is_seen_on_hardware(self) -> bool {
        self.facts().family != Family::Bcm2712
    }

    /// The name of the board in the option `raspberryPi.boards` of a host; `None` for the emulator, and for boards
    /// without a device tree in mainline Linux that the option does not list.
    pub fn option_name(self) -> Option<&'static str> {
        Some(match self {
            Self::Pi3 | Self::Pi3Plus => "pi3",
            Self::Pi02 => "pi02",
            Self::Pi4 => "pi4",
            Self::Pi400 => "pi400",
            Self::Cm4 => "cm4",
            Self::Pi5 => "pi5",
            Self::Pi500 => "pi500",
            Self::Cm5 => "cm5",
            Self::Cm0 | Self::Cm3 | Self::Cm3Plus | Self::Cm4s | Self::Qemu => return None,
        })
    }

    /// The board whose hosts this board boots, where a host cannot name it: the same processor, and no more memory.
    pub fn stand_in(self) -> Option<Self> {
        Some(match self {
            Self::Cm0 => Self::Pi02,
            Self::Cm3 | Self::Cm3Plus => Self::Pi3,
            Self::Cm4s => Self::Cm4,
            _ => return None,
        })
    }

    /// The name in a list, as `--board` takes it, such as `pi4`.
    pub fn id(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.facts().name)
    }
}

const PI3: Facts = Facts {
    name: "Raspberry Pi 3 Model B",
    family: Family::Bcm2837,
    filters: &["pi3"],
    types: &[0x08],
    firmware_trees: &["bcm2710-rpi-3-b.dtb"],
    kernel_trees: &["bcm2837-rpi-3-b.dtb"],
    is_in_mainline: true,
};
const PI3_PLUS: Facts = Facts {
    name: "Raspberry Pi 3 Model B+",
    filters: &["pi3", "pi3+"],
    types: &[0x0d, 0x0e],
    firmware_trees: &["bcm2710-rpi-3-b-plus.dtb"],
    kernel_trees: &["bcm2837-rpi-3-b-plus.dtb", "bcm2837-rpi-3-a-plus.dtb"],
    is_in_mainline: true,
    ..PI3
};
const PI02: Facts = Facts {
    name: "Raspberry Pi Zero 2 W",
    filters: &["pi0", "pi0w", "pi02"],
    types: &[0x12],
    firmware_trees: &["bcm2710-rpi-zero-2-w.dtb", "bcm2710-rpi-zero-2.dtb"],
    kernel_trees: &["bcm2837-rpi-zero-2-w.dtb"],
    is_in_mainline: true,
    ..PI3
};
const CM0: Facts = Facts {
    name: "Compute Module 0",
    filters: &["pi0", "pi0w", "pi02", "cm0"],
    types: &[0x1b],
    firmware_trees: &["bcm2710-rpi-cm0.dtb"],
    kernel_trees: &[],
    is_in_mainline: false,
    ..PI3
};
const CM3: Facts = Facts {
    name: "Compute Module 3",
    filters: &["pi3", "cm3"],
    types: &[0x0a],
    firmware_trees: &["bcm2710-rpi-cm3.dtb"],
    kernel_trees: &["bcm2837-rpi-cm3.dtb"],
    is_in_mainline: false,
    ..PI3
};
const CM3_PLUS: Facts =
    Facts { name: "Compute Module 3+", filters: &["pi3", "pi3+", "cm3+"], types: &[0x10], ..CM3 };
const PI4: Facts = Facts {
    name: "Raspberry Pi 4 Model B",
    family: Family::Bcm2711,
    filters: &["pi4"],
    types: &[0x11],
    firmware_trees: &["bcm2711-rpi-4-b.dtb"],
    kernel_trees: &["bcm2711-rpi-4-b.dtb"],
    is_in_mainline: true,
};
const PI400: Facts = Facts {
    name: "Raspberry Pi 400",
    filters: &["pi4", "pi400"],
    types: &[0x13],
    firmware_trees: &["bcm2711-rpi-400.dtb"],
    kernel_trees: &["bcm2711-rpi-400.dtb"],
    is_in_mainline: true,
    ..PI4
};
const CM4: Facts = Facts {
    name: "Compute Module 4",
    filters: &["pi4", "cm4"],
    types: &[0x14],
    firmware_trees: &["bcm2711-rpi-cm4.dtb"],
    kernel_trees: &["bcm2711-rpi-cm4.dtb"],
    is_in_mainline: false,
    ..PI4
};
const CM4S: Facts = Facts {
    name: "Compute Module 4S",
    filters: &["pi4", "cm4s"],
    types: &[0x15],
    firmware_trees: &["bcm2711-rpi-cm4s.dtb"],
    kernel_trees: &[],
    is_in_mainline: false,
    ..PI4
};
const PI5: Facts = Facts {
    name: "Raspberry Pi 5",
    family: Family::Bcm2712,
    filters: &["pi5"],
    types: &[0x17],
    firmware_trees: &["bcm2712-rpi-5-b.dtb"],
    kernel_trees: &["bcm2712-rpi-5-b.dtb", "bcm2712-d-rpi-5-b.dtb"],
    is_in_mainline: true,
};
const PI500: Facts = Facts {
    name: "Raspberry Pi 500",
    filters: &["pi5", "pi500"],
    types: &[0x19],
    firmware_trees: &["bcm2712-rpi-500.dtb"],
    kernel_trees: &["bcm2712-rpi-500.dtb"],
    is_in_mainline: false,
    ..PI5
};
const CM5: Facts = Facts {
    name: "Compute Module 5",
    filters: &["pi5", "cm5"],
    types: &[0x18, 0x1a],
    firmware_trees: &[
        "bcm2712-rpi-cm5-cm5io.dtb",
        "bcm2712-rpi-cm5-cm4io.dtb",
        "bcm2712-rpi-cm5l-cm5io.dtb",
        "bcm2712-rpi-cm5l-cm4io.dtb",
    ],
    kernel_trees: &["bcm2712-rpi-cm5-cm5io.dtb", "bcm2712-rpi-cm5l-cm5io.dtb"],
    is_in_mainline: false,
    ..PI5
};
const QEMU: Facts = Facts {
    name: "QEMU (raspi3b)",
    family: Family::Emulated,
    types: &[],
    firmware_trees: &["bcm2837-rpi-3-b.dtb", "bcm2710-rpi-3-b.dtb"],
    ..PI3
};

#[cfg(test)]
mod tests {
    use super::*;

    /// What `docs/pi-5.md` is about are the boards that nobody has seen yet.
    #[test]
    fn the_page_of_unseen_boards_names_each_in_its_title() {
        let title = include_str!("../../../docs/pi-5.md").lines().next().unwrap();
        for board in Board::pis() {
            let name = board.to_string();
            let name = name.trim_start_matches("Raspberry ");
            assert_eq!(title.contains(name), !board.is_seen_on_hardware(), "{name} in {title:?}");
        }
    }
}
