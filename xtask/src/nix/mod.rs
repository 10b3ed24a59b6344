//! Nix on the command line: every argument vector, its configuration, events and errors.

mod build;
mod config;
mod copy;
mod error;
mod events;
mod path_info;
pub mod prefix;
mod query;
mod store_path;
mod version;
mod watch;

pub use build::{build, build_all};
pub use config::Config;
pub use copy::{Destination, copy};
pub use error::is_missing_attribute;
pub use error::strip_ansi;
pub use path_info::closure;
pub use query::{eval_attr_names, flake_show, quote};
pub use store_path::StorePath;
pub use version::{Version, require};

/// Switches on what flakes need, whatever the user's nix.conf says.
pub(crate) const FEATURES: [&str; 2] = ["--extra-experimental-features", "nix-command flakes"];

/// A Nix system double, such as `aarch64-linux`.
pub type System = String;

/// The system double of the machine this tool runs on.
pub fn this_system() -> System {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}
