//! The facts about a file system that is read once, and the files that they lead to.

use std::collections::{BTreeMap, HashMap};

use super::super::Inode;
use super::super::mapping::{self, DiskRun, ShortMap};
use super::super::path::{MAX_LINKS, ROOT, reversed_names};
use super::IsRelevant;

/// The memory that all facts may take, in bytes. A NixOS system with 100,000 folders takes 2 MiB.
const MAX_MEMORY: usize = 6 << 20;

/// The bytes that are counted for an entry or a link, besides its text.
const OVERHEAD: usize = 64;

/// Consecutive blocks of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FolderRun {
    /// The first block.
    start: u64,
    blocks: u32,
    /// The inode of the folder.
    folder: u32,
}

/// The error where the facts take more than [`MAX_MEMORY`].
#[derive(Debug)]
pub struct TooManyFacts;

/// The facts about the part of a file system that was read.
pub struct Facts {
    pub is_relevant: IsRelevant,
    folders: Vec<FolderRun>,
    /// The inodes of folders, by the blocks that have nodes of their extent trees and are not read yet.
    nodes: HashMap<u64, u32>,
    /// A bit for each inode, set if the inode is a file that is not empty.
    filled: Vec<u8>,
    /// The targets of the links whose every part is relevant, by inode.
    links: HashMap<u32, Vec<u8>>,
    /// The relevant entries: the block of each, its name and its inode.
    entries: Vec<(u64, Box<[u8]>, u32)>,
    /// The memory of nodes, links and entries, in bytes.
    counted: usize,
}

impl Facts {
    pub fn new(is_relevant: IsRelevant) -> Self {
        Self {
            is_relevant,
            folders: Vec::new(),
            nodes: HashMap::new(),
            filled: Vec::new(),
            links: HashMap::new(),
            entries: Vec::new(),
            counted: 0,
        }
    }

    /// Keeps the facts of `inode`.
    pub fn keep_inode(&mut self, inode: &Inode) -> Result<(), TooManyFacts> {
        if inode.is_folder() {
            match mapping::short_map(inode) {
                ShortMap::Runs(runs) => self.keep_runs(inode.number, runs),
                ShortMap::Nodes(nodes) => {
                    self.counted += OVERHEAD * nodes.len();
                    self.nodes.extend(nodes.into_iter().map(|node| (node, inode.number)));
                }
                ShortMap::Unknown => {}
            }
        } else if inode.is_file() && inode.size > 0 {
            let at = usize::try_from(inode.number / 8).map_err(|_| TooManyFacts)?;
            if at >= self.filled.len() {
                self.check_memory(at - self.filled.len())?;
                self.filled.resize(at + 1, 0);
            }
            self.filled[at] |= 1 << (inode.number % 8);
        } else if let Some(target) = inode.short_target() {
            let names = reversed_names(target);
            if names.iter().all(|name| name == b".." || (self.is_relevant)(name)) {
                self.counted += OVERHEAD + target.len();
                self.links.insert(inode.number, target.to_vec());
            }
        }
        self.check_memory(0)
    }

    fn keep_runs(&mut self, folder: u32, runs: Vec<DiskRun>) {
        let runs = runs.into_iter().map(|DiskRun { start, blocks }| FolderRun { start, blocks, folder });
        self.folders.extend(runs);
    }

    /// Keeps the runs in block `number` if the block is a node of the extent tree of a folder. Returns whether it is.
    pub fn keep_node(&mut self, number: u64, bytes: &[u8]) -> bool {
        let Some(folder) = self.nodes.remove(&number) else { return false };
        self.keep_runs(folder, mapping::node_runs(bytes));
        true
    }

    /// Keeps the relevant `entries` of block `number`.
    pub fn keep_entries(&mut self, number: u64, entries: Vec<(Box<[u8]>, u32)>) -> Result<(), TooManyFacts> {
        for (name, inode) in entries {
            self.counted += OVERHEAD + name.len();
            self.entries.push((number, name, inode));
        }
        self.check_memory(0)
    }

    /// Fails where the facts and `more` bytes take too much memory.
    fn check_memory(&self, more: usize) -> Result<(), TooManyFacts> {
        let folders = self.folders.len() * size_of::<FolderRun>();
        let taken = folders + self.filled.len() + self.counted + more;
        if taken <= MAX_MEMORY { Ok(()) } else { Err(TooManyFacts) }
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

/// The relevant folders, files and links of a file system.
#[derive(Default)]
pub struct FoundFiles {
    /// The entries of folders by the inode of the folder.
    folders: HashMap<u32, BTreeMap<Box<[u8]>, u32>>,
    /// A bit for each inode, set if the inode is a file that is not empty.
    filled: Vec<u8>,
    /// The targets of links, by inode.
    links: HashMap<u32, Vec<u8>>,
}

impl FoundFiles {
    /// The files in the folder at `path` that are not empty and whose name `is_wanted`: their names and inodes. Links
    /// are followed.
    pub fn filled_files(&self, path: &str, is_wanted: IsRelevant) -> Vec<(&[u8], u32)> {
        let Some(walked) = self.walk(&[ROOT], path.as_bytes()) else { return Vec::new() };
        let entries = walked.last().and_then(|folder| self.folders.get(folder));
        let names = entries.into_iter().flatten().map(|(name, _)| &**name).filter(|name| is_wanted(name));
        let file = |name| {
            let inode = *self.walk(&walked, name)?.last()?;
            self.is_filled(inode).then_some((name, inode))
        };
        names.filter_map(file).collect()
    }

    /// Whether `inode` is a file that is not empty.
    fn is_filled(&self, inode: u32) -> bool {
        let byte = usize::try_from(inode / 8).ok().and_then(|at| self.filled.get(at));
        byte.is_some_and(|byte| byte & 1 << (inode % 8) != 0)
    }

    /// The inodes from the root to `path`, which is relative to the last of the inodes `from`; `None` where `path`
    /// leads to nothing known. A link to /nix leads to the root where the file system has no /nix: then the host mounts
    /// the file system at /nix.
    fn walk(&self, from: &[u32], path: &[u8]) -> Option<Vec<u32>> {
        let mut walked = from.to_vec();
        let mut ahead = reversed_names(path);
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
            ahead.extend(reversed_names(target));
        }
        Some(walked)
    }
}
