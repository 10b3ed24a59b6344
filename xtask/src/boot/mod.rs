//! The rules of the boot of a Pi: what the firmware and U-Boot start, and which faults prevent the boot. The rules are
//! the same for a card in a reader and for a running host: other wings read the facts, and this wing judges them.

mod device_tree;
mod kernel;
mod partitions;
mod trial;
mod uboot;

pub use device_tree::{Board, check_device_tree};
#[cfg(test)]
pub use kernel::tests::header as kernel_header;
pub use kernel::{Kernel, MAX_READ as MAX_KERNEL_READ};
pub use partitions::{Scan, first_marked, mark_command};
pub use trial::{FLAG as TRIAL_FLAG, SCRIPT as TRIAL_SCRIPT, Trial};
pub use uboot::{
    Addresses, Firmware, FirmwareFile, MAX_CONFIG, UBoot, UBootProgram, uboot_programs, uboots_with_room,
};
