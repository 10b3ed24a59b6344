//! Boots a card in QEMU and verifies the host on it by its serial console.

mod console;
mod machine;
mod observations;
mod script;
mod verified_host;

pub use console::boot;
pub use machine::{Machine, ONE_THREAD, Setup};
pub use observations::Observations;
pub use script::{FIRST_BOOT, LATER_BOOT, Step};
pub use verified_host::{VerifiedHost, table, verify_host};
