//! The interface to the `nix` command: its arguments, configuration, events and errors.

mod build;
mod build_failures;
mod build_monitor;
mod build_plan;
mod build_sandbox;
mod cache;
mod cache_folder;
mod config;
mod copy;
mod daemon_settings;
mod derivation;
pub mod emulation;
mod error;
mod eval;
mod eval_cache;
mod events;
mod fetch;
mod fingerprint;
pub mod flake;
mod idle_builders;
mod inputs;
mod installable;
pub mod metadata;
pub mod new_host;
mod offline;
mod package_name;
mod passed_options;
mod path_info;
pub mod private_nix;
mod programs;
#[cfg(test)]
pub mod recorded;
mod revision;
mod settings_fault;
mod ssh_options;
mod store_path;
mod transfers;
mod untracked_file;
mod user_settings;
mod version;
mod warnings;

pub use build::{Built, build, build_all, build_each, builds_nothing, eval_args, plan};
pub use build_plan::{BuildPlan, Unplanned};
pub use build_sandbox::{protect_keys_from_builds, protect_keys_without_builds};
pub use cache::{Transferred, cache_fault, fetch_command, follow_fetch, generate_key, push, sign};
pub use config::Config;
pub use copy::{Destination, copy};
pub use error::{
    CacheClient, CopyFault, FetchFault, FetchFaultKind, is_evaluation_failure, is_fault_of_flake,
    is_forbidden_build, is_missing_attribute, is_silent_host, needs_git_add, needs_network, strip_ansi,
};
pub use eval::{ALL_OUTPUTS, KEEP_LOCK, eval, is_cacheable, keep_unwritable_lock, quote, with_keep_lock};
pub use eval_cache::{EvalCache, Evaluation};
pub use fetch::fetch;
pub use fingerprint::Fingerprint;
pub use idle_builders::note_idle_builders;
pub use inputs::lock_without_keys;
pub use installable::{Installable, is_plain_name};
pub use metadata::Metadata;
pub use offline::offline;
pub use package_name::split_version;
pub use passed_options::check_passed;
pub use path_info::{closure, is_signed_or_content_addressed};
pub use programs::Programs;
pub use revision::Revision;
pub use settings_fault::check_settings;
pub use store_path::StorePath;
pub use untracked_file::with_untracked_hint;
pub use version::{Implementation, Release, Version, require, require_any};

/// Enables flakes, whatever the user's nix.conf says.
pub(crate) const FEATURES: [&str; 2] = ["--extra-experimental-features", "nix-command flakes"];

/// A Nix system double, such as `aarch64-linux`.
pub type System = String;

/// The system double of the machine this tool runs on.
pub fn this_system() -> System {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}
