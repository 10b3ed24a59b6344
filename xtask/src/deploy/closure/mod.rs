//! The diff of a deploy: the packages of the running closure against those of the desired one.

mod diff;
mod name;
mod read;

pub use diff::Diff;
pub use read::Closure;
