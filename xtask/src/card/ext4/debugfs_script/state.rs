//! The commands for a saved state, which come in several scripts.

use anyhow::Result;

use super::DebugfsScript;
use crate::identity::Owner;

impl DebugfsScript {
    /// A script without commands.
    pub fn empty() -> Self {
        Self { commands: String::new(), replaced: Vec::new(), contents: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// The number of files that the script writes, each of which debugfs reads from an open descriptor.
    pub fn open_files(&self) -> usize {
        self.contents.len()
    }

    /// Adds the commands that set the mode and the owner of the folder at `path`.
    pub fn set_folder(&mut self, path: &str, mode: u16, owner: Owner) -> Result<()> {
        self.set_mode_and_owner(path, 0o040_000 | u32::from(mode), owner)
    }

    /// Adds the commands that set the time of the last modification of the inode at `path`: `seconds` after 1970, and
    /// `nanoseconds`. An inode of 128 bytes has no room for the latter, and for times after 2038.
    pub fn set_modified(&mut self, path: &str, seconds: u64, nanoseconds: u32) -> Result<()> {
        // The lower 32 bits of the seconds are a signed number, to which the kernel adds the epoch.
        let low = seconds & 0xffff_ffff;
        let epoch = (seconds + (1 << 31)) >> 32 & 3;
        self.push_command(path, &["sif", path, "mtime", &format!("@{low}")])?;
        let extra = u64::from(nanoseconds) << 2 | epoch;
        self.push_command(path, &["sif", path, "mtime_extra", &extra.to_string()])
    }
}
