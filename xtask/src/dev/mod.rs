//! Code for the development of the tool. Only the commands for development import it.

pub mod bench;
pub mod demo;
pub mod netns;
pub mod qemu;
pub mod suites;

use std::path::Path;

/// The checkout of this tool, with its sources.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}
