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

/// The folders for administrators, which Debian keeps off the `PATH` of users.
const ADMIN_FOLDERS: &[&str] = &["/usr/sbin", "/sbin"];

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
    /// The limit of the file in memory that the program writes to, if there is one.
    pub memory: Option<MemoryLimit<'a>>,
}

/// How much memory a file in memory may take.
pub struct MemoryLimit<'a> {
    pub file: &'a File,
    /// In bytes.
    pub max: u64,
}

impl Limits<'_> {
    /// Fails where the user asked to stop, or the file takes too much memory.
    fn check(&self) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            bail!(Interrupted, "stopped while a file system was changed or checked");
        }
        let Some(MemoryLimit { file, max }) = &self.memory else { return Ok(()) };
        let taken = file.metadata().context("measuring a file in memory")?.blocks() * 512;
        if taken <= *max {
            return Ok(());
        }
        bail!(
            Verification,
            "the metadata of the file system takes {} of memory, more than the limit of {}",
            Bytes(taken),
            Bytes(*max)
        )
    }
}

/// The programs, found and ready to run.
pub struct E2fsprogs {
    launcher: Launcher,
    debugfs: PathBuf,
    e2fsck: PathBuf,
    e2image: PathBuf,
}

/// Finds all three programs, and returns the path of `debugfs`.
///
/// # Errors
/// Of [`ExitKind::Refused`](crate::base::failure::ExitKind::Refused) for a missing program.
pub fn find_programs(launcher: &Launcher) -> Result<PathBuf> {
    Ok(E2fsprogs::find_on_path(launcher)?.debugfs)
}

impl E2fsprogs {
    /// Finds the programs in `source`.
    ///
    /// # Errors
    /// Of [`ExitKind::Refused`](crate::base::failure::ExitKind::Refused) for a missing program.
    pub fn find(source: ProgramSource) -> Result<Self> {
        let ProgramSource::Trusted(user_folder) = source else {
            return Self::find_on_path(&Launcher::new("/"));
        };
        let launcher = Launcher::with_clean_env("/").with_env("LC_ALL", "C");
        let of_user = |name: &str| user_folder.map(|folder| folder.join(name)).filter(|path| path.is_file());
        let find = |name: &str| hardening::trusted_program(name).or_else(|| of_user(name));
        let require = |name: &str| find(name).ok_or_else(|| missing_error(name, "in the system's folders"));
        Ok(Self {
            launcher,
            debugfs: require("debugfs")?,
            e2fsck: require("e2fsck")?,
            e2image: require("e2image")?,
        })
    }

    /// Finds the programs on the `PATH` of `launcher`, and in the folders for administrators.
    fn find_on_path(launcher: &Launcher) -> Result<Self> {
        let user_path = launcher.env("PATH").unwrap_or_default();
        let dirs = std::env::split_paths(&user_path).chain(ADMIN_FOLDERS.iter().map(Into::into));
        let path = std::env::join_paths(dirs).context("reading PATH")?;
        let launcher = launcher.in_dir("/").with_env("LC_ALL", "C").with_env("PATH", path);
        let require = |name: &str| launcher.which(name).ok_or_else(|| missing_error(name, "on PATH"));
        let debugfs = require("debugfs")?;
        let e2fsck = require("e2fsck")?;
        let e2image = require("e2image")?;
        Ok(Self { launcher, debugfs, e2fsck, e2image })
    }

    /// Copies the metadata of the file system that begins at byte `start` of `disk` to the same offsets in `file`.
    pub fn e2image(&self, disk: &str, start: u64, file: &str, limits: &Limits) -> Result<()> {
        let args = ["-r", "-o", &start.to_string(), disk, file];
        let output = self.run(&self.e2image, &args, OUTPUT_LIMIT, limits)?;
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
        let output = self.run(&self.debugfs, &args, output_limit, limits)?;
        Ok(output.stderr.trim().to_owned())
    }

    /// Makes the file system at `path` as large as `sectors` of 512 bytes.
    ///
    /// # Errors
    /// Of [`ExitKind::Refused`](crate::base::failure::ExitKind::Refused) for a missing program.
    pub fn resize2fs(&self, path: &str, sectors: u64, cancel: &AtomicBool) -> Result<()> {
        let program =
            self.launcher.which("resize2fs").ok_or_else(|| {
            failure!(Refused(MissingProgram), "resize2fs, needed to make room for the state, is not on PATH"; hint: "install e2fsprogs")
        })?;
        let limits = Limits { cancel, memory: None };
        let output = self.run(&program, &["-f", path, &format!("{sectors}s")], OUTPUT_LIMIT, &limits)?;
        if output.success() {
            return Ok(());
        }
        bail!(Verification, "resize2fs ended with exit code {}: {}", output.code, output.stderr.trim())
    }

    /// Checks the file system at `path`, without changing it.
    ///
    /// # Errors
    /// Of [`ExitKind::Verification`](crate::base::failure::ExitKind::Verification) for a faulty file system.
    pub fn e2fsck(&self, path: &str, cancel: &AtomicBool) -> Result<()> {
        let limits = Limits { cancel, memory: None };
        let output = self.run(&self.e2fsck, &["-f", "-n", path], OUTPUT_LIMIT, &limits)?;
        if output.success() {
            return Ok(());
        }
        let lines = output.stdout.lines().map(str::trim).filter(|line| !line.is_empty());
        let problems = lines.collect::<Vec<_>>().join("; ");
        bail!(Verification, "e2fsck ended with exit code {}: {problems}", output.code)
    }

    /// Runs the `program`, which may write `output_limit` bytes to each of stdout and stderr, within the `limits`.
    fn run(&self, program: &Path, args: &[&str], output_limit: u64, limits: &Limits) -> Result<Output> {
        let bounds = Bounds { output: output_limit, time: TIMEOUT };
        limits.check()?;
        let program = program.display().to_string();
        let output = self.launcher.run_bounded(&program, args, bounds, &|| limits.check())?;
        limits.check()?;
        Ok(output)
    }
}

/// The error for the program `name`, which is not in the place that was searched, such as "on PATH".
fn missing_error(name: &str, place: &str) -> anyhow::Error {
    failure!(
        Refused(MissingProgram), "{name}, needed to write the host key and the files to the card, is not {place}";
        hint: "install e2fsprogs with `cargo xtask setup`, or flash with --identity none and without --files"
    )
}
