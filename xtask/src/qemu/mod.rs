//! Boots cards in QEMU, with a dialogue on the serial console.

mod console;
mod machine;
mod script;

pub use console::boot;
pub use machine::{Machine, ONE_THREAD, Setup};
pub use script::{FIRST_BOOT, LATER_BOOT, Step};
