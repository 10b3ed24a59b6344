//! The folder of `--files`: all that is in it, as it is to be on the card.

use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};

use super::payload::{Entry, Owner, What};
use super::secret::Secret;
use crate::base::bounded::{self, Links};
use crate::base::failure::ExitKind;
use crate::base::{Bytes, Plain};

/// The most that all files may have together, in bytes: they are secrets and settings, no data.
const MOST: u64 = 16 << 20;
/// How many files, folders and links there may be.
const MANY: usize = 10_000;

/// Whose files they are on the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Those that they have here, by number.
    Kept,
    /// All are root's: only root can have given files away.
    Root,
}

impl Owners {
    /// For the user of this process.
    pub fn of_this_user() -> Self {
        if rustix::process::geteuid().is_root() { Self::Kept } else { Self::Root }
    }
}

/// Everything below `dir`.
///
/// # Errors
/// What is neither a file nor a folder nor a link, names that ext4's tools cannot be given, and too much of it.
pub fn read(dir: &Path, owners: Owners) -> Result<Vec<Entry>> {
    if !dir.is_dir() {
        return Err(ExitKind::Refused.error(format!("--files {} is no folder", dir.display())));
    }
    let mut reading = Reading { owners, entries: Vec::new(), left: MOST };
    reading.folder(dir, "")?;
    Ok(reading.entries)
}

struct Reading {
    owners: Owners,
    entries: Vec<Entry>,
    /// How many bytes may still come.
    left: u64,
}

impl Reading {
    /// Adds what is in `dir`, which is called `name` on the card.
    fn folder(&mut self, dir: &Path, name: &str) -> Result<()> {
        let doing = || format!("reading {}", dir.display());
        for found in fs::read_dir(dir).with_context(doing)? {
            let path = found.with_context(doing)?.path();
            let own = path.file_name().and_then(|own| own.to_str()).filter(|own| is_plain(own));
            let own = own.ok_or_else(|| refused(&path, "has a name that is not plain text"))?;
            let name = if name.is_empty() { own.to_owned() } else { format!("{name}/{own}") };
            self.entry(&path, name)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, name: String) -> Result<()> {
        let doing = || format!("reading {}", path.display());
        let stat = path.symlink_metadata().with_context(doing)?;
        let kind = stat.file_type();
        if kind.is_dir() {
            self.push(name.clone(), &stat, What::Folder)?;
            return self.folder(path, &name);
        }
        if kind.is_symlink() {
            let target = fs::read_link(path).with_context(doing)?;
            let target = target.to_str().filter(|target| is_plain(target));
            let target = target.ok_or_else(|| refused(path, "points to what is not plain text"))?;
            if target.split('/').any(|name| name.len() > NAME) {
                return Err(refused(path, "points to a name of more than 255 bytes"));
            }
            return self.push(name, &stat, What::Link(target.to_owned()));
        }
        if !kind.is_file() {
            return Err(refused(path, "is neither a file nor a folder nor a link"));
        }
        let content = self.content(path)?;
        self.push(name, &stat, What::File(Secret::new(content)))
    }

    /// What is in the file `path`, and not what its size was: it may grow meanwhile.
    fn content(&mut self, path: &Path) -> Result<Vec<u8>> {
        let doing = || format!("reading {}", path.display());
        // What was a file a moment ago may be a pipe now, or a link.
        let (file, mut content) = (bounded::open(path, Links::Refuse).with_context(doing)?, Vec::new());
        file.take(self.left + 1).read_to_end(&mut content).with_context(doing)?;
        let Some(left) = self.left.checked_sub(content.len() as u64) else {
            let text = format!("--files has more than {}; copy large files to the running host", Bytes(MOST));
            return Err(ExitKind::Refused.error(text));
        };
        self.left = left;
        Ok(content)
    }

    fn push(&mut self, path: String, stat: &Metadata, what: What) -> Result<()> {
        if self.entries.len() == MANY {
            return Err(
                ExitKind::Refused.error(format!("--files has more than {MANY} files, folders and links"))
            );
        }
        let owner = match self.owners {
            Owners::Kept => Owner { user: stat.uid(), group: stat.gid() },
            Owners::Root => Owner::ROOT,
        };
        let mode = u16::try_from(stat.permissions().mode() & 0o7777).unwrap_or_default();
        self.entries.push(Entry { path, mode, owner, what });
        Ok(())
    }
}

fn refused(path: &Path, why: &str) -> anyhow::Error {
    ExitKind::Refused.error(format!("--files: {} {why}", Plain(path.display())))
}

/// The longest name or target of a link, in bytes, that fits into a line of commands.
const LONGEST: usize = 1000;

/// The longest name that a file can have, in bytes.
const NAME: usize = 255;

/// Whether ext4's tools can be given it in a line of commands.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_tree() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("etc/wpa")).unwrap();
        mode(&at("etc"), 0o755);
        mode(&at("etc/wpa"), 0o2750);
        fs::write(at("etc/wpa/home \"5\".conf"), "psk").unwrap();
        mode(&at("etc/wpa/home \"5\".conf"), 0o440);
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
        let own = rustix::process::geteuid().as_raw();
        assert!(read(dir.path(), Owners::Kept).unwrap().iter().all(|entry| entry.owner.user == own));
    }

    #[test]
    fn what_is_read_counts() {
        // The size that the kernel tells of this one is 0.
        let path = Path::new("/proc/version");
        let text = fs::read(path).unwrap();
        assert_eq!((path.metadata().unwrap().len(), text.is_empty()), (0, false));
        let most = text.len() as u64;
        for (left, expected) in [(most, Some(0)), (most + 5, Some(5)), (most - 1, None)] {
            let mut reading = Reading { owners: Owners::Root, entries: Vec::new(), left };
            let read = reading.content(path).map(|content| content == text);
            assert_eq!(read.ok().map(|same| (same, reading.left)), expected.map(|left| (true, left)));
        }
    }

    #[track_caller]
    fn refuses(prepare: impl FnOnce(&Path), text: &str) {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let error = read(dir.path(), Owners::Root).unwrap_err();
        let said = error.to_string().replace(&dir.path().display().to_string(), "DIR");
        assert_eq!((said.as_str(), crate::base::failure::kind(&error)), (text, ExitKind::Refused));
    }

    #[test]
    fn what_is_refused() {
        let pipe = |dir: &Path| drop(std::os::unix::net::UnixListener::bind(dir.join("s")).unwrap());
        refuses(pipe, "--files: DIR/s is neither a file nor a folder nor a link");
        let lines = |dir: &Path| fs::write(dir.join("a\nb"), "").unwrap();
        refuses(lines, "--files: DIR/a\\u{a}b has a name that is not plain text");
        let link = |dir: &Path| symlink("a\nb", dir.join("l")).unwrap();
        refuses(link, "--files: DIR/l points to what is not plain text");
        let link = |dir: &Path| symlink(format!("a/{}", "b".repeat(256)), dir.join("l")).unwrap();
        refuses(link, "--files: DIR/l points to a name of more than 255 bytes");
        let large = |dir: &Path| fs::File::create(dir.join("f")).unwrap().set_len(MOST + 1).unwrap();
        refuses(large, "--files has more than 16.0 MiB; copy large files to the running host");
        let error = read(Path::new("/dev/null"), Owners::Root).unwrap_err();
        assert_eq!(error.to_string(), "--files /dev/null is no folder");
    }

    #[test]
    fn too_many_are_refused() {
        let many =
            |dir: &Path| (0..=MANY).for_each(|count| symlink("x", dir.join(count.to_string())).unwrap());
        refuses(many, "--files has more than 10000 files, folders and links");
    }
}
