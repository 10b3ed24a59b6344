//! Boots a card in QEMU and reads on its serial console whether the host on it does what it should.

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
