//! What only the development of the tool needs. Nothing but the commands for it imports this.

pub mod bench;
pub mod demo;
pub mod netns;
pub mod qemu;
pub mod suites;
