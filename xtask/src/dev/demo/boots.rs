//! The dialogues with the demo's host on its console.

use crate::qemu::{Script, Step};

/// A part of U-Boot's line about the entry of the card's menu. The beginning of the line is lost on a Pi's second
/// serial port.
const UBOOT: &str = "with extlinux";

/// The steps of the first boot: install the next generation, and reboot. The reboot ends the emulator; not every
/// emulated machine can be powered off.
const FIRST_BOOT: &[Step] = &[
    Step::wait_for(UBOOT),
    Step::wait_for("Starting kernel"),
    Step::answer("demo: up", "install-generation\n"),
    Step::answer("observed installed", "reboot\n"),
];

/// The steps of any later boot.
const LATER_BOOT: &[Step] =
    &[Step::wait_for(UBOOT), Step::wait_for("Starting kernel"), Step::answer("demo: up", "reboot\n")];

/// The words of the demo's first program after which a boot cannot continue.
const FATAL: &[&str] = &["demo: failed"];

/// The dialogue of the first boot of a card.
pub fn first_boot() -> Script {
    Script::with_fatal(FIRST_BOOT, FATAL)
}

/// The dialogue of any later boot of a card.
pub fn later_boot() -> Script {
    Script::with_fatal(LATER_BOOT, FATAL)
}
