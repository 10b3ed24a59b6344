//! Reads the folder of `--files`, whose files the payload puts on the card.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::payload::{EntryKind, Owner, PayloadEntry};
use super::secret::Secret;
use crate::base::bounded::{self, Links};
use crate::base::{Bytes, Plain};
use crate::{bail, failure};

/// The maximum size of all files together, in bytes: they are secrets and settings, not data.
const MAX_BYTES: u64 = 16 << 20;
/// The maximum number of files, folders and links.
const MAX_ENTRIES: usize = 10_000;

/// The owners of the files on the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Each file keeps its owner in the folder, by number.
    Kept,
    /// Root owns all files.
    Root,
}

impl Owners {
    /// [`Self::Kept`] if the tool runs as root, else [`Self::Root`]: only root can have given files to others.
    pub fn kept_if_run_by_root() -> Self {
        if rustix::process::geteuid().is_root() { Self::Kept } else { Self::Root }
    }

    /// The owner and the permissions on a card for a file with `stat`. A file that changes its owner loses the bits by
    /// which others run it as its owner or its group, as with chown(2): they would make them root.
    pub fn of(self, stat: &Metadata) -> (Owner, u16) {
        let mode = u16::try_from(stat.mode() & 0o7777).unwrap_or_default();
        match self {
            Self::Kept => (Owner { user: stat.uid(), group: stat.gid() }, mode),
            Self::Root if stat.is_dir() => (Owner::ROOT, mode),
            Self::Root => (Owner::ROOT, mode & !0o6000),
        }
    }
}

/// Reads all entries below `dir`, folders before their content. Their paths are relative to `dir`; `owners` decides to
/// whom they belong on the card.
///
/// # Errors
/// `Refused` for a `dir` that is no folder, for entries other than files, folders and links, for names that debugfs
/// cannot read, and for more than [`MAX_BYTES`] or [`MAX_ENTRIES`].
pub fn read(dir: &Path, owners: Owners) -> Result<Vec<PayloadEntry>> {
    if !dir.is_dir() {
        bail!(Refused, "--files {} is not a folder", dir.display());
    }
    let mut reader = FolderReader { owners, entries: Vec::new(), bytes_left: MAX_BYTES };
    reader.add_folder(dir, "")?;
    Ok(reader.entries)
}

/// The state of [`read`].
struct FolderReader {
    owners: Owners,
    /// The entries that are read already.
    entries: Vec<PayloadEntry>,
    /// The maximum size of the remaining files together, in bytes.
    bytes_left: u64,
}

impl FolderReader {
    /// Adds all entries in `dir`, whose path on the card is `prefix`; empty for the folder of `--files` itself.
    fn add_folder(&mut self, dir: &Path, prefix: &str) -> Result<()> {
        let context = || format!("reading {}", dir.display());
        for found in fs::read_dir(dir).with_context(context)? {
            let path = found.with_context(context)?.path();
            let name = file_name(&path)?;
            let on_card = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            self.add_entry(&path, on_card)?;
        }
        Ok(())
    }

    /// Adds the file, folder or link `path`, whose path on the card is `on_card`.
    fn add_entry(&mut self, path: &Path, on_card: String) -> Result<()> {
        let context = || format!("reading {}", path.display());
        let stat = path.symlink_metadata().with_context(context)?;
        let kind = stat.file_type();
        if kind.is_dir() {
            self.push(on_card.clone(), &stat, EntryKind::Folder)?;
            return self.add_folder(path, &on_card);
        }
        if kind.is_symlink() {
            return self.push(on_card, &stat, EntryKind::Link(link_target(path)?));
        }
        if !kind.is_file() {
            return Err(entry_refusal(path, "is not a file, folder or link"));
        }
        let content = self.read_content(path)?;
        self.push(on_card, &stat, EntryKind::File(Secret::new(content)))
    }

    /// Reads the file `path`, and subtracts its size from the bytes that are left. The size is that of the bytes that
    /// are read: the file may have grown.
    fn read_content(&mut self, path: &Path) -> Result<Vec<u8>> {
        let context = || format!("reading {}", path.display());
        // The file may have been replaced by a pipe or a link.
        let file = bounded::open(path, Links::Refuse).with_context(context)?;
        let mut content = Vec::new();
        file.take(self.bytes_left + 1).read_to_end(&mut content).with_context(context)?;
        let Some(left) = self.bytes_left.checked_sub(content.len() as u64) else {
            bail!(
                Refused, "--files contains more than {}", Bytes(MAX_BYTES);
                hint: "copy large files to the running host"
            );
        };
        self.bytes_left = left;
        Ok(content)
    }

    /// Appends the entry `kind` at `path`, with the mode of `stat` and the owner that `self.owners` decides on.
    ///
    /// # Errors
    /// `Refused` for more than [`MAX_ENTRIES`].
    fn push(&mut self, path: String, stat: &Metadata, kind: EntryKind) -> Result<()> {
        if self.entries.len() == MAX_ENTRIES {
            bail!(Refused, "--files contains more than {MAX_ENTRIES} files, folders and links");
        }
        let (owner, mode) = self.owners.of(stat);
        self.entries.push(PayloadEntry { path, mode, owner, kind });
        Ok(())
    }
}

/// The file name of `path`.
///
/// # Errors
/// `Refused` for a name that debugfs cannot read.
fn file_name(path: &Path) -> Result<&str> {
    plain_text(path.file_name().unwrap_or_default())
        .map_err(|why| entry_refusal(path, &format!("has a name {why}")))
}

/// The target of the link at `path`.
///
/// # Errors
/// `Refused` for a target that debugfs cannot read, or that ext4 cannot contain.
fn link_target(path: &Path) -> Result<String> {
    let link = fs::read_link(path).with_context(|| format!("reading {}", path.display()))?;
    let target =
        plain_text(link.as_os_str()).map_err(|why| entry_refusal(path, &format!("links to a path {why}")))?;
    if target.len() > MAX_TARGET {
        return Err(entry_refusal(path, "links to a path of more than 1000 bytes"));
    }
    if target.split('/').any(|name| name.len() > MAX_NAME) {
        return Err(entry_refusal(path, "links to a name of more than 255 bytes"));
    }
    Ok(target.to_owned())
}

/// The refusal of the entry at `path`: `--files: {path} {why}`.
fn entry_refusal(path: &Path, why: &str) -> anyhow::Error {
    failure!(Refused, "--files: {} {why}", Plain(path.display()))
}

/// The maximum length of the target of a link in a command line of debugfs, in bytes.
const MAX_TARGET: usize = 1000;

/// The maximum length of a file name, in bytes.
const MAX_NAME: usize = 255;

/// `name` as a text that can be part of a line of debugfs.
///
/// # Errors
/// What is wrong with `name`.
fn plain_text(name: &OsStr) -> Result<&str, &'static str> {
    let text = name.to_str().ok_or("that is not UTF-8")?;
    if text.chars().any(char::is_control) { Err("with control characters") } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, kind, with_hint};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    /// A user's own program must not become one that runs as root.
    #[test]
    fn a_file_that_is_given_to_root_loses_its_setuid_bits() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        set_mode(&file, 0o6755);
        set_mode(dir.path(), 0o6755);
        let of = |owners: Owners, path: &Path| owners.of(&path.metadata().unwrap());
        assert_eq!(of(Owners::Root, &file), (Owner::ROOT, 0o755));
        assert_eq!(of(Owners::Root, dir.path()), (Owner::ROOT, 0o6755));
        assert_eq!(of(Owners::Kept, &file).1, 0o6755);
    }

    /// Sets the permissions of the file or folder at `path`.
    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn folders_files_and_links_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("etc/wpa")).unwrap();
        set_mode(&at("etc"), 0o755);
        set_mode(&at("etc/wpa"), 0o2750);
        fs::write(at("etc/wpa/home \"5\".conf"), "psk").unwrap();
        set_mode(&at("etc/wpa/home \"5\".conf"), 0o440);
        symlink("../nowhere", at("link")).unwrap();
        let mut found = read(dir.path(), Owners::Root).unwrap();
        found.sort_by(|left, right| left.path.cmp(&right.path));
        let lines = found.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            lines,
            [
                "etc/ (mode 0755)",
                "etc/wpa/ (mode 2750)",
                "etc/wpa/home \"5\".conf (3 B, mode 0440)",
                "link (link to ../nowhere)"
            ]
        );
    }

    #[test]
    fn kept_owners_are_those_in_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let own = rustix::process::geteuid().as_raw();
        assert!(read(dir.path(), Owners::Kept).unwrap().iter().all(|entry| entry.owner.user == own));
    }

    #[test]
    fn the_bytes_that_are_read_are_limited() {
        // The kernel reports the size 0 for this file.
        let path = Path::new("/proc/version");
        let text = fs::read(path).unwrap();
        assert_eq!((path.metadata().unwrap().len(), text.is_empty()), (0, false));
        let size = text.len() as u64;
        for (left, expected) in [(size, Some(0)), (size + 5, Some(5)), (size - 1, None)] {
            let mut reader = FolderReader { owners: Owners::Root, entries: Vec::new(), bytes_left: left };
            let read = reader.read_content(path).map(|content| content == text);
            assert_eq!(read.ok().map(|same| (same, reader.bytes_left)), expected.map(|left| (true, left)));
        }
    }

    /// Asserts that a folder with the entries that `prepare` makes is refused with `text`.
    #[track_caller]
    fn refuses(prepare: impl FnOnce(&Path), text: &str) {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let error = read(dir.path(), Owners::Root).unwrap_err();
        let message = with_hint(&error).replace(&dir.path().display().to_string(), "DIR");
        assert_eq!((message.as_str(), kind(&error)), (text, ExitKind::Refused));
    }

    #[test]
    fn entries_that_a_card_cannot_have_are_refused() {
        let socket = |dir: &Path| drop(std::os::unix::net::UnixListener::bind(dir.join("s")).unwrap());
        refuses(socket, "--files: DIR/s is not a file, folder or link");
        let two_lines = |dir: &Path| fs::write(dir.join("a\nb"), "").unwrap();
        refuses(two_lines, "--files: DIR/a\\u{a}b has a name with control characters");
        let latin = |dir: &Path| fs::write(dir.join(OsStr::from_bytes(b"caf\xe9")), "").unwrap();
        refuses(latin, "--files: DIR/caf\u{fffd} has a name that is not UTF-8");
        let latin_link = |dir: &Path| symlink(OsStr::from_bytes(b"caf\xe9"), dir.join("l")).unwrap();
        refuses(latin_link, "--files: DIR/l links to a path that is not UTF-8");
        for (target, text) in [
            ("a\nb", "links to a path with control characters"),
            (&format!("a/{}", "b".repeat(256)), "links to a name of more than 255 bytes"),
            (&"a/".repeat(501), "links to a path of more than 1000 bytes"),
        ] {
            let link = |dir: &Path| symlink(target, dir.join("l")).unwrap();
            refuses(link, &format!("--files: DIR/l {text}"));
        }
        let large = |dir: &Path| fs::File::create(dir.join("f")).unwrap().set_len(MAX_BYTES + 1).unwrap();
        refuses(large, "--files contains more than 16.0 MiB; copy large files to the running host");
    }

    #[test]
    fn a_path_that_is_no_folder_is_refused() {
        let error = read(Path::new("/dev/null"), Owners::Root).unwrap_err();
        assert_eq!(error.to_string(), "--files /dev/null is not a folder");
    }

    #[test]
    fn too_many_entries_are_refused() {
        let many = |dir: &Path| {
            (0..=MAX_ENTRIES).for_each(|count| symlink("x", dir.join(count.to_string())).unwrap());
        };
        refuses(many, "--files contains more than 10000 files, folders and links");
    }
}
