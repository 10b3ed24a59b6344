//! From a path to what is there.

use anyhow::{Context, Result};

use super::superblock::wrong;
use super::{Ext4, Inode};

/// As many links, and a path as long, as Linux follows.
const LINKS: usize = 40;
const LONGEST: u64 = 4096;
/// The inode of the root folder.
const ROOT: u32 = 2;

/// What to do with a link as the last part of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Followed,
    Itself,
}

impl Ext4<'_> {
    /// What is at `path`, with links followed; nothing where there is none.
    pub fn find(&self, path: &str) -> Result<Option<Inode>> {
        Ok(self.walk(path.as_bytes(), Last::Followed)?.map(|(inode, _)| inode))
    }

    /// What is at `path` itself: a link as its last part is not followed.
    pub fn find_itself(&self, path: &str) -> Result<Option<Inode>> {
        Ok(self.walk(path.as_bytes(), Last::Itself)?.map(|(inode, _)| inode))
    }

    /// What is at `path`, with links followed, and its path without them.
    pub fn resolve(&self, path: &str) -> Result<Option<(Inode, String)>> {
        let found = self.walk(path.as_bytes(), Last::Followed)?;
        Ok(found.map(|(inode, names)| {
            (inode, names.iter().map(|name| format!("/{}", String::from_utf8_lossy(name))).collect())
        }))
    }

    /// Where the link `inode` leads.
    pub fn target(&self, inode: &Inode) -> Result<Vec<u8>> {
        match usize::try_from(inode.size) {
            Ok(len @ 1..60) => Ok(inode.block[..len].to_vec()),
            Ok(60..) => self.content(inode, LONGEST).context("reading a link"),
            _ => Err(wrong("a link leads nowhere")),
        }
    }

    fn walk(&self, path: &[u8], last: Last) -> Result<Option<(Inode, Vec<Vec<u8>>)>> {
        // What is still to be done, the next name last; where this has come to, and the name of each step.
        let (mut ahead, mut links) = (split(path), 0);
        let mut at = vec![(self.inode(ROOT)?, Vec::new())];
        while let Some(name) = ahead.pop() {
            self.step()?;
            let Some((folder, _)) = at.last() else { break };
            if !folder.is_folder() {
                return Err(wrong("a part of the path is no folder"));
            }
            if name == b".." {
                // Nothing is above the root.
                at.truncate(at.len().saturating_sub(1).max(1));
                continue;
            }
            let Some(number) = self.names(folder)?.get(&name[..]).copied() else { return Ok(None) };
            let found = self.inode(number)?;
            if !found.is_link() || (last == Last::Itself && ahead.is_empty()) {
                at.push((found, name));
                continue;
            }
            links += 1;
            let target = self.target(&found)?;
            if links > LINKS || ahead.len() as u64 > LONGEST {
                return Err(wrong("its links lead in a circle"));
            }
            if target.starts_with(b"/") {
                at.truncate(1);
            }
            ahead.extend(split(&target));
        }
        let names = at.iter().skip(1).map(|(_, name)| name.clone()).collect();
        Ok(at.pop().map(|(inode, _)| (inode, names)))
    }
}

/// The names in a path, the first one last.
fn split(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    names.rev().map(<[u8]>::to_vec).collect()
}
