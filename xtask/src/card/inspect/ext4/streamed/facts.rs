//! The facts about a file system that is read once, and the files that they lead to.

use std::collections::{BTreeMap, HashMap};

use super::super::Inode;
use super::super::mapping::{self, ShortMap};
use super::super::path::{MAX_LINKS, ROOT, split};
use super::IsOnTheWay;

/// The memory that all facts may take, in bytes. A NixOS system with 100,000 folders takes 2 MiB.
const MAX_MEMORY: usize = 6 << 20;

/// The bytes that are counted for an entry or a link, besides its text.
const OVERHEAD: usize = 64;

/// Consecutive blocks of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FolderRun {
    start: u64,
    blocks: u32,
    folder: u32,
}

/// The facts so far.
pub struct Facts {
    pub is_on_the_way: IsOnTheWay,
    folders: Vec<FolderRun>,
    /// The nodes of extent trees that are still ahead, with their folders.
    nodes: HashMap<u64, u32>,
    /// A bit for each inode that is a file and not empty.
    filled: Vec<u8>,
    /// The targets of the links whose parts are all on the way.
    links: HashMap<u32, Vec<u8>>,
    /// The entries on the way: the block that they stand in, their name and their inode.
    entries: Vec<(u64, Box<[u8]>, u32)>,
    text: usize,
}

impl Facts {
    pub fn new(is_on_the_way: IsOnTheWay) -> Self {
        Self {
            is_on_the_way,
            folders: Vec::new(),
            nodes: HashMap::new(),
            filled: Vec::new(),
            links: HashMap::new(),
            entries: Vec::new(),
            text: 0,
        }
    }

    /// Keeps what matters of `inode`; `None` where the facts take too much memory.
    pub fn keep_inode(&mut self, inode: &Inode) -> Option<()> {
        if inode.is_folder() {
            match mapping::short_map(inode) {
                ShortMap::Runs(runs) => self.keep_runs(inode.number, runs),
                ShortMap::Nodes(nodes) => {
                    self.text += OVERHEAD * nodes.len();
                    self.nodes.extend(nodes.into_iter().map(|node| (node, inode.number)));
                }
                ShortMap::Unknown => {}
            }
        } else if inode.is_file() && inode.size > 0 {
            let at = usize::try_from(inode.number / 8).ok()?;
            if at >= self.filled.len() {
                self.check_memory(at - self.filled.len())?;
                self.filled.resize(at + 1, 0);
            }
            self.filled[at] |= 1 << (inode.number % 8);
        } else if let Some(target) = inode.short_target() {
            let is_kept = split(target).iter().all(|name| name == b".." || (self.is_on_the_way)(name));
            if is_kept {
                self.text += OVERHEAD + target.len();
                self.links.insert(inode.number, target.to_vec());
            }
        }
        self.check_memory(0)
    }

    fn keep_runs(&mut self, folder: u32, runs: Vec<(u64, u32)>) {
        self.folders.extend(runs.into_iter().map(|(start, blocks)| FolderRun { start, blocks, folder }));
    }

    /// Keeps the runs in block `number` if it is a node of the extent tree of a folder; otherwise `None`.
    pub fn keep_node(&mut self, number: u64, bytes: &[u8]) -> Option<()> {
        let folder = self.nodes.remove(&number)?;
        self.keep_runs(folder, mapping::node_runs(bytes));
        Some(())
    }

    /// Keeps the entries on the way in block `number`.
    pub fn keep_entries(&mut self, number: u64, entries: Vec<(Box<[u8]>, u32)>) -> Option<()> {
        for (name, inode) in entries {
            self.text += OVERHEAD + name.len();
            self.entries.push((number, name, inode));
        }
        self.check_memory(0)
    }

    /// `None` where the facts and `more` bytes take too much memory.
    fn check_memory(&self, more: usize) -> Option<()> {
        let folders = self.folders.len() * size_of::<FolderRun>();
        (folders + self.filled.len() + self.text + more <= MAX_MEMORY).then_some(())
    }

    /// The files that the facts lead to.
    pub fn resolve(mut self) -> FoundFiles {
        self.folders.sort_unstable();
        let mut folders = HashMap::<u32, BTreeMap<Box<[u8]>, u32>>::new();
        for (block, name, inode) in self.entries {
            let index = self.folders.partition_point(|run| run.start <= block);
            let run = index.checked_sub(1).map(|index| self.folders[index]);
            if let Some(run) = run.filter(|run| block - run.start < run.blocks.into()) {
                folders.entry(run.folder).or_default().insert(name, inode);
            }
        }
        FoundFiles { folders, filled: self.filled, links: self.links }
    }
}

/// The files on the way that a file system has.
#[derive(Default)]
pub struct FoundFiles {
    /// The entries of folders by the inode of the folder.
    folders: HashMap<u32, BTreeMap<Box<[u8]>, u32>>,
    filled: Vec<u8>,
    links: HashMap<u32, Vec<u8>>,
}

impl FoundFiles {
    /// The names of the files in the folder at `path` that are not empty and have a name that `is_wanted`, each with its
    /// inode. Links are followed.
    pub fn filled_files(&self, path: &str, is_wanted: IsOnTheWay) -> Vec<(&[u8], u32)> {
        let Some(walked) = self.walk(&[ROOT], path.as_bytes()) else { return Vec::new() };
        let entries = walked.last().and_then(|folder| self.folders.get(folder));
        let names = entries.into_iter().flatten().map(|(name, _)| &**name).filter(|name| is_wanted(name));
        let file = |name| {
            let inode = *self.walk(&walked, name)?.last()?;
            self.is_filled(inode).then_some((name, inode))
        };
        names.filter_map(file).collect()
    }

    fn is_filled(&self, inode: u32) -> bool {
        let byte = usize::try_from(inode / 8).ok().and_then(|at| self.filled.get(at));
        byte.is_some_and(|byte| byte & 1 << (inode % 8) != 0)
    }

    /// The inodes from the root to `path`, which begins at the last of the inodes `from`. On a host whose /nix is this
    /// file system, a link to /nix leads to its root.
    fn walk(&self, from: &[u32], path: &[u8]) -> Option<Vec<u32>> {
        let mut walked = from.to_vec();
        let mut ahead = split(path);
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == b".." {
                walked.truncate(walked.len().saturating_sub(1).max(1));
                continue;
            }
            let entries = self.folders.get(walked.last()?);
            let Some(found) = entries.and_then(|entries| entries.get(&name[..]).copied()) else {
                if name == b"nix" && walked.len() == 1 && links > 0 {
                    continue;
                }
                return None;
            };
            let Some(target) = self.links.get(&found) else {
                walked.push(found);
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return None;
            }
            if target.starts_with(b"/") {
                walked.truncate(1);
            }
            ahead.extend(split(target));
        }
        Some(walked)
    }
}
