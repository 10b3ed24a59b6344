//! The diff of a deploy: the packages of the running closure against those of the desired one.

mod diff;
mod read;

pub use diff::Diff;
pub use read::Closure;

use anyhow::Result;

use crate::base::process::Launcher;
use crate::nix::StorePath;

/// The diff of two systems in the store of this machine.
///
/// # Errors
/// Where the store does not have both.
pub fn diff_in_store(launcher: &Launcher, from: &StorePath, to: &StorePath) -> Result<Diff> {
    Ok(Diff::new(&Closure::read_local(launcher, from)?, &Closure::read_local(launcher, to)?))
}
