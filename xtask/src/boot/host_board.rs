//! The device tree of a board. U-Boot looks for it among the files of the generation that it starts, by the name of a
//! file that U-Boot has for the board.
//!
//! One rule for cards and hosts: where the generation has device trees and none for the board, it is unknown whether
//! the board boots. U-Boot goes on with the device tree of the firmware (`label_boot` in U-Boot's `boot/pxe_utils.c`:
//! a file that `FDTDIR` lacks is passed over, and `fdt_addr` taken), which is made for the kernel of the Raspberry Pi
//! foundation. A generation without any device trees leaves that to the firmware on purpose: nixpkgs' builder writes no
//! `FDTDIR` for it.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::bail;

/// How many files a message names.
const MAX_NAMED: usize = 3;

/// The remedy for a generation that lacks a device tree.
pub const TREE_HINT: &str = "let `hardware.deviceTree.filter` match such a file";

/// What it means that `place` has none of the device trees `names`.
pub fn missing_tree<'a>(names: impl IntoIterator<Item = &'a str>, place: &str) -> String {
    let named = names.into_iter().take(MAX_NAMED).collect::<Vec<_>>().join(" or ");
    format!(
        "no {named} in {place}: Linux gets the device tree of the firmware, which is made for another kernel"
    )
}

/// The board of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostBoard {
    /// The model for people, such as `Raspberry Pi 4 Model B Rev 1.4`.
    pub model: String,
    /// The files with the device tree of the board among those of the boot menu, such as
    /// `broadcom/bcm2711-rpi-4-b.dtb`. Empty where U-Boot takes the device tree of the firmware.
    pub files: BTreeSet<String>,
}

/// Fails where a generation with the device trees `files` has none for `board`, which boots with one today.
pub fn check_device_tree(board: &HostBoard, files: &BTreeSet<String>) -> Result<()> {
    if board.files.is_empty() || !board.files.is_disjoint(files) {
        return Ok(());
    }
    let names = board.files.iter().map(String::as_str);
    let text = missing_tree(names, &format!("the new system (for {})", board.model));
    bail!(Verification, "{text}"; hint: "{TREE_HINT}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::with_hint;

    #[test]
    fn a_board_needs_one_of_its_files() {
        let set = |files: &[&str]| files.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        let board = |files: &[&str]| HostBoard { model: "Raspberry Pi 3 Model B".into(), files: set(files) };
        let new = set(&["broadcom/bcm2837-rpi-3-b.dtb", "broadcom/bcm2711-rpi-4-b.dtb"]);
        for files in [&[][..], &["broadcom/bcm2837-rpi-3-b.dtb"], &["a", "broadcom/bcm2711-rpi-4-b.dtb"]] {
            check_device_tree(&board(files), &new).unwrap();
        }
        let error = check_device_tree(&board(&["bcm2837-rpi-3-b.dtb", "x.dtb"]), &new).unwrap_err();
        assert_eq!(
            with_hint(&error),
            "no bcm2837-rpi-3-b.dtb or x.dtb in the new system (for Raspberry Pi 3 Model B): Linux gets the device tree of \
             the firmware, which is made for another kernel; let `hardware.deviceTree.filter` match such a file"
        );
        check_device_tree(&board(&["a"]), &set(&[])).unwrap_err();
    }
}
