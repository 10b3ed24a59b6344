//! The script for debugfs that writes a payload into a file system.

mod state;

use std::fmt::Write as _;
use std::fs::File;

use anyhow::Result;

use super::reader::PathState;
use crate::bail;
use crate::base::failure::ExitKind;
use crate::base::{Bytes, Plain, memfd};
use crate::identity::{EntryKind, Owner, PayloadEntry, PayloadRoot, Secret};

/// The longest command, in bytes. debugfs reads its script in pieces of 8192 bytes: it would run the rest of a longer
/// command as a command of its own, possibly one for a shell.
const MAX_COMMAND: usize = 4000;

/// The largest length of the paths of all entries together, in bytes: each path is in up to six commands.
const MAX_PATHS: usize = 1 << 20;

/// The longest path of a memfd with the content of a file.
const LONGEST_CONTENT_PATH: &str = "/proc/4294967295/fd/4294967295";

/// The commands, and the files that they read.
pub struct DebugfsScript {
    pub commands: String,
    /// The paths that the script replaces in the file system, relative to the folder of the [`PayloadRoot`].
    pub replaced: Vec<String>,
    /// The memfds with the content of the files, which must outlive debugfs.
    contents: Vec<File>,
}

/// Fails where one of `entries` in `root` cannot be written by a command, and where their paths are too long together.
///
/// # Errors
/// Of [`ExitKind::Refused`], with the path.
pub fn check(root: &PayloadRoot, entries: &[PayloadEntry]) -> Result<()> {
    let paths = entries.iter().map(|entry| entry.path.len()).sum::<usize>();
    if paths > MAX_PATHS {
        bail!(
            Refused, "the paths of the files for the card have {} together, more than {}",
            Bytes(paths as u64), Bytes(MAX_PATHS as u64);
            hint: "give fewer files with --files and copy the rest to the running host, or shorten the names of the \
                   folders"
        );
    }
    root.folders().try_for_each(|folder| command(folder, &["mkdir", folder]).map(|_| ()))?;
    entries.iter().try_for_each(|entry| {
        let path = root.join(&entry.path);
        let words = match &entry.kind {
            EntryKind::Link(target) => ["symlink", &path, target],
            // No command for a file or a folder is longer than this.
            EntryKind::File(_) | EntryKind::Folder => ["write", LONGEST_CONTENT_PATH, &path],
        };
        command(&path, &words).map(|_| ())
    })
}

/// Fails with an error of `exit_kind` where an entry of the kind `entry` cannot be written to `path`, where the file
/// system has `state`: files and links are replaced, folders are not.
pub fn check_type(exit_kind: ExitKind, entry: &EntryKind, path: &str, state: PathState) -> Result<()> {
    let path = Plain(path);
    let message = match (entry, state) {
        (EntryKind::Folder, PathState::Other) => {
            format!("{path} must be a folder, but is a file or a link in the image")
        }
        (EntryKind::File(_) | EntryKind::Link(_), PathState::Folder) => {
            format!("{path} is a folder in the image, which a file or a link cannot replace")
        }
        _ => return Ok(()),
    };
    Err(exit_kind.error_with_hint(
        message,
        "build an image without it, or rename it if it is in the folder of --files",
    ))
}

/// The longest target of a link, in bytes: it fits into the smallest block.
const MAX_TARGET: usize = 1000;

/// The longest name of a file, in bytes.
const MAX_NAME: usize = 255;

/// Whether debugfs can write a file, a folder, or a link to `target`, at `path`. Without a link, `target` is empty.
pub fn can_write(path: &str, target: &str) -> bool {
    let is_short = path.split('/').chain(target.split('/')).all(|name| name.len() <= MAX_NAME);
    let commands = [["symlink", path, target], ["write", LONGEST_CONTENT_PATH, path]];
    is_short && target.len() <= MAX_TARGET && commands.iter().all(|words| command(path, words).is_ok())
}

/// Builds the script that writes `entries` into the folder `root` of a file system; `state` returns what the file
/// system has at a path.
pub fn build_script(
    root: &PayloadRoot,
    entries: &[PayloadEntry],
    state: impl Fn(&str) -> Result<PathState>,
) -> Result<DebugfsScript> {
    let mut script = DebugfsScript { commands: String::new(), replaced: Vec::new(), contents: Vec::new() };
    for folder in root.folders() {
        let found = state(folder)?;
        check_type(ExitKind::Verification, &EntryKind::Folder, folder, found)?;
        if found == PathState::Missing {
            script.make_folder(folder, 0o755, Owner::ROOT)?;
        }
    }
    for entry in entries {
        let path = root.join(&entry.path);
        script.write_entry(entry, &path, state(&path)?)?;
    }
    Ok(script)
}

impl DebugfsScript {
    /// Adds the commands that write `entry` to `path`, where the file system has `state`.
    fn write_entry(&mut self, entry: &PayloadEntry, path: &str, state: PathState) -> Result<()> {
        check_type(ExitKind::Verification, &entry.kind, path, state)?;
        if state == PathState::Other {
            self.remove(path)?;
            self.replaced.push(entry.path.clone());
        }
        match &entry.kind {
            EntryKind::Folder if state == PathState::Folder => {}
            EntryKind::Folder => self.make_folder(path, entry.mode, entry.owner)?,
            EntryKind::Link(target) => self.make_link(path, target, entry.owner)?,
            EntryKind::File(content) => self.write_file(path, content, entry.mode, entry.owner)?,
        }
        Ok(())
    }

    /// Adds the commands that write a file to `path`.
    fn write_file(&mut self, path: &str, content: &Secret, mode: u16, owner: Owner) -> Result<()> {
        let file = memfd::file_with("content", content.reveal())?;
        self.write_open_file(path, file, mode, owner)
    }

    /// Adds the commands that write the content of `file`, which children inherit, to `path`.
    pub fn write_open_file(&mut self, path: &str, file: File, mode: u16, owner: Owner) -> Result<()> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = if folder.is_empty() { "/" } else { folder };
        // debugfs creates files only in its working directory.
        self.push_command(path, &["cd", folder])?;
        self.push_command(path, &["write", &memfd::path(&file), name])?;
        self.set_mode_and_owner(path, 0o100_000 | u32::from(mode), owner)?;
        self.contents.push(file);
        Ok(())
    }

    /// Adds the commands that make a folder at `path`.
    pub fn make_folder(&mut self, path: &str, mode: u16, owner: Owner) -> Result<()> {
        self.push_command(path, &["mkdir", &path_with_folder(path)])?;
        self.set_mode_and_owner(path, 0o040_000 | u32::from(mode), owner)
    }

    /// Adds the commands that make a link to `target` at `path`.
    pub fn make_link(&mut self, path: &str, target: &str, owner: Owner) -> Result<()> {
        self.push_command(path, &["symlink", &path_with_folder(path), target])?;
        self.set_owner(path, owner)
    }

    /// Adds the command that removes the file or link at `path`.
    pub fn remove(&mut self, path: &str) -> Result<()> {
        self.push_command(path, &["rm", &path_with_folder(path)])
    }

    /// Adds the commands that set the owner of the inode at `path`, and its `mode`, which has the file type as in
    /// `stat`.
    fn set_mode_and_owner(&mut self, path: &str, mode: u32, owner: Owner) -> Result<()> {
        self.push_command(path, &["sif", path, "mode", &format!("0{mode:o}")])?;
        self.set_owner(path, owner)
    }

    fn set_owner(&mut self, path: &str, owner: Owner) -> Result<()> {
        self.push_command(path, &["sif", path, "uid", &owner.user.to_string()])?;
        self.push_command(path, &["sif", path, "gid", &owner.group.to_string()])
    }

    /// Adds the command of `words` for `path`.
    fn push_command(&mut self, path: &str, words: &[&str]) -> Result<()> {
        let line = command(path, words)?;
        let _ = writeln!(self.commands, "{line}");
        Ok(())
    }
}

/// `path` for a command that changes the folder of `path`. debugfs takes the part before the last `/` for that folder,
/// and an empty part for its working directory: so an entry of the root folder gets a `.` as that part.
fn path_with_folder(path: &str) -> String {
    match path.strip_prefix('/') {
        Some(name) if !name.contains('/') => format!("/./{name}"),
        _ => path.to_owned(),
    }
}

/// The command of `words`, quoted for debugfs. The error for an impossible command names `path`.
fn command(path: &str, words: &[&str]) -> Result<String> {
    let quoted = words.iter().map(|word| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
        if !word.is_empty() && word.chars().all(is_plain) {
            (*word).to_owned()
        } else {
            format!("\"{}\"", word.replace('"', "\"\""))
        }
    });
    let line = quoted.collect::<Vec<_>>().join(" ");
    if line.len() > MAX_COMMAND {
        bail!(
            Refused, "{} cannot be written to a card: its path, with the target of a link, is too long", Plain(path);
            hint: "shorten the names in its path, or the target of the link"
        );
    }
    // A line end would begin another command.
    if line.chars().any(char::is_control) {
        bail!(
            Refused, "{} cannot be written to a card: its path, or the target of a link, contains control characters",
            Plain(path);
            hint: "rename it, give the link another target, or leave it out of the folder of --files"
        );
    }
    Ok(line)
}

#[cfg(test)]
mod tests;
