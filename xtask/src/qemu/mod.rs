//! Boots cards in QEMU: machines as data, snapshots of cards and images, and the watch of the serial console.

mod console;
mod escapes;
mod faults;
mod machine;
mod programs;
mod proof;
mod room;
mod script;
pub mod snapshot;
mod ssh_probe;
mod start_files;
mod workspace;

pub use console::boot;
pub use machine::{Machine, Network, ONE_THREAD, Setup};
pub use programs::require_programs;
pub use proof::{Goal, Proof, ProofWatch};
pub use script::{Script, Step};
pub use ssh_probe::SshProbe;
pub use start_files::StartFiles;
pub use workspace::Workspace;
