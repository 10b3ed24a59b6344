//! The commands for debugfs that put files into a file system.

use std::fmt::Write as _;
use std::fs::File;

use anyhow::Result;

use super::reader::CurrentFiles;
use super::wrong;
use crate::base::failure::ExitKind;
use crate::base::memfd;
use crate::base::{Bytes, Plain};
use crate::identity::{EntryKind, Owner, PAYLOAD_ROOT, PayloadEntry, Secret};

/// The longest command, in bytes. debugfs reads them in pieces of 8192 bytes: the rest of a longer one would be
/// a command of its own, and that may be one for a shell.
const LONGEST: usize = 4000;

/// The paths of all entries together, in bytes. Each is in a dozen commands.
const PATHS: usize = 1 << 20;

/// The longest path of what the content of a file is taken from.
const CONTENT: &str = "/proc/4294967295/fd/4294967295";

/// Commands, and what they take their content from.
pub struct DebugfsScript {
    pub commands: String,
    /// What the file system has already, relative to [`PAYLOAD_ROOT`].
    pub replaced: Vec<String>,
    /// The content of the files. It is there as long as this is.
    contents: Vec<File>,
}

/// Fails where a command for one of `entries` is none that debugfs can be given, and where they are too long together.
///
/// # Errors
/// Of [`ExitKind::Refused`], with the path.
pub fn check(entries: &[PayloadEntry]) -> Result<()> {
    let paths = entries.iter().map(|entry| entry.path.len()).sum::<usize>();
    if paths > PATHS {
        let text = format!(
            "the paths of the files for the card have {} together, more than {}; put fewer files there, or in folders \
             with shorter names, and copy the others to the running host",
            Bytes(paths as u64),
            Bytes(PATHS as u64)
        );
        return Err(ExitKind::Refused.error(text));
    }
    entries.iter().try_for_each(|entry| {
        let path = format!("{PAYLOAD_ROOT}/{}", entry.path);
        let words = match &entry.kind {
            EntryKind::Link(target) => ["symlink", &path, target],
            EntryKind::File(_) | EntryKind::Folder => ["write", CONTENT, &path],
        };
        command(&path, &words).map(|_| ())
    })
}

/// Why `what` cannot come to `path`, where there is `found`: files are replaced, folders are not.
pub fn clash(what: &EntryKind, path: &str, found: CurrentFiles) -> Option<String> {
    let path = Plain(path);
    match (what, found) {
        (EntryKind::Folder, CurrentFiles::Other) => {
            Some(format!("{path} is to be a folder, and the image has something else there"))
        }
        (EntryKind::File(_) | EntryKind::Link(_), CurrentFiles::Folder) => {
            Some(format!("{path} is a folder of the image, and is to be something else"))
        }
        _ => None,
    }
}

/// The commands that put `entries` into a file system; `look` says what that has at a path.
pub fn write(entries: &[PayloadEntry], look: impl Fn(&str) -> Result<CurrentFiles>) -> Result<DebugfsScript> {
    let mut script = DebugfsScript { commands: String::new(), replaced: Vec::new(), contents: Vec::new() };
    if look(PAYLOAD_ROOT)? == CurrentFiles::Nothing {
        script.folder(PAYLOAD_ROOT, 0o755, Owner::ROOT)?;
    }
    for entry in entries {
        let path = format!("{PAYLOAD_ROOT}/{}", entry.path);
        let found = look(&path)?;
        script.entry(entry, &path, found)?;
    }
    Ok(script)
}

impl DebugfsScript {
    /// Adds what puts `entry` at `path`, where there is `found`.
    fn entry(&mut self, entry: &PayloadEntry, path: &str, found: CurrentFiles) -> Result<()> {
        if let Some(text) = clash(&entry.kind, path, found) {
            return Err(wrong(text));
        }
        if found == CurrentFiles::Other {
            self.say(path, &["rm", path])?;
            self.replaced.push(entry.path.clone());
        }
        match &entry.kind {
            EntryKind::Folder if found == CurrentFiles::Folder => {}
            EntryKind::Folder => self.folder(path, entry.mode, entry.owner)?,
            EntryKind::Link(target) => {
                self.say(path, &["symlink", path, target])?;
                self.owned(path, entry.owner)?;
            }
            EntryKind::File(content) => self.file(path, content, entry.mode, entry.owner)?,
        }
        Ok(())
    }

    fn file(&mut self, path: &str, content: &Secret, mode: u16, owner: Owner) -> Result<()> {
        let file = memfd::holding("content", content.reveal())?;
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        // It is only in its own folder that debugfs makes a file.
        self.say(path, &["cd", folder])?;
        self.say(path, &["write", &memfd::path(&file), name])?;
        self.attributes(path, 0o100_000 | u32::from(mode), owner)?;
        self.contents.push(file);
        Ok(())
    }

    fn folder(&mut self, path: &str, mode: u16, owner: Owner) -> Result<()> {
        self.say(path, &["mkdir", path])?;
        self.attributes(path, 0o040_000 | u32::from(mode), owner)
    }

    /// `mode` is with the kind of file, in the form of `stat`.
    fn attributes(&mut self, path: &str, mode: u32, owner: Owner) -> Result<()> {
        self.say(path, &["sif", path, "mode", &format!("0{mode:o}")])?;
        self.owned(path, owner)
    }

    fn owned(&mut self, path: &str, owner: Owner) -> Result<()> {
        [("uid", owner.user), ("gid", owner.group)]
            .into_iter()
            .try_for_each(|(field, number)| self.say(path, &["sif", path, field, &number.to_string()]))
    }

    /// Adds the command of `words` for `path`.
    fn say(&mut self, path: &str, words: &[&str]) -> Result<()> {
        let line = command(path, words)?;
        let _ = writeln!(self.commands, "{line}");
        Ok(())
    }
}

/// The command of these words for `path`, quoted as debugfs takes them.
fn command(path: &str, words: &[&str]) -> Result<String> {
    let quoted = words.iter().map(|word| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            (*word).to_owned()
        } else {
            format!("\"{}\"", word.replace('"', "\"\""))
        }
    });
    let line = quoted.collect::<Vec<_>>().join(" ");
    if line.len() > LONGEST {
        let text = format!(
            "{} cannot be put on a card: its path, with what it may link to, is too long; shorten its names",
            Plain(path)
        );
        return Err(ExitKind::Refused.error(text));
    }
    // The end of a line would begin another command.
    if line.chars().any(char::is_control) {
        return Err(
            ExitKind::Refused.error(format!("{} cannot be put on a card: it is not plain text", Plain(path)))
        );
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::super::programs::{Callable, Guard, Programs};
    use super::check as check_entries;
    use super::*;

    fn entry(path: &str, kind: EntryKind) -> PayloadEntry {
        PayloadEntry { path: path.into(), mode: 0o640, owner: Owner { user: 1000, group: 0x2_0003 }, kind }
    }

    fn file(path: &str) -> PayloadEntry {
        let content = EntryKind::File(Secret::new(b"psk".to_vec()));
        PayloadEntry { mode: 0o600, owner: Owner::ROOT, ..entry(path, content) }
    }

    /// The commands for `entries` in a file system that has `there`, without the paths of the contents.
    #[track_caller]
    fn check(entries: &[PayloadEntry], there: &[(&str, CurrentFiles)], expected: &[&str], replaced: &[&str]) {
        let found = |path: &str| there.iter().find(|(known, _)| *known == path).map(|(_, found)| *found);
        let script = write(entries, |path| Ok(found(path).unwrap_or(CurrentFiles::Nothing))).unwrap();
        let contents = script.contents.iter().map(memfd::path);
        let commands = contents.fold(script.commands, |text, path| text.replace(&path, "CONTENT"));
        assert_eq!(commands.lines().collect::<Vec<_>>(), expected);
        assert_eq!(script.replaced, replaced);
    }

    const ROOT: (&str, CurrentFiles) = ("/persist", CurrentFiles::Folder);

    #[test]
    fn commands() {
        let place =
            ["mkdir /persist", "sif /persist mode 040755", "sif /persist uid 0", "sif /persist gid 0"];
        check(&[], &[], &place, &[]);
        check(
            &[entry("a b", EntryKind::Folder), file("a b/say \"x\"")],
            &[ROOT],
            &[
                "mkdir \"/persist/a b\"",
                "sif \"/persist/a b\" mode 040640",
                "sif \"/persist/a b\" uid 1000",
                "sif \"/persist/a b\" gid 131075",
                "cd \"/persist/a b\"",
                "write CONTENT \"say \"\"x\"\"\"",
                "sif \"/persist/a b/say \"\"x\"\"\" mode 0100600",
                "sif \"/persist/a b/say \"\"x\"\"\" uid 0",
                "sif \"/persist/a b/say \"\"x\"\"\" gid 0",
            ],
            &[],
        );
        check(
            &[entry("l", EntryKind::Link("../x y".into()))],
            &[ROOT, ("/persist/l", CurrentFiles::Other)],
            &[
                "rm /persist/l",
                "symlink /persist/l \"../x y\"",
                "sif /persist/l uid 1000",
                "sif /persist/l gid 131075",
            ],
            &["l"],
        );
        check(&[entry("f", EntryKind::Folder)], &[ROOT, ("/persist/f", CurrentFiles::Folder)], &[], &[]);
    }

    /// As many files as there may be, with the longest paths: debugfs says more of them than any limit for a file system.
    #[test]
    fn thousands_of_files_with_long_paths() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fs");
        std::fs::write(&path, crate::card::inspect::ext4::tests::made(&["-N", "12000"], 40)).unwrap();
        let folder = "x".repeat(90);
        let mut entries = vec![entry(&folder, EntryKind::Folder)];
        entries.extend(
            (0..9_999).map(|number| entry(&format!("{folder}/{number}"), EntryKind::Link("a".into()))),
        );
        check_entries(&entries).unwrap();
        let script = write(&entries, |_| Ok(CurrentFiles::Nothing)).unwrap();
        let (programs, stop) = (Callable::find(Programs::Found).unwrap(), AtomicBool::new(false));
        let guard = Guard { stop: &stop, memory: None };
        let said = programs.debugfs(&script, path.to_str().unwrap(), &guard).unwrap();
        assert!(!said.contains("Could not"), "{said}");
        programs.e2fsck(path.to_str().unwrap(), &stop).unwrap();
        // One that is deep has more in its paths than in its files.
        let deep = (1..1_500).map(|depth| entry(&"d/".repeat(depth), EntryKind::Folder)).collect::<Vec<_>>();
        let error = check_entries(&deep).unwrap_err();
        assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
        assert!(error.to_string().contains("have 2.1 MiB together, more than 1.0 MiB"), "{error}");
    }

    #[test]
    fn a_folder_is_no_file() {
        for (entry, there, expected) in [
            (
                file("x"),
                CurrentFiles::Folder,
                "/persist/x is a folder of the image, and is to be something else",
            ),
            (
                entry("x", EntryKind::Folder),
                CurrentFiles::Other,
                "/persist/x is to be a folder, and the image has something else there",
            ),
        ] {
            let found = |path: &str| Ok(if path == PAYLOAD_ROOT { CurrentFiles::Folder } else { there });
            let error = write(&[entry], found).err().unwrap();
            assert_eq!(error.to_string(), expected);
        }
    }
    /// debugfs would take the rest of such a line for a command of its own.
    #[test]
    fn a_command_is_never_longer_than_what_is_read_at_once() {
        let deep = vec!["\"".repeat(250); 15].join("/");
        let target = format!("{}!touch x", "f/".repeat(450));
        let refused = |entry: PayloadEntry, text: &str| {
            let path = format!("/persist/{}", entry.path);
            let written = write(std::slice::from_ref(&entry), |_| Ok(CurrentFiles::Nothing)).err().unwrap();
            for error in [super::check(&[entry]).unwrap_err(), written] {
                assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
                assert_eq!(error.to_string(), text.replace("PATH", &path));
            }
        };
        let long = "PATH cannot be put on a card: its path, with what it may link to, is too long; shorten its names";
        refused(entry(&format!("{deep}/l"), EntryKind::Link(target.clone())), long);
        refused(file(&deep), long);
        refused(entry(&deep, EntryKind::Folder), long);
        refused(file("a\n!b"), "/persist/a\\u{a}!b cannot be put on a card: it is not plain text");
        let fits = [entry("l", EntryKind::Link(target)), file(&"\"".repeat(1900))];
        super::check(&fits).unwrap();
        let script = write(&fits, |_| Ok(CurrentFiles::Other)).unwrap();
        assert!(script.commands.lines().all(|line| line.len() <= LONGEST && !line.starts_with('!')));
    }
}
