//! The log of a run: a text with everything that the run reports, of limited size, in the state folder.
//!
//! One file has the last run, and one for each host its last flash or deploy. They are links to one file where the last
//! run was that of the host. Nothing fails because of a log: a run without one is better than none.

mod log_file;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};

use self::log_file::LogFile;
use super::host_name::HostName;
use super::{escape, percent_encoding, redact, state};
use crate::failure;

/// The folder of the logs in the state folder.
const FOLDER: &str = "logs";
/// The first words of each log.
const MAGIC: &str = "log of xtask ";
/// The first words of the logs of earlier versions.
const EARLIER_MAGIC: &str = "log of cargo xtask ";
/// The largest log in the state folder, in bytes.
const MAX_LOG: u64 = 8 << 20;
/// The most bytes that are logged of a line.
const MAX_LINE: usize = 64 << 10;
/// The most bytes that wait for a file.
const MAX_WAITING: usize = 1 << 20;

/// The log of a run. It starts in memory: [`Self::keep_in`] gives it a file.
pub struct RunLog {
    begin: Instant,
    parts: Mutex<Parts>,
}

#[derive(Default)]
struct Parts {
    /// What was logged before there was a file.
    waiting: String,
    /// The file in the state folder.
    kept: Option<Kept>,
    /// The names of the kept file as the log of a host.
    links: Vec<PathBuf>,
    /// The file that the user names.
    named: Option<LogFile>,
    /// Whether the log has the output of a child, which the user may not have seen.
    has_children: bool,
}

/// The file in the state folder.
struct Kept {
    file: LogFile,
    path: PathBuf,
}

impl RunLog {
    /// A log that begins with `header`, the lines that identify the run.
    pub fn begin(header: &str) -> Self {
        let parts = Parts { waiting: format!("{MAGIC}{header}\n"), ..Parts::default() };
        Self { begin: Instant::now(), parts: Mutex::new(parts) }
    }

    /// Also writes the log to the file at `path`, from its beginning and without a limit.
    ///
    /// # Errors
    /// `Refused` where a file at `path` is no log of this tool, and where it cannot be written.
    pub fn write_to(&self, path: &Path) -> Result<()> {
        let mut file = log_file::create_named(path, &[MAGIC, EARLIER_MAGIC])?;
        let mut parts = self.parts();
        file.append(&parts.waiting).with_context(|| format!("writing the log {}", path.display()))?;
        parts.named = Some(file);
        Ok(())
    }

    /// Keeps the log in the state folder `state`, in place of that of the last run.
    pub fn keep_in(&self, state: &Path) -> Result<()> {
        let folder = state.join(FOLDER);
        state::create_private_folder(&folder)?;
        let path = last_run(state);
        let mut file = LogFile::with_limit(state::create(&path)?, MAX_LOG);
        let mut parts = self.parts();
        file.append(&parts.waiting).with_context(|| format!("writing the log {}", path.display()))?;
        parts.waiting = String::new();
        parts.kept = Some(Kept { file, path });
        Ok(())
    }

    /// Makes this log that of the last flash or deploy of `host`, if the log is kept.
    pub fn keep_for_host(&self, host: &HostName) {
        let mut parts = self.parts();
        let Some(kept) = &parts.kept else { return };
        let folder = kept.path.parent().unwrap_or(Path::new("/"));
        let link = folder.join(file_name_of(host));
        // By the descriptor: another run may have replaced the file of the last run.
        let _ = fs::remove_file(&link);
        let _ = kept.file.link_to(&link);
        parts.links.push(link);
    }

    /// Takes back [`Self::keep_for_host`]: a wrong command line may name a host that does not exist.
    pub fn forget_hosts(&self) {
        for link in self.parts().links.drain(..) {
            let _ = fs::remove_file(link);
        }
    }

    /// Adds a line: `text` without passwords in addresses, with its line breaks and all invisible characters escaped,
    /// behind the time since the beginning of the run.
    pub fn line(&self, text: &str) {
        let seconds = self.begin.elapsed().as_secs_f64();
        let text = escape::log(&redact::without_passwords(beginning(text)));
        self.parts().append(&format!("{seconds:>9.3} {text}\n"));
    }

    /// Adds a line of the output of a child.
    pub fn child_line(&self, text: &str) {
        self.parts().has_children = true;
        self.line(text);
    }

    /// The file of a log that has more than the user saw; `None` where nothing is kept.
    pub fn path_with_more(&self) -> Option<PathBuf> {
        let parts = self.parts();
        parts.kept.as_ref().filter(|_| parts.has_children).map(|kept| kept.path.clone())
    }

    /// The error that ended the writing of the file that the user names.
    pub fn write_error(&self) -> Option<std::io::Error> {
        self.parts().named.as_mut().and_then(LogFile::take_error)
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parts {
    fn append(&mut self, line: &str) {
        if let Some(kept) = &mut self.kept {
            let _ = kept.file.append(line);
        } else if self.waiting.len() + line.len() <= MAX_WAITING {
            self.waiting.push_str(line);
        }
        if let Some(named) = &mut self.named {
            let _ = named.append(line);
        }
    }
}

/// The first [`MAX_LINE`] bytes of `text`, or one character less.
fn beginning(text: &str) -> &str {
    let mut end = text.len().min(MAX_LINE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The log of the last run in the state folder `state`.
fn last_run(state: &Path) -> PathBuf {
    state.join(FOLDER).join("last-run.log")
}

/// The name of the log of the last flash or deploy of `host`.
fn file_name_of(host: &HostName) -> String {
    format!("host-{}.log", percent_encoding::encode(host.as_bytes(), b"-_."))
}

/// The text of the log of the last run in the state folder `state`, or of that of the last flash or deploy of `host`.
///
/// # Errors
/// `Usage` where there is none, and `Refused` for a file that others could have written.
pub fn read(state: &Path, host: Option<&HostName>) -> Result<(PathBuf, String)> {
    let path = match host {
        Some(host) => state.join(FOLDER).join(file_name_of(host)),
        None => last_run(state),
    };
    let bytes = if path.parent().is_some_and(Path::exists) { state::read(&path, 2 * MAX_LOG)? } else { None };
    let Some(bytes) = bytes else { return Err(missing_error(host)) };
    Ok((path, String::from_utf8_lossy(&bytes).into_owned()))
}

fn missing_error(host: Option<&HostName>) -> anyhow::Error {
    match host {
        Some(host) => failure!(
            Usage, "there is no log of a flash or a deploy of {host}";
            hint: "`cargo xtask log` without a host prints that of the last run"
        ),
        None => failure!(
            Refused, "there is no log yet: no command that keeps one has run";
            hint: "flash or deploy first; --log-file FILE writes the log of any command"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::base::failure::{ExitKind, kind};

    #[test]
    fn a_log_is_kept_whole_and_for_its_host() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join(".xtask");
        let host = HostName::from("a/b");
        assert_eq!(kind(&read(&state, None).unwrap_err()), ExitKind::Refused);
        assert_eq!(kind(&read(&state, Some(&host)).unwrap_err()), ExitKind::Usage);
        let log = RunLog::begin("0.1.0");
        log.line("before");
        log.keep_in(&state).unwrap();
        log.keep_for_host(&host);
        log.line("a\u{1b}[2J\nb");
        // A second run replaces the first one, whose file goes on as that of the host.
        let second = RunLog::begin("0.1.0");
        second.keep_in(&state).unwrap();
        second.line("second");
        log.line("after");
        let (path, text) = read(&state, Some(&host)).unwrap();
        let lines = text.lines().map(|line| line.get(10..).unwrap_or_default()).collect::<Vec<_>>();
        assert_eq!(lines[1..], ["before", "a\\u{1b}[2J\\u{a}b", "after"], "{text}");
        assert!(text.starts_with("log of xtask 0.1.0\n"));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let (_, text) = read(&state, None).unwrap();
        assert!(text.ends_with(" second\n") && !text.contains("after"), "{text}");
    }

    #[test]
    fn only_a_log_is_overwritten_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.log");
        for _ in 0..2 {
            let log = RunLog::begin("x");
            log.write_to(&file).unwrap();
            log.line("hello");
            assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 2);
        }
        for earlier in ["", "log of cargo xtask 0.1.0, 2026-11-28 18:13 UTC\n"] {
            fs::write(&file, earlier).unwrap();
            RunLog::begin("x").write_to(&file).unwrap();
        }
        for precious in ["precious", "log of my days", "log of cargo", "log of xtask"] {
            fs::write(&file, precious).unwrap();
            let error = RunLog::begin("x").write_to(&file).unwrap_err();
            assert_eq!(kind(&error), ExitKind::Refused);
            assert_eq!(fs::read_to_string(&file).unwrap(), precious);
        }
    }
}
