//! The rules of the boot of a Pi: what the firmware and U-Boot start, and which faults prevent the boot. The rules are
//! the same for a card in a reader and for a running host: other wings read the facts, and this wing judges them.

mod addresses;
mod board;
mod board_fault;
mod config_txt;
mod firmware;
mod firmware_stage;
mod host_board;
mod kernel;
mod partitions;
mod program;
mod proof;
mod trial;
mod uboot;

pub use addresses::Addresses;
pub use board::Board;
pub use board_fault::{BoardFault, FaultKind};
pub use firmware::{CardFirmware, Firmware, FirmwareFile, MAX_CONFIG};
pub use firmware_stage::FirmwareStage;
pub use host_board::{HostBoard, check_device_tree};
pub use kernel::Kernel;
#[cfg(test)]
pub use kernel::tests::header as kernel_header;
pub use partitions::{Scan, first_marked, mark_command};
#[cfg(test)]
pub use program::tests::uboot as uboot_program;
pub use program::{MAX_PROGRAM, Program};
pub use proof::{
    BoardProof, Devices, MenuFacts, MenuTree, Outcome, SystemFacts, SystemStage, boots_only_qemu, prove,
    summarize, summarize_shortly, warnings,
};
pub use trial::{FLAG as TRIAL_FLAG, SCRIPT as TRIAL_SCRIPT, Trial};
pub use uboot::{UBoot, UBootProgram, uboot_programs, uboots_with_room};
