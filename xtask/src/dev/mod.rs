//! Code for the development of the tool. Only the commands for development import it.

pub mod bench;
pub mod demo;
pub mod netns;
pub mod qemu;
pub mod suites;
