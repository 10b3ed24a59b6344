//! Running the programs of e2fsprogs, within limits.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use super::debugfs_script::DebugfsScript;

use crate::base::memfd;
use crate::base::process::{Bounds, Launcher, Output};
use crate::base::{Bytes, hardening};
use crate::{bail, failure};

/// The programs that the worker runs.
const PROGRAMS: [&str; 3] = ["debugfs", "e2fsck", "e2image"];
/// The folders for administrators, which Debian keeps off the `PATH` of users.
const ADMIN_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Where to find the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramSource<'a> {
    /// On `PATH`, and in the folders for administrators.
    OnPath,
    /// In the folders that only root can change, or else in this folder of the user whose rights this process has. The
    /// programs run without the environment of this process.
    Trusted(Option<&'a Path>),
}

/// The most that a program may write to its stdout, and to its stderr, in bytes.
const OUTPUT_LIMIT: u64 = 1 << 20;
/// How long a program may take: enough for a large file system on a slow card.
const TIMEOUT: Duration = Duration::from_secs(900);

/// When a program is killed: a malicious file system could keep it busy for ever.
pub struct Limits<'a> {
    /// Set when the user asks to stop.
    pub cancel: &'a AtomicBool,
    /// The file in memory that the program writes to, and the most memory that the file may take, in bytes.
    pub memory: Option<(&'a File, u64)>,
}

impl Limits<'_> {
    fn check(&self) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            bail!(Interrupted, "stopped while a file system was changed or checked");
        }
        let Some((file, most)) = self.memory else { return Ok(()) };
        let taken = file.metadata().context("measuring a file in memory")?.blocks() * 512;
        if taken <= most {
            return Ok(());
        }
        bail!(
            Verification,
            "the metadata of the file system takes {} of memory, more than {}",
            Bytes(taken),
            Bytes(most)
        )
    }
}

/// The programs, found and ready to run.
pub struct E2fsprogs {
    launcher: Launcher,
    /// The paths of [`PROGRAMS`], in their order.
    paths: [PathBuf; 3],
}

/// Finds all three programs, and returns the path of `debugfs`.
///
/// # Errors
/// Of [`ExitKind::Refused`](crate::base::failure::ExitKind::Refused) for a missing program.
pub fn find_programs(launcher: &Launcher) -> Result<PathBuf> {
    let [debugfs, ..] = E2fsprogs::on_path(launcher)?.paths;
    Ok(debugfs)
}

impl E2fsprogs {
    /// Finds the programs in `source`.
    ///
    /// # Errors
    /// Of [`ExitKind::Refused`](crate::base::failure::ExitKind::Refused) for a missing program.
    pub fn find(source: ProgramSource) -> Result<Self> {
        let ProgramSource::Trusted(user_folder) = source else { return Self::on_path(&Launcher::new("/")) };
        let launcher = Launcher::with_clean_env("/").with_env("LC_ALL", "C");
        let of_user = |name: &str| user_folder.map(|folder| folder.join(name)).filter(|path| path.is_file());
        let find = |name: &str| hardening::trusted_program(name).or_else(|| of_user(name));
        Ok(Self { launcher, paths: find_all(find, "in the system's folders")? })
    }

    /// Finds the programs on the `PATH` of `launcher`, and in the folders for administrators.
    fn on_path(launcher: &Launcher) -> Result<Self> {
        let user_path = launcher.env("PATH").unwrap_or_default();
        let dirs = std::env::split_paths(&user_path).chain(ADMIN_FOLDERS.map(Into::into));
        let path = std::env::join_paths(dirs).context("reading PATH")?;
        let launcher = launcher.in_dir("/").with_env("LC_ALL", "C").with_env("PATH", path);
        let paths = find_all(|name| launcher.which(name), "on PATH")?;
        Ok(Self { launcher, paths })
    }

    /// Copies the metadata of the file system that begins at byte `start` of `disk` to the same offsets in `file`.
    pub fn e2image(&self, disk: &str, start: u64, file: &str, limits: &Limits) -> Result<()> {
        let args = ["-r", "-o", &start.to_string(), disk, file];
        let output = self.run("e2image", &args, OUTPUT_LIMIT, limits)?;
        if output.success() {
            return Ok(());
        }
        bail!(Verification, "e2image ended with exit code {}: {}", output.code, output.stderr.trim())
    }

    /// Runs `script` on the file system in `file`, and returns the stderr of debugfs. Success proves nothing: debugfs
    /// goes on after an error and exits with 0.
    pub fn debugfs(&self, script: &DebugfsScript, file: &str, limits: &Limits) -> Result<String> {
        let commands = memfd::file_with("commands", script.commands.as_bytes())?;
        // debugfs prints each command again, with a few words.
        let output_limit = OUTPUT_LIMIT + 3 * script.commands.len() as u64;
        let args = ["-w", "-f", &memfd::path(&commands), file];
        let output = self.run("debugfs", &args, output_limit, limits)?;
        Ok(output.stderr.trim().to_owned())
    }

    /// Checks the file system at `path`, without changing it.
    ///
    /// # Errors
    /// Of [`ExitKind::Verification`](crate::base::failure::ExitKind::Verification) for a faulty file system.
    pub fn e2fsck(&self, path: &str, cancel: &AtomicBool) -> Result<()> {
        let limits = Limits { cancel, memory: None };
        let output = self.run("e2fsck", &["-f", "-n", path], OUTPUT_LIMIT, &limits)?;
        if output.success() {
            return Ok(());
        }
        let lines = output.stdout.lines().map(str::trim).filter(|line| !line.is_empty());
        let problems = lines.collect::<Vec<_>>().join("; ");
        bail!(Verification, "e2fsck ended with exit code {}: {problems}", output.code)
    }

    fn run(&self, name: &str, args: &[&str], output_limit: u64, limits: &Limits) -> Result<Output> {
        let mut known = PROGRAMS.iter().zip(&self.paths);
        let found = known.find_map(|(program, path)| (*program == name).then_some(path));
        let path = found.with_context(|| format!("finding {name}"))?;
        let bounds = Bounds { output: output_limit, time: TIMEOUT };
        limits.check()?;
        let output =
            self.launcher.run_bounded(&path.display().to_string(), args, bounds, &|| limits.check())?;
        limits.check().map(|()| output)
    }
}

/// The paths of [`PROGRAMS`] by `find`, which searches `where_searched`.
fn find_all(find: impl Fn(&str) -> Option<PathBuf>, where_searched: &str) -> Result<[PathBuf; 3]> {
    let found = PROGRAMS.map(|name| {
        find(name).ok_or_else(|| {
            failure!(
                Refused, "{name}, which writes the host key and the files to the card, is not {where_searched}";
                hint: "install e2fsprogs with `cargo xtask setup`, or pass --identity none"
            )
        })
    });
    let [first, second, third] = found;
    Ok([first?, second?, third?])
}
