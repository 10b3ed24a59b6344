//! What a deploy changes: the packages of the closure that the host runs, against those of the one that is meant.

mod diff;
mod name;
mod read;

pub use diff::Diff;
pub use read::Closure;
