//! The device tree of a board. U-Boot looks for it among the files of the generation that it starts, by the name of a
//! file that U-Boot has for the board.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::bail;

/// How many files a message names.
const MAX_NAMED: usize = 3;

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
    let named = board.files.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(" or ");
    bail!(
        Verification, "the new system has no device tree for {}: there is no {named}", board.model;
        hint: "let `hardware.deviceTree.filter` match such a file"
    )
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
            "the new system has no device tree for Raspberry Pi 3 Model B: there is no bcm2837-rpi-3-b.dtb or x.dtb; let \
             `hardware.deviceTree.filter` match such a file"
        );
        check_device_tree(&board(&["a"]), &set(&[])).unwrap_err();
    }
}
