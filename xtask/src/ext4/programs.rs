//! The programs of e2fsprogs, as the worker calls them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::memory;
use super::script::Script;
use super::wrong;
use crate::failure::Kind;
use crate::hardening;
use crate::process::{Launcher, Output};

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

/// How children are called.
pub struct Callable {
    launcher: Launcher,
    /// Where each of [`NAMES`] is.
    paths: [PathBuf; 3],
}

/// Where the first of them is, if all of them are there.
///
/// # Errors
/// Of [`Kind::Refused`], with the remedy.
pub fn check(launcher: &Launcher) -> Result<PathBuf> {
    let [debugfs, ..] = Callable::on_path(launcher)?.paths;
    Ok(debugfs)
}

impl Callable {
    /// # Errors
    /// Of [`Kind::Refused`], with the remedy.
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
        let path = NAMES.iter().zip(&self.paths).find_map(|(known, path)| (*known == name).then_some(path));
        let path = path.with_context(|| format!("looking for {name}"))?;
        self.launcher.capture(&path.display().to_string(), args)
    }
}

/// Where `find` finds each of [`NAMES`].
fn all(find: impl Fn(&str) -> Option<PathBuf>, place: &str) -> Result<[PathBuf; 3]> {
    let found = NAMES.map(|name| {
        find(name).ok_or_else(|| {
            Kind::Refused.error(format!(
                "there is no {name} {place}, which puts the identity on the card; install e2fsprogs (`cargo xtask \
                 setup`), or say --identity none"
            ))
        })
    });
    let [first, second, third] = found;
    Ok([first?, second?, third?])
}
