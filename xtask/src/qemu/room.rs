//! The room for what a booted host writes.

use std::path::Path;

use anyhow::Error;

pub use crate::base::room::full_folder;
use crate::failure;

/// The error of a boot that was ended because `folder` is full.
pub fn error(folder: &Path) -> Error {
    failure!(
        Io(NoRoom), "there is no room for what the host writes in {}", folder.display();
        hint: "free some space there, or let XTASK_STATE name a folder on a larger disk"
    )
}
