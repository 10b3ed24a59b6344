//! Writes the entries of a state into the file system of an image, by scripts for debugfs. The files of a script are in
//! memory, or without a name in the folder of the image.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::{RawFile, content};
use crate::bail;
use crate::base::{Phase, Plain};
use crate::card::ext4::{DebugfsScript, E2fsprogs, Ext4Reader, Limits, PathState};
use crate::card::image::Ext4Region;
use crate::card::inspect::Budget;
use crate::card::saved_state::{Modified, StateEntry, StateKind, check_stop};
use crate::identity::{Owner, PayloadRoot};

/// The most files of one script: each is an open descriptor of this process.
const MAX_FILES: usize = 400;
/// The most bytes of the files of one script, unless one file has more.
const MAX_BYTES: u64 = 128 << 20;
/// The most bytes of the commands of one script.
const MAX_COMMANDS: usize = 1 << 20;
/// The last time that an inode can have, in seconds since 1970.
const LAST_SECOND: i64 = (1 << 34) - (1 << 31) - 1;

/// What was written to a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub kind: MadeKind,
    pub mode: u16,
    pub owner: Owner,
    /// `None` for a folder that the state has no entry for.
    pub modified: Option<Modified>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MadeKind {
    Folder,
    File { size: u64, hash: blake3::Hash },
    Link(String),
}

/// All that was written, by its path in the file system.
pub type AllMade = HashMap<String, Made>;

/// Writes a state to one file system.
pub struct StateWriter<'a> {
    raw: &'a RawFile,
    region: &'a Ext4Region,
    root: &'a PayloadRoot,
    programs: &'a E2fsprogs,
    cancel: &'a AtomicBool,
    script: DebugfsScript,
    /// The bytes of the files of the script.
    script_bytes: u64,
    made: AllMade,
    /// The folders that are known, and whether the image had them before.
    folders: HashMap<String, bool>,
}

impl<'a> StateWriter<'a> {
    pub fn new(
        raw: &'a RawFile,
        region: &'a Ext4Region,
        root: &'a PayloadRoot,
        programs: &'a E2fsprogs,
        cancel: &'a AtomicBool,
    ) -> Self {
        let folders = HashMap::from([(String::new(), true)]);
        let script = DebugfsScript::empty();
        Self { raw, region, root, programs, cancel, script, script_bytes: 0, made: HashMap::new(), folders }
    }

    /// Writes `entry`, a file with this `content`.
    ///
    /// # Errors
    /// `Refused` for an entry that cannot be at its path, such as one below a link: a link may lead anywhere.
    pub fn add(&mut self, entry: StateEntry, content: &mut dyn Read, phase: &mut Phase) -> Result<()> {
        check_stop(self.cancel)?;
        let path = match (entry.path.as_str(), self.root.folder()) {
            // The root of the file system stays as it is.
            ("", "/") => return Ok(()),
            ("", folder) => folder.to_owned(),
            (inner, _) => self.root.join(inner),
        };
        self.make_parents(&path)?;
        let state = self.state(&path)?;
        let StateEntry { kind, mode, owner, modified, .. } = entry;
        let kind = match kind {
            StateKind::Folder => self.add_folder(&path, state, mode, owner)?,
            _ if state == PathState::Folder => bail!(
                Refused,
                "{} is a folder, which a file or a link of the state cannot replace",
                Plain(&path)
            ),
            StateKind::Link(target) => {
                self.remove(&path, state)?;
                self.script.make_link(&path, &target, owner)?;
                MadeKind::Link(target)
            }
            StateKind::File(size) => {
                let (file, hash) = content::copy(self.raw.folder(), size, content, self.cancel, phase)?;
                self.script_bytes += size;
                self.remove(&path, state)?;
                self.script.write_open_file(&path, file, mode, owner)?;
                MadeKind::File { size, hash }
            }
            StateKind::HardLink(target) => {
                self.add_copy(&path, &self.root.join(target), state, mode, owner, phase)?
            }
        };
        let modified = Modified { seconds: modified.seconds.clamp(0, LAST_SECOND), ..modified };
        if kind != MadeKind::Folder {
            self.set_modified(&path, modified)?;
        }
        self.made.insert(path, Made { kind, mode, owner, modified: Some(modified) });
        self.flush_if_full()
    }

    /// Writes what is left, and the times of the folders, which each new entry may have changed. Returns all that was
    /// written.
    pub fn finish(mut self) -> Result<AllMade> {
        let folders = self.made.iter().filter(|(_, made)| made.kind == MadeKind::Folder);
        let times =
            folders.filter_map(|(path, made)| Some((path.clone(), made.modified?))).collect::<Vec<_>>();
        for (path, modified) in times {
            self.set_modified(&path, modified)?;
            self.flush_if_full()?;
        }
        self.flush()?;
        Ok(self.made)
    }

    fn set_modified(&mut self, path: &str, modified: Modified) -> Result<()> {
        self.script.set_modified(path, modified.seconds.cast_unsigned(), modified.nanoseconds)
    }

    /// Makes the folders that contain `path`, and that are not there yet.
    fn make_parents(&mut self, path: &str) -> Result<()> {
        for (end, _) in path.match_indices('/').skip(1) {
            let folder = &path[..end];
            if self.folders.contains_key(folder) {
                continue;
            }
            match self.state(folder)? {
                PathState::Folder => drop(self.folders.insert(folder.to_owned(), true)),
                PathState::Other => {
                    bail!(
                        Refused, "{} must be a folder for {}, but is a file or a link", Plain(folder), Plain(path);
                        hint: "name another folder of the state with --state-path, or leave that file out of the state"
                    );
                }
                PathState::Missing => {
                    self.script.make_folder(folder, 0o755, Owner::ROOT)?;
                    let made =
                        Made { kind: MadeKind::Folder, mode: 0o755, owner: Owner::ROOT, modified: None };
                    self.made.insert(folder.to_owned(), made);
                    self.folders.insert(folder.to_owned(), false);
                }
            }
        }
        Ok(())
    }

    /// What is at `path`, whose parents exist, with what was written so far.
    fn state(&self, path: &str) -> Result<PathState> {
        if let Some(made) = self.made.get(path) {
            return Ok(if made.kind == MadeKind::Folder { PathState::Folder } else { PathState::Other });
        }
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        if self.folders.get(parent) == Some(&false) {
            return Ok(PathState::Missing);
        }
        let file = File::open(self.raw.path()).context("opening the image")?;
        Ext4Reader::open(&file, self.region, Budget::new(self.cancel))?.state(path)
    }

    fn add_folder(&mut self, path: &str, state: PathState, mode: u16, owner: Owner) -> Result<MadeKind> {
        match state {
            PathState::Folder => self.script.set_folder(path, mode, owner)?,
            state => {
                self.remove(path, state)?;
                self.script.make_folder(path, mode, owner)?;
                self.folders.insert(path.to_owned(), false);
            }
        }
        Ok(MadeKind::Folder)
    }

    /// Removes the file or the link at `path`, if `state` tells that there is one.
    fn remove(&mut self, path: &str, state: PathState) -> Result<()> {
        if state == PathState::Other { self.script.remove(path) } else { Ok(()) }
    }

    /// Writes a copy of the file or the link `target`, which was written before, to `path`.
    fn add_copy(
        &mut self,
        path: &str,
        target: &str,
        state: PathState,
        mode: u16,
        owner: Owner,
        phase: &mut Phase,
    ) -> Result<MadeKind> {
        let (size, hash) = match self.made.get(target).map(|made| made.kind.clone()) {
            Some(MadeKind::File { size, hash }) => (size, hash),
            Some(MadeKind::Link(target)) => {
                self.remove(path, state)?;
                self.script.make_link(path, &target, owner)?;
                return Ok(MadeKind::Link(target));
            }
            Some(MadeKind::Folder) | None => bail!(
                Refused,
                "{} is another name of {}, which is no file of the state before it",
                Plain(path),
                Plain(target)
            ),
        };
        self.flush()?;
        let mut file = content::empty_file(self.raw.folder(), size)?;
        let disk = File::open(self.raw.path()).context("opening the image")?;
        Ext4Reader::open(&disk, self.region, Budget::new(self.cancel).with_more_bytes(2 * size))?.read_file(
            target,
            |piece| {
                check_stop(self.cancel)?;
                phase.advance(piece.len());
                Ok(file.write_all(piece)?)
            },
        )?;
        self.remove(path, state)?;
        self.script.write_open_file(path, file, mode, owner)?;
        self.script_bytes += size;
        Ok(MadeKind::File { size, hash })
    }

    fn flush_if_full(&mut self) -> Result<()> {
        let is_full = self.script.open_files() >= MAX_FILES
            || self.script_bytes >= MAX_BYTES
            || self.script.commands.len() >= MAX_COMMANDS;
        if is_full { self.flush() } else { Ok(()) }
    }

    /// Runs the script, and begins a new one. debugfs goes on after an error: only reading back shows what it did.
    fn flush(&mut self) -> Result<()> {
        let script = std::mem::replace(&mut self.script, DebugfsScript::empty());
        self.script_bytes = 0;
        if script.is_empty() {
            return Ok(());
        }
        let limits = Limits { cancel: self.cancel, memory: None };
        self.programs.debugfs(&script, &self.raw.file_system(self.region), &limits)?;
        Ok(())
    }
}
