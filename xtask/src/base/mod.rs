//! The base of all domains: processes, files, locks, interrupts, errors and events.

mod address;
mod attribute_path;
pub mod bounded;
mod chunk_map;
pub mod context;
pub mod escape;
mod event;
pub mod failure;
mod flake_ref;
mod format;
#[cfg(test)]
pub mod fuzz;
pub mod git;
pub mod hardening;
mod host_name;
mod image_source;
pub mod interrupt;
pub mod lock;
pub mod memfd;
mod memory;
pub mod parallel;
pub mod percent_encoding;
mod phase;
pub mod process;
pub mod program;
pub mod progress_signal;
pub mod project;
pub mod shell;
mod size;
pub mod state;
mod table;
mod time_limit;

pub use address::{Address, HOSTNAME_CHARS, USER_CHARS, is_hostname, is_user, split_destination};
pub use attribute_path::split_attribute_path;
pub use chunk_map::{ChunkMap, ChunkRun, ChunkState};
pub use context::Context;
pub use escape::Plain;
pub use event::{Event, HostReporter, Reporter, Silent};
pub use flake_ref::{CopiedFiles, FlakeRef, split_attribute};
pub use format::Format;
pub use host_name::HostName;
pub use image_source::ImageSource;
pub use phase::Phase;
pub use size::{Bytes, parse_bytes};
pub use table::Table;
pub use time_limit::TimeLimit;
