//! The project's `known_hosts`: a line for each host, under its name in the flake.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

/// The file, which need not be there.
pub struct KnownHosts {
    pub path: PathBuf,
}

impl KnownHosts {
    /// That in `folder`.
    pub fn of(folder: &Path) -> Self {
        Self { path: folder.join("known_hosts") }
    }

    /// The key of `host` as `ssh-ed25519 AAAA…`.
    pub fn key_of(&self, host: &str) -> Result<Option<String>> {
        Ok(self.read()?.lines().find_map(|line| key(line, host)).map(str::to_owned))
    }

    /// Makes `key` the only one of `host`, or leaves it none. Returns whether that changed something.
    pub fn set(&self, host: &str, key: Option<&str>) -> Result<bool> {
        let doing = || format!("writing {}", self.path.display());
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        super::private_folder(folder)?;
        // Two flashes may end at once.
        let lock = fs::File::open(folder).with_context(doing)?;
        flock(&lock, FlockOperation::LockExclusive).with_context(doing)?;
        let old = self.read()?;
        let new = replaced(&old, host, key);
        if new == old {
            return Ok(false);
        }
        let mut file = tempfile_in(folder).with_context(doing)?;
        file.1.write_all(new.as_bytes()).and_then(|()| file.1.sync_all()).with_context(doing)?;
        fs::rename(&file.0, &self.path).and_then(|()| lock.sync_all()).with_context(doing)?;
        Ok(true)
    }

    fn read(&self) -> Result<String> {
        match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            read => read.with_context(|| format!("reading {}", self.path.display())),
        }
    }
}

/// A new file beside the one that it replaces. Its name is that of this process alone.
fn tempfile_in(folder: &Path) -> std::io::Result<(PathBuf, fs::File)> {
    let path = folder.join(format!(".known_hosts.{}", std::process::id()));
    fs::File::create(&path).map(|file| (path, file))
}

/// The key in `line`, if it is one of `host`.
fn key<'a>(line: &'a str, host: &str) -> Option<&'a str> {
    let (names, key) = line.trim().split_once(char::is_whitespace)?;
    names.split(',').any(|name| name == host).then(|| key.trim())
}

/// `text` with `key` as the only one of `host`, where its first line was or at the end. Lines of others stay.
fn replaced(text: &str, host: &str, key: Option<&str>) -> String {
    let mut own = key.map(|key| format!("{host} {key}\n"));
    let mut new = String::new();
    for line in text.lines() {
        match self::key(line, host) {
            Some(_) => new.extend(own.take()),
            None => new.extend([line, "\n"]),
        }
    }
    new.extend(own);
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3";

    #[test]
    fn one_line_a_host() {
        let line = format!("pi {KEY}\n");
        for (text, key, expected) in [
            ("", Some(KEY), line.clone()),
            ("", None, String::new()),
            ("pi ssh-ed25519 old\n", Some(KEY), line.clone()),
            ("pi ssh-ed25519 old", None, String::new()),
            ("# note\npi a b\npi,alias c d\nother e f", Some(KEY), format!("# note\n{line}other e f\n")),
            ("pi2 a b\n", Some(KEY), format!("pi2 a b\n{line}")),
        ] {
            assert_eq!(replaced(text, "pi", key), expected, "{text}");
        }
    }

    #[test]
    fn what_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let file = KnownHosts::of(&dir.path().join("identity"));
        assert_eq!(file.key_of("pi").unwrap(), None);
        assert!(file.set("pi", Some(KEY)).unwrap());
        assert!(!file.set("pi", Some(KEY)).unwrap());
        assert_eq!(file.key_of("pi").unwrap().as_deref(), Some(KEY));
        assert_eq!(file.key_of("p").unwrap(), None);
        assert!(file.set("pi", None).unwrap());
        assert_eq!(file.key_of("pi").unwrap(), None);
        let left = dir.path().join("identity").read_dir().unwrap().count();
        assert_eq!(left, 1, "what was written on the way is gone");
    }
}
