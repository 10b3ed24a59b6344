//! The state of a host as it was saved: a folder, an archive, or a snapshot of restic. It is read as it comes, without
//! root: owners, modes and times are taken from the metadata, and all of it is foreign.

mod archive;
mod entry;
mod folder;
mod restic;
mod sieve;
mod snapshot;
mod source;
mod survey;

pub use entry::{Modified, StateEntry, StateKind};
pub use restic::ResticOptions;
pub use source::{HostFolder, StateArg, StateSource, check_stop};
pub use survey::Survey;
