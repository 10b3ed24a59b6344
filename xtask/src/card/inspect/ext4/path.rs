//! Finding inodes by their paths.

use anyhow::{Context, Result};

use super::{Ext4, Inode};
use crate::bail;
use crate::base::Plain;

/// The number of links that are followed, as in Linux.
pub(super) const MAX_LINKS: usize = 40;
/// The length of the longest path, as in Linux.
const MAX_PATH: u64 = 4096;
/// The inode of the root folder.
pub(super) const ROOT: u32 = 2;

/// What a walk does with a link that is the last part of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastLink {
    Follow,
    Keep,
}

impl Ext4<'_> {
    /// The inode at `path`, with links followed; `None` where there is none.
    pub fn find(&self, path: &str) -> Result<Option<Inode>> {
        Ok(self.walk(path.as_bytes(), LastLink::Follow)?.map(|(inode, _)| inode))
    }

    /// The inode at `path`; `None` where there is none. A link that is the last part of the path is not followed.
    pub fn find_itself(&self, path: &str) -> Result<Option<Inode>> {
        Ok(self.walk(path.as_bytes(), LastLink::Keep)?.map(|(inode, _)| inode))
    }

    /// The inode at `path`, with links followed, and its path without links; `None` where there is none.
    pub fn resolve(&self, path: &str) -> Result<Option<(Inode, String)>> {
        let Some((inode, names)) = self.walk(path.as_bytes(), LastLink::Follow)? else { return Ok(None) };
        let path = names.iter().map(|name| format!("/{}", String::from_utf8_lossy(name))).collect();
        Ok(Some((inode, path)))
    }

    /// The target of the link `inode`.
    pub fn link_target(&self, inode: &Inode) -> Result<Vec<u8>> {
        match inode.short_target() {
            Some(target) => Ok(target.to_vec()),
            None if inode.size > 0 => self.content(inode, MAX_PATH).context("reading a link"),
            None => bail!(Verification, "a link has no target"),
        }
    }

    /// The inode at `path`, and the names from the root to the inode, without links; `None` where there is no such
    /// inode.
    fn walk(&self, path: &[u8], last: LastLink) -> Result<Option<(Inode, Vec<Vec<u8>>)>> {
        // The remaining names, the next one last.
        let mut ahead = reversed_names(path);
        // The inodes from the root to the current one, with their names.
        let mut walked = vec![(self.inode(ROOT)?, Vec::new())];
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            self.spend_step()?;
            let Some((folder, folder_name)) = walked.last() else { break };
            if !folder.is_folder() {
                let folder_name = String::from_utf8_lossy(folder_name);
                bail!(Verification, "`{}` on the way is not a folder", Plain(folder_name));
            }
            if name == b".." {
                // The parent of the root is the root.
                walked.truncate(walked.len().saturating_sub(1).max(1));
                continue;
            }
            let Some(number) = self.names(folder)?.get(&name[..]).copied() else { return Ok(None) };
            let found = self.inode(number)?;
            if !found.is_link() || (last == LastLink::Keep && ahead.is_empty()) {
                walked.push((found, name));
                continue;
            }
            links += 1;
            let target = self.link_target(&found)?;
            if links > MAX_LINKS || ahead.len() as u64 > MAX_PATH {
                bail!(Verification, "the links in the path form a circle");
            }
            if target.starts_with(b"/") {
                walked.truncate(1);
            }
            ahead.extend(reversed_names(&target));
        }
        let names = walked.iter().skip(1).map(|(_, name)| name.clone()).collect();
        Ok(walked.pop().map(|(inode, _)| (inode, names)))
    }
}

/// The names in `path`, in reverse order.
pub(super) fn reversed_names(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    names.rev().map(<[u8]>::to_vec).collect()
}
