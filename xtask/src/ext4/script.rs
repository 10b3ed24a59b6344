//! The commands for debugfs that put files into a file system.

use std::fs::File;

use anyhow::Result;
use std::fmt::Write as _;

use super::look::{There, View};
use super::memory;
use crate::identity::{Entry, PLACE, What};

/// Commands, and what they take their content from.
pub struct Script {
    pub commands: String,
    /// What the file system has already, relative to [`PLACE`].
    pub replaced: Vec<String>,
    /// The content of the files. It is there as long as this is.
    contents: Vec<File>,
}

/// The commands that put `entries` where `there` has something else.
pub fn write(entries: &[Entry], there: &View) -> Result<Script> {
    let mut script = Script { commands: String::new(), replaced: Vec::new(), contents: Vec::new() };
    if there.look(PLACE)? == There::Nothing {
        script.folder(PLACE, 0o755, 0, 0);
    }
    for entry in entries {
        script.entry(entry, there)?;
    }
    Ok(script)
}

impl Script {
    fn entry(&mut self, entry: &Entry, there: &View) -> Result<()> {
        let path = format!("{PLACE}/{}", entry.path);
        let (user, group) = (entry.owner.user, entry.owner.group);
        let found = there.look(&path)?;
        match (&entry.what, found) {
            (What::Folder, There::Folder) => return Ok(()),
            (What::Folder, There::Nothing) => self.folder(&path, entry.mode, user, group),
            (What::Folder, There::Other) | (_, There::Folder) => {
                let text = format!(
                    "the image has a folder where there should be none, or none where there should be one: {path}"
                );
                return Err(super::wrong(text));
            }
            (What::File(_) | What::Link(_), There::Other) => {
                self.say(&["rm", &path]);
                self.replaced.push(entry.path.clone());
            }
            (What::File(_) | What::Link(_), There::Nothing) => {}
        }
        match &entry.what {
            What::Folder => {}
            What::Link(target) => {
                self.say(&["symlink", &path, target]);
                self.owned(&path, user, group);
            }
            What::File(content) => {
                let file = memory::holding("content", content.reveal())?;
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
                // It is only in its own folder that debugfs makes a file.
                self.say(&["cd", folder]);
                self.say(&["write", &memory::path(&file), name]);
                self.attributes(&path, 0o100_000 | u32::from(entry.mode), user, group);
                self.contents.push(file);
            }
        }
        Ok(())
    }

    fn folder(&mut self, path: &str, mode: u16, user: u32, group: u32) {
        self.say(&["mkdir", path]);
        self.attributes(path, 0o040_000 | u32::from(mode), user, group);
    }

    /// `mode` is with the kind of file, in the form of `stat`.
    fn attributes(&mut self, path: &str, mode: u32, user: u32, group: u32) {
        self.say(&["sif", path, "mode", &format!("0{mode:o}")]);
        self.owned(path, user, group);
    }

    fn owned(&mut self, path: &str, user: u32, group: u32) {
        // The upper halves have fields of their own.
        for (field, number) in [("uid", user), ("gid", group)] {
            self.say(&["sif", path, field, &(number & 0xffff).to_string()]);
            if number > 0xffff {
                self.say(&["sif", path, &format!("{field}_high"), &(number >> 16).to_string()]);
            }
        }
    }

    /// Adds a command of these words, quoted as debugfs takes them.
    fn say(&mut self, words: &[&str]) {
        let words = words.iter().map(|word| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
            if !word.is_empty() && word.chars().all(plain) {
                (*word).to_owned()
            } else {
                format!("\"{}\"", word.replace('"', "\"\""))
            }
        });
        let _ = writeln!(self.commands, "{}", words.collect::<Vec<_>>().join(" "));
    }
}
