//! Boots a card in QEMU and verifies the host on it by its serial console.

mod console;
mod machine;
mod proofs;
mod prove;
mod script;

pub use console::boot;
pub use machine::{Machine, Setup};
pub use proofs::Proofs;
pub use prove::{Proven, prove, table};
pub use script::{FIRST, SECOND, Step};
