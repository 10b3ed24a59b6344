//! Code for the development of the tool. Only the commands for development and their command lines import it.

#[cfg(feature = "dev")]
pub mod bench;
pub mod demo;
#[cfg(feature = "dev")]
pub mod netns;
#[cfg(feature = "dev")]
pub mod picture;
#[cfg(feature = "dev")]
pub mod suites;

#[cfg(feature = "dev")]
use std::path::Path;

/// The folder of the checkout that this program was built from.
#[cfg(feature = "dev")]
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}
