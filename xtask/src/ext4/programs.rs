//! The programs of e2fsprogs, as the worker calls them.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::memory;
use super::script::Script;
use super::wrong;
use crate::failure::Kind;
use crate::process::{Launcher, Output};

/// All that are called, and where Debian keeps them off the `PATH` of users.
const NAMES: [&str; 3] = ["debugfs", "e2fsck", "e2image"];
const ADMIN: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Where children find them.
pub struct Programs {
    launcher: Launcher,
}

/// Where the first of them is, if all of them are there.
///
/// # Errors
/// Of [`Kind::Refused`], with the remedy.
pub fn check(launcher: &Launcher) -> Result<PathBuf> {
    let programs = Programs::find(launcher)?;
    programs.launcher.which(NAMES[0]).context("looking for debugfs")
}

impl Programs {
    /// On the `PATH` of `launcher`, and in the folders of administrators.
    pub fn find(launcher: &Launcher) -> Result<Self> {
        let launcher = launcher.in_dir("/").with_env("LC_ALL", "C");
        let path = launcher.env("PATH").unwrap_or_default();
        let dirs = std::env::split_paths(&path).chain(ADMIN.map(Into::into));
        let path = std::env::join_paths(dirs).context("reading PATH")?;
        let launcher = launcher.with_env("PATH", path);
        match NAMES.into_iter().find(|name| launcher.which(name).is_none()) {
            None => Ok(Self { launcher }),
            Some(name) => Err(Kind::Refused.error(format!(
                "there is no {name} on PATH, which puts the identity on the card; install e2fsprogs (`cargo xtask \
                 setup`), or say --identity none"
            ))),
        }
    }

    /// Copies the metadata of the file system that begins at byte `start` of `disk` to their places in `file`.
    pub fn e2image(&self, disk: &str, start: u64, file: &str) -> Result<()> {
        let output = self.run("e2image", &["-r", "-o", &start.to_string(), disk, file])?;
        if output.success() {
            return Ok(());
        }
        Err(wrong(format!("e2image ended with exit code {}: {}", output.code, output.stderr.trim())))
    }

    /// Carries out `script` on the file system in `file`, and returns what was said on stderr. That is no
    /// proof: debugfs goes on after an error and ends well.
    pub fn debugfs(&self, script: &Script, file: &str) -> Result<String> {
        let commands = memory::holding("commands", script.commands.as_bytes())?;
        let output = self.run("debugfs", &["-w", "-f", &memory::path(&commands), file])?;
        Ok(output.stderr.trim().to_owned())
    }

    /// # Errors
    /// A file system with a fault.
    pub fn e2fsck(&self, place: &str) -> Result<()> {
        let output = self.run("e2fsck", &["-f", "-n", place])?;
        if output.success() {
            return Ok(());
        }
        let said = output.stdout.lines().map(str::trim).filter(|line| !line.is_empty());
        let said = said.collect::<Vec<_>>().join("; ");
        Err(wrong(format!("e2fsck ended with exit code {}: {said}", output.code)))
    }

    fn run(&self, name: &str, args: &[&str]) -> Result<Output> {
        self.launcher.capture(name, args)
    }
}
