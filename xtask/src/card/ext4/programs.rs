//! The programs of e2fsprogs, as the worker calls them.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use super::debugfs_script::DebugfsScript;
use super::wrong;
use crate::base::failure::ExitKind;
use crate::base::memfd;
use crate::base::process::{Bounds, Launcher, Output};
use crate::base::{Bytes, hardening};

/// All that are called, and where Debian keeps them off the `PATH` of users.
const NAMES: [&str; 3] = ["debugfs", "e2fsck", "e2image"];
const ADMIN: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Which programs are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs<'a> {
    /// Those on `PATH`, and in the folders of administrators.
    Found,
    /// Those in the places that only root can change, or else those in this folder of the user whose rights this process
    /// has; without its environment.
    Trusted(Option<&'a Path>),
}

/// What one of them may say on its stdout and on its stderr, in bytes.
const SAID: u64 = 1 << 20;
/// How long it may take: a slow card and a large file system, and no more.
const TIME: Duration = Duration::from_secs(900);

/// What ends a child before its own end: its file system may be made to keep it busy for ever.
pub struct Guard<'a> {
    pub stop: &'a AtomicBool,
    /// A file in memory that it writes to, and how much of it may be taken, in bytes.
    pub memory: Option<(&'a File, u64)>,
}

impl Guard<'_> {
    fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(ExitKind::Interrupted.error("stopped while a file system was worked on"));
        }
        let Some((file, most)) = self.memory else { return Ok(()) };
        let taken = file.metadata().context("looking at a file in memory")?.blocks() * 512;
        if taken <= most {
            return Ok(());
        }
        Err(wrong(format!("its metadata takes {} of memory, more than {}", Bytes(taken), Bytes(most))))
    }
}

/// How children are called.
pub struct Callable {
    launcher: Launcher,
    /// Where each of [`NAMES`] is.
    paths: [PathBuf; 3],
}

/// Where the first of them is, if all of them are there.
///
/// # Errors
/// Of [`ExitKind::Refused`], with the remedy.
pub fn check(launcher: &Launcher) -> Result<PathBuf> {
    let [debugfs, ..] = Callable::on_path(launcher)?.paths;
    Ok(debugfs)
}

impl Callable {
    /// # Errors
    /// Of [`ExitKind::Refused`], with the remedy.
    pub fn find(programs: Programs) -> Result<Self> {
        let Programs::Trusted(own) = programs else { return Self::on_path(&Launcher::new("/")) };
        let launcher = Launcher::clean("/").with_env("LC_ALL", "C");
        let of_user = |name: &str| own.map(|folder| folder.join(name)).filter(|path| path.is_file());
        let find = |name: &str| hardening::trusted_program(name).or_else(|| of_user(name));
        Ok(Self { launcher, paths: all(find, "in the folders of the system")? })
    }

    /// On the `PATH` of `launcher`, and in the folders of administrators.
    fn on_path(launcher: &Launcher) -> Result<Self> {
        let launcher = launcher.in_dir("/").with_env("LC_ALL", "C");
        let path = launcher.env("PATH").unwrap_or_default();
        let dirs = std::env::split_paths(&path).chain(ADMIN.map(Into::into));
        let path = std::env::join_paths(dirs).context("reading PATH")?;
        let launcher = launcher.with_env("PATH", path);
        let paths = all(|name| launcher.which(name), "on PATH")?;
        Ok(Self { launcher, paths })
    }

    /// Copies the metadata of the file system that begins at byte `start` of `disk` to their places in `file`.
    pub fn e2image(&self, disk: &str, start: u64, file: &str, guard: &Guard) -> Result<()> {
        let output = self.run("e2image", &["-r", "-o", &start.to_string(), disk, file], SAID, guard)?;
        if output.success() {
            return Ok(());
        }
        Err(wrong(format!("e2image ended with exit code {}: {}", output.code, output.stderr.trim())))
    }

    /// Carries out `script` on the file system in `file`, and returns what was said on stderr. That is no
    /// proof: debugfs goes on after an error and ends well.
    pub fn debugfs(&self, script: &DebugfsScript, file: &str, guard: &Guard) -> Result<String> {
        let commands = memfd::holding("commands", script.commands.as_bytes())?;
        // It says each command again, and a word about it.
        let said = SAID + 3 * script.commands.len() as u64;
        let args = ["-w", "-f", &memfd::path(&commands), file];
        let output = self.run("debugfs", &args, said, guard)?;
        Ok(output.stderr.trim().to_owned())
    }

    /// # Errors
    /// A file system with a fault.
    pub fn e2fsck(&self, place: &str, stop: &AtomicBool) -> Result<()> {
        let output = self.run("e2fsck", &["-f", "-n", place], SAID, &Guard { stop, memory: None })?;
        if output.success() {
            return Ok(());
        }
        let said = output.stdout.lines().map(str::trim).filter(|line| !line.is_empty());
        let said = said.collect::<Vec<_>>().join("; ");
        Err(wrong(format!("e2fsck ended with exit code {}: {said}", output.code)))
    }

    fn run(&self, name: &str, args: &[&str], said: u64, guard: &Guard) -> Result<Output> {
        let path = NAMES.iter().zip(&self.paths).find_map(|(known, path)| (*known == name).then_some(path));
        let path = path.with_context(|| format!("looking for {name}"))?;
        let bounds = Bounds { output: said, time: TIME };
        guard.check()?;
        let output = self.launcher.bounded(&path.display().to_string(), args, bounds, &|| guard.check())?;
        guard.check().map(|()| output)
    }
}

/// Where `find` finds each of [`NAMES`].
fn all(find: impl Fn(&str) -> Option<PathBuf>, place: &str) -> Result<[PathBuf; 3]> {
    let found = NAMES.map(|name| {
        find(name).ok_or_else(|| {
            ExitKind::Refused.error(format!(
                "there is no {name} {place}, which puts the identity on the card; install e2fsprogs (`cargo xtask \
                 setup`), or say --identity none"
            ))
        })
    });
    let [first, second, third] = found;
    Ok([first?, second?, third?])
}
