//! Children that run beside this process.

use std::ffi::OsStr;
use std::fs::File;

use anyhow::{Context, Result};

use super::Launcher;

/// A child that is ended when this is dropped.
pub struct Background(duct::Handle);

impl Launcher {
    /// Starts a command that runs until what is returned is dropped. Its stdin is empty, and all that it says goes to
    /// `log`.
    pub fn start<S: AsRef<OsStr>>(&self, program: &str, args: &[S], log: File) -> Result<Background> {
        let command = self.duct(program, args).stdin_null().stdout_to_stderr().stderr_file(log);
        command.start().map(Background).with_context(|| format!("running {program}"))
    }
}

impl Background {
    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.0.pids().first().copied().unwrap_or_default()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn it_ends_with_its_owner() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let script = "echo here; echo there >&2; exec sleep 60";
        let child = Launcher::new("/").start("sh", &["-c", script], log.reopen().unwrap()).unwrap();
        let process = format!("/proc/{}", child.id());
        while std::fs::read_to_string(log.path()).unwrap() != "here\nthere\n" {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(Path::new(&process).exists());
        drop(child);
        assert!(!Path::new(&process).exists());
    }
}
