//! Children that run in the background.

use std::ffi::OsStr;
use std::fs::File;
use std::io::PipeWriter;
use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use super::Launcher;
use super::observer::Child;

/// A child in the background. Dropping this value kills the child and waits for its end, unless it [`leaves`] the
/// child.
///
/// [`leaves`]: Self::leave
#[derive(Debug)]
pub struct Background {
    child: duct::Handle,
    /// Reports the end of the child: when it is awaited, or left.
    observed: Child,
    /// The writing end of the child's stdin, which closes when this process ends in any way.
    stdin: Option<PipeWriter>,
    is_left: bool,
}

impl Launcher {
    /// Starts a command that runs until the returned value is dropped. Its output goes to `log`; its stdin is empty and
    /// closes when this process ends.
    pub fn start<S: AsRef<OsStr>>(&self, program: &str, args: &[S], log: File) -> Result<Background> {
        self.start_command(program, args, &self.command(program, args), log)
    }

    /// Like [`Self::start`], in a process group of its own: what the terminal sends, such as Ctrl-C, does not reach the
    /// child.
    pub fn start_apart<S: AsRef<OsStr>>(&self, program: &str, args: &[S], log: File) -> Result<Background> {
        let command = self.command(program, args).before_spawn(|command| {
            command.process_group(0);
            Ok(())
        });
        self.start_command(program, args, &command, log)
    }

    /// Starts `command`, which runs `program` with `args`.
    fn start_command<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        command: &duct::Expression,
        log: File,
    ) -> Result<Background> {
        let (stdin, feed) = std::io::pipe().context("making a pipe")?;
        let command = command.stdin_file(stdin).stdout_to_stderr().stderr_file(log);
        let observed = self.observe(program, args);
        let child = self.started(program, command.start())?;
        Ok(Background { child, observed, stdin: Some(feed), is_left: false })
    }
}

impl Background {
    /// Closes the stdin of the child, at which it may end by itself.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Closes the stdin of the child, and lets the child end by itself, even after this process.
    pub fn leave(&mut self) {
        self.close_stdin();
        self.is_left = true;
    }

    /// Whether the child has ended by itself.
    pub fn has_ended(&self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The exit code of a child that has ended by itself, and -1 after a signal; `None` as long as it runs.
    pub fn exit_code(&self) -> Option<i32> {
        let output = self.child.try_wait().ok().flatten()?;
        Some(output.status.code().unwrap_or(-1))
    }

    /// The process id of the child.
    pub fn id(&self) -> u32 {
        self.child.pids().first().copied().unwrap_or_default()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.is_left {
            return self.observed.report_end(self.exit_code());
        }
        // The child may have ended by itself. Without the wait, a killed child would hold its resources for a moment.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.observed.report_end(self.exit_code());
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
    fn a_child_that_is_left_ends_by_itself_after_its_stdin() {
        let dir = tempfile::tempdir().unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let script = "cat; sleep 0.2; cut -d' ' -f5 /proc/$$/stat >group; mv group \"$1\"";
        let group = dir.path().join("ended").display().to_string();
        let launcher = Launcher::new(dir.path());
        let mut child = launcher.start_apart("sh", &["-c", script, "sh", &group], log).unwrap();
        let id = child.id().to_string();
        child.leave();
        drop(child);
        while !Path::new(&group).exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(std::fs::read_to_string(group).unwrap().trim(), id);
    }

    #[test]
    fn a_background_child_may_end_by_itself() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let child = Launcher::new("/").start("true", &[""; 0], log.reopen().unwrap()).unwrap();
        while !child.has_ended() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(child.exit_code(), Some(0));
    }
}
