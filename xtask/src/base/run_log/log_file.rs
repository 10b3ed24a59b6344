//! A file with a log.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};

use crate::{bail, failure};

/// What stands in a log in place of the lines that did not fit.
const CUT_MARK: &str = "          … lines were left out here: the log is limited …\n";

/// A file with a log, which is written to its end. Of a log that exceeds its limit the first quarter and the end are
/// kept.
pub(super) struct LogFile {
    file: File,
    limit: u64,
    /// How many bytes the file has.
    size: u64,
    /// The error that ended the writing.
    error: Option<std::io::Error>,
    has_failed: bool,
}

impl LogFile {
    pub fn with_limit(file: File, limit: u64) -> Self {
        Self { file, limit, size: 0, error: None, has_failed: false }
    }

    /// Appends `text`. After an error nothing is written any more.
    pub fn append(&mut self, text: &str) -> std::io::Result<()> {
        if self.has_failed {
            return Ok(());
        }
        let written = self.try_append(text);
        if let Err(error) = &written {
            self.has_failed = true;
            self.error = Some(error.kind().into());
        }
        written
    }

    fn try_append(&mut self, text: &str) -> std::io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        self.size += text.len() as u64;
        if self.size > self.limit { self.cut() } else { Ok(()) }
    }

    /// Cuts the middle out of the file.
    fn cut(&mut self) -> std::io::Result<()> {
        let quarter = self.limit / 4;
        let mut head = vec![0; usize::try_from(quarter).unwrap_or_default()];
        let mut tail = head.clone();
        self.file.read_exact_at(&mut head, 0)?;
        self.file.read_exact_at(&mut tail, self.size - quarter)?;
        let head_end = head.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let tail_start = tail.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let kept = [CUT_MARK.as_bytes(), &tail[tail_start..]].concat();
        self.file.set_len(head_end as u64)?;
        self.file.seek(SeekFrom::End(0))?;
        self.file.write_all(&kept)?;
        self.size = (head_end + kept.len()) as u64;
        Ok(())
    }

    /// The error that ended the writing, once.
    pub fn take_error(&mut self) -> Option<std::io::Error> {
        self.error.take()
    }

    /// Makes a hard link to the file at `link`.
    pub fn link_to(&self, link: &Path) -> std::io::Result<()> {
        use rustix::fs::{AtFlags, CWD, linkat};
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        Ok(linkat(CWD, own, CWD, link, AtFlags::SYMLINK_FOLLOW)?)
    }
}

/// Opens the file at `path`, which the user names, for a log. An earlier one begins with one of the texts `magics`.
/// Only this user can read a new file.
///
/// # Errors
/// `Refused` for anything else than an empty file or an earlier log.
pub(super) fn create_named(path: &Path, magics: &[&str]) -> Result<LogFile> {
    let doing = || format!("opening the log {}", path.display());
    let mut options = File::options();
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let opened = options.read(true).write(true).create(true).mode(0o600).custom_flags(flags).open(path);
    let mut file = match opened {
        Err(error) if error.kind() == ErrorKind::IsADirectory => return Err(foreign_error(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let doing = doing();
            bail!(Io, "{doing}: {error}"; hint: "make its folder first, or name a file in another folder with --log-file");
        }
        opened => opened.with_context(doing)?,
    };
    let stat = file.metadata().with_context(doing)?;
    if !stat.is_file() {
        return Err(foreign_error(path));
    }
    let mut beginning = Vec::new();
    let length = magics.iter().map(|magic| magic.len()).max().unwrap_or_default();
    (&mut file).take(length as u64).read_to_end(&mut beginning).with_context(doing)?;
    let is_log = magics.iter().any(|magic| beginning.starts_with(magic.as_bytes()));
    if !beginning.is_empty() && !is_log {
        return Err(foreign_error(path));
    }
    file.set_len(0).and_then(|()| file.rewind()).with_context(doing)?;
    Ok(LogFile::with_limit(file, u64::MAX))
}

fn foreign_error(path: &Path) -> anyhow::Error {
    failure!(
        Refused, "{} is there already, and no log of this tool", path.display();
        hint: "name a new file with --log-file"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_keeps_its_beginning_and_its_end() {
        let mut log = LogFile::with_limit(tempfile::tempfile().unwrap(), 1000);
        for number in 0..1000 {
            log.append(&format!("line {number}\n")).unwrap();
            assert!(log.size <= 1000 + 10);
        }
        let mut text = String::new();
        log.file.rewind().unwrap();
        log.file.read_to_string(&mut text).unwrap();
        assert_eq!(text.len() as u64, log.size);
        assert!(text.starts_with("line 0\nline 1\n") && text.ends_with("line 998\nline 999\n"), "{text}");
        let lines = text.lines().filter(|line| !CUT_MARK.starts_with(*line));
        assert!(lines.clone().all(|line| line.starts_with("line ")), "{text}");
    }

    #[test]
    fn devices_and_folders_are_no_logs() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, 0o600.into()).unwrap();
        for path in [dir.path(), &fifo, Path::new("/dev/null")] {
            assert!(create_named(path, &["log"]).is_err(), "{path:?}");
        }
    }
}
