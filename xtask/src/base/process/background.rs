//! Children that run in the background.

use std::ffi::OsStr;
use std::fs::File;
use std::io::PipeWriter;

use anyhow::{Context, Result};

use super::Launcher;

/// A child in the background. Dropping this value kills the child and waits for its end.
#[derive(Debug)]
pub struct Background {
    child: duct::Handle,
    /// The writing end of the child's stdin, which closes when this process ends in any way.
    stdin: Option<PipeWriter>,
}

impl Launcher {
    /// Starts a command that runs until the returned value is dropped. Its output goes to `log`; its stdin is empty and
    /// closes when this process ends.
    pub fn start<S: AsRef<OsStr>>(&self, program: &str, args: &[S], log: File) -> Result<Background> {
        let (stdin, feed) = std::io::pipe().context("making a pipe")?;
        let command = self.command(program, args).stdin_file(stdin).stdout_to_stderr().stderr_file(log);
        let observed = self.observe(program, args);
        let child = command.start().with_context(|| format!("running {program}"))?;
        observed.continue_in_background();
        Ok(Background { child, stdin: Some(feed) })
    }
}

impl Background {
    /// Closes the stdin of the child, at which it may end by itself.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Whether the child has ended by itself.
    pub fn has_ended(&self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The process id of the child.
    pub fn id(&self) -> u32 {
        self.child.pids().first().copied().unwrap_or_default()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // The child may have ended by itself. Without the wait, a killed child would hold its resources for a moment.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_background_child_ends_when_it_is_dropped() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let script = "echo here; echo there >&2; exec sleep 60";
        let child = Launcher::new("/").start("sh", &["-c", script], log.reopen().unwrap()).unwrap();
        let process = format!("/proc/{}", child.id());
        while std::fs::read_to_string(log.path()).unwrap() != "here\nthere\n" {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(Path::new(&process).exists() && !child.has_ended());
        drop(child);
        assert!(!Path::new(&process).exists());
    }

    #[test]
    fn a_background_child_may_end_by_itself() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let child = Launcher::new("/").start("true", &[""; 0], log.reopen().unwrap()).unwrap();
        while !child.has_ended() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}
