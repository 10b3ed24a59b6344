//! The script for debugfs that writes a payload into a file system.

use std::fmt::Write as _;
use std::fs::File;

use anyhow::Result;

use super::reader::PathState;
use crate::bail;
use crate::base::failure::ExitKind;
use crate::base::{Bytes, Plain, memfd};
use crate::identity::{EntryKind, Owner, PAYLOAD_ROOT, PayloadEntry, Secret};

/// The longest command, in bytes. debugfs reads its script in pieces of 8192 bytes: it would run the rest of a longer
/// command as a command of its own, possibly one for a shell.
const MAX_COMMAND: usize = 4000;

/// The longest paths of all entries together, in bytes: each path is in a dozen commands.
const MAX_PATHS: usize = 1 << 20;

/// The longest path of a memfd with the content of a file.
const LONGEST_CONTENT_PATH: &str = "/proc/4294967295/fd/4294967295";

/// The commands, and the files that they read.
pub struct DebugfsScript {
    pub commands: String,
    /// The paths that the script replaces in the file system, relative to [`PAYLOAD_ROOT`].
    pub replaced: Vec<String>,
    /// The memfds with the content of the files, which must outlive debugfs.
    contents: Vec<File>,
}

/// Fails where a command for one of `entries` is impossible, and where their paths are too long together.
///
/// # Errors
/// Of [`ExitKind::Refused`], with the path.
pub fn check(entries: &[PayloadEntry]) -> Result<()> {
    let paths = entries.iter().map(|entry| entry.path.len()).sum::<usize>();
    if paths > MAX_PATHS {
        bail!(
            Refused, "the paths of the files for the card have {} together, more than {}",
            Bytes(paths as u64), Bytes(MAX_PATHS as u64);
            hint: "give fewer files with --files, or shorten the names of their folders, and copy the others to the \
                   running host"
        );
    }
    entries.iter().try_for_each(|entry| {
        let path = format!("{PAYLOAD_ROOT}/{}", entry.path);
        let words = match &entry.kind {
            EntryKind::Link(target) => ["symlink", &path, target],
            EntryKind::File(_) | EntryKind::Folder => ["write", LONGEST_CONTENT_PATH, &path],
        };
        command(&path, &words).map(|_| ())
    })
}

/// Fails with an error of `kind` where `what` cannot be written to `path` because of its `state`: files and links are
/// replaced, folders are not.
pub fn check_type(kind: ExitKind, what: &EntryKind, path: &str, state: PathState) -> Result<()> {
    let path = Plain(path);
    let message = match (what, state) {
        (EntryKind::Folder, PathState::Other) => {
            format!("{path} must be a folder, but is a file or a link in the image")
        }
        (EntryKind::File(_) | EntryKind::Link(_), PathState::Folder) => {
            format!("{path} is a folder in the image, which a file or a link cannot replace")
        }
        _ => return Ok(()),
    };
    Err(kind.error_with_hint(message, "rename it in the folder of --files, or build an image without it"))
}

/// The script that writes `entries` into a file system; `state` returns what the file system has at a path.
pub fn write(entries: &[PayloadEntry], state: impl Fn(&str) -> Result<PathState>) -> Result<DebugfsScript> {
    let mut script = DebugfsScript { commands: String::new(), replaced: Vec::new(), contents: Vec::new() };
    if state(PAYLOAD_ROOT)? == PathState::Missing {
        script.make_folder(PAYLOAD_ROOT, 0o755, Owner::ROOT)?;
    }
    for entry in entries {
        let path = format!("{PAYLOAD_ROOT}/{}", entry.path);
        script.write_entry(entry, &path, state(&path)?)?;
    }
    Ok(script)
}

impl DebugfsScript {
    /// Adds the commands that write `entry` to `path`, where the file system has `state`.
    fn write_entry(&mut self, entry: &PayloadEntry, path: &str, state: PathState) -> Result<()> {
        check_type(ExitKind::Verification, &entry.kind, path, state)?;
        if state == PathState::Other {
            self.push(path, &["rm", path])?;
            self.replaced.push(entry.path.clone());
        }
        match &entry.kind {
            EntryKind::Folder if state == PathState::Folder => {}
            EntryKind::Folder => self.make_folder(path, entry.mode, entry.owner)?,
            EntryKind::Link(target) => {
                self.push(path, &["symlink", path, target])?;
                self.set_owner(path, entry.owner)?;
            }
            EntryKind::File(content) => self.write_file(path, content, entry.mode, entry.owner)?,
        }
        Ok(())
    }

    fn write_file(&mut self, path: &str, content: &Secret, mode: u16, owner: Owner) -> Result<()> {
        let file = memfd::holding("content", content.reveal())?;
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        // debugfs creates files only in its working directory.
        self.push(path, &["cd", folder])?;
        self.push(path, &["write", &memfd::path(&file), name])?;
        self.set_mode_and_owner(path, 0o100_000 | u32::from(mode), owner)?;
        self.contents.push(file);
        Ok(())
    }

    fn make_folder(&mut self, path: &str, mode: u16, owner: Owner) -> Result<()> {
        self.push(path, &["mkdir", path])?;
        self.set_mode_and_owner(path, 0o040_000 | u32::from(mode), owner)
    }

    /// Sets the inode's `mode`, which includes the file type, as in `stat`, and its owner.
    fn set_mode_and_owner(&mut self, path: &str, mode: u32, owner: Owner) -> Result<()> {
        self.push(path, &["sif", path, "mode", &format!("0{mode:o}")])?;
        self.set_owner(path, owner)
    }

    fn set_owner(&mut self, path: &str, owner: Owner) -> Result<()> {
        [("uid", owner.user), ("gid", owner.group)]
            .into_iter()
            .try_for_each(|(field, number)| self.push(path, &["sif", path, field, &number.to_string()]))
    }

    /// Appends the command of `words` for `path`.
    fn push(&mut self, path: &str, words: &[&str]) -> Result<()> {
        let line = command(path, words)?;
        let _ = writeln!(self.commands, "{line}");
        Ok(())
    }
}

/// The command of `words` for `path`, with the quoting of debugfs.
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
    if line.len() > MAX_COMMAND {
        bail!(
            Refused, "{} cannot be written to a card: its path, with the target of a link, is too long", Plain(path);
            hint: "shorten the names in its path"
        );
    }
    // A line end would begin another command.
    if line.chars().any(char::is_control) {
        bail!(
            Refused, "{} cannot be written to a card: its path contains control characters", Plain(path);
            hint: "rename it, or leave it out of the folder of --files"
        );
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::super::programs::{E2fsprogs, Limits, ProgramSource};
    use super::check as check_entries;
    use super::*;

    fn entry(path: &str, kind: EntryKind) -> PayloadEntry {
        PayloadEntry { path: path.into(), mode: 0o640, owner: Owner { user: 1000, group: 0x2_0003 }, kind }
    }

    fn file(path: &str) -> PayloadEntry {
        let content = EntryKind::File(Secret::new(b"psk".to_vec()));
        PayloadEntry { mode: 0o600, owner: Owner::ROOT, ..entry(path, content) }
    }

    /// Asserts the commands for `entries` in a file system that has `existing`; CONTENT stands for the paths of contents.
    #[track_caller]
    fn check(entries: &[PayloadEntry], existing: &[(&str, PathState)], expected: &[&str], replaced: &[&str]) {
        let state = |path: &str| existing.iter().find(|(known, _)| *known == path).map(|(_, state)| *state);
        let script = write(entries, |path| Ok(state(path).unwrap_or(PathState::Missing))).unwrap();
        let contents = script.contents.iter().map(memfd::path);
        let commands = contents.fold(script.commands, |text, path| text.replace(&path, "CONTENT"));
        assert_eq!(commands.lines().collect::<Vec<_>>(), expected);
        assert_eq!(script.replaced, replaced);
    }

    const ROOT: (&str, PathState) = ("/persist", PathState::Folder);

    #[test]
    fn commands_are_quoted_and_set_mode_and_owner() {
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
            &[ROOT, ("/persist/l", PathState::Other)],
            &[
                "rm /persist/l",
                "symlink /persist/l \"../x y\"",
                "sif /persist/l uid 1000",
                "sif /persist/l gid 131075",
            ],
            &["l"],
        );
        check(&[entry("f", EntryKind::Folder)], &[ROOT, ("/persist/f", PathState::Folder)], &[], &[]);
    }

    /// The largest number of files, with the longest paths: debugfs prints more than [`OUTPUT_LIMIT`] allows for others.
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
        let script = write(&entries, |_| Ok(PathState::Missing)).unwrap();
        let programs = E2fsprogs::find(ProgramSource::OnPath).unwrap();
        let cancel = AtomicBool::new(false);
        let limits = Limits { cancel: &cancel, memory: None };
        let stderr = programs.debugfs(&script, path.to_str().unwrap(), &limits).unwrap();
        assert!(!stderr.contains("Could not"), "{stderr}");
        programs.e2fsck(path.to_str().unwrap(), &cancel).unwrap();
        // A deep tree has more bytes in its paths than in its files.
        let deep = (1..1_500).map(|depth| entry(&"d/".repeat(depth), EntryKind::Folder)).collect::<Vec<_>>();
        let error = check_entries(&deep).unwrap_err();
        assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
        assert!(error.to_string().contains("have 2.1 MiB together, more than 1.0 MiB"), "{error}");
    }

    #[test]
    fn a_folder_is_no_file() {
        for (entry, existing, expected) in [
            (
                file("x"),
                PathState::Folder,
                "/persist/x is a folder in the image, which a file or a link cannot replace",
            ),
            (
                entry("x", EntryKind::Folder),
                PathState::Other,
                "/persist/x must be a folder, but is a file or a link in the image",
            ),
        ] {
            let state = |path: &str| Ok(if path == PAYLOAD_ROOT { PathState::Folder } else { existing });
            let error = write(&[entry], state).err().unwrap();
            assert_eq!(error.to_string(), expected);
        }
    }

    /// debugfs would run the rest of a longer line as a command of its own.
    #[test]
    fn a_command_is_never_longer_than_debugfs_reads_at_once() {
        let deep = vec!["\"".repeat(250); 15].join("/");
        let target = format!("{}!touch x", "f/".repeat(450));
        let refused = |entry: PayloadEntry, text: &str| {
            let path = format!("/persist/{}", entry.path);
            let written = write(std::slice::from_ref(&entry), |_| Ok(PathState::Missing)).err().unwrap();
            for error in [super::check(&[entry]).unwrap_err(), written] {
                assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
                assert_eq!(error.to_string(), text.replace("PATH", &path));
            }
        };
        let long = "PATH cannot be written to a card: its path, with the target of a link, is too long";
        refused(entry(&format!("{deep}/l"), EntryKind::Link(target.clone())), long);
        refused(file(&deep), long);
        refused(entry(&deep, EntryKind::Folder), long);
        refused(
            file("a\n!b"),
            "/persist/a\\u{a}!b cannot be written to a card: its path contains control characters",
        );
        let fits = [entry("l", EntryKind::Link(target)), file(&"\"".repeat(1900))];
        super::check(&fits).unwrap();
        let script = write(&fits, |_| Ok(PathState::Other)).unwrap();
        assert!(script.commands.lines().all(|line| line.len() <= MAX_COMMAND && !line.starts_with('!')));
    }
}
