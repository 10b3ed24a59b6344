//! Downloads and unpacks Debian packages from the machine's own mirror, for any suite and architecture. This needs no
//! root and leaves the system alone: it uses private lists and an empty package database, and unpacks into any folder.
//!
//! The mirror and its signing key come from the machine's apt sources, never from a constant.

mod apt;
mod arch;
mod deb;
mod sources;

pub use apt::Package;
pub use arch::Arch;
pub use deb::Deb;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::bail;
use crate::base::lock::Lock;
use crate::base::process::Launcher;
use crate::base::{Context, Event, Reporter, RunningPhase, state};

/// One suite of the mirror for one architecture. The value holds a lock, so that two runs of the tool never write the
/// same lists.
pub struct Archive<'a> {
    launcher: &'a Launcher,
    reporter: &'a dyn Reporter,
    suite: String,
    arch: Arch,
    dir: PathBuf,
    _lock: Lock,
}

impl<'a> Archive<'a> {
    /// Creates the private apt state of `suite`, such as `bookworm`, for `arch` in a folder under `home`. This
    /// downloads nothing.
    ///
    /// # Errors
    /// `Refused` where the machine has no apt, or no apt source of its distribution.
    pub fn open(cx: &'a Context, home: &Path, suite: &str, arch: Arch) -> Result<Self> {
        if cx.launcher.which("apt-get").is_none() {
            bail!(
                Refused(MissingProgram), "no apt-get on PATH: it downloads the packages of {suite}";
                hint: "run this on Debian or Ubuntu"
            );
        }
        let dir = home.join(format!("{suite}-{arch}"));
        state::create_private_folder(home)?;
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let lock =
            Lock::take(&home.join("lock"), "another run that downloads packages", cx.reporter.as_ref())?;
        apt::create_state(&dir, &sources::load(Path::new("/etc"))?.for_suite(suite))?;
        let suite = suite.to_owned();
        Ok(Self { launcher: &cx.launcher, reporter: cx.reporter.as_ref(), suite, arch, dir, _lock: lock })
    }

    /// Updates the package lists, and returns `packages` with all their dependencies.
    pub fn resolve(&self, packages: &[&str]) -> Result<Vec<Package>> {
        let context = || format!("updating the package lists of {} for {}", self.suite, self.arch);
        self.run_apt(self.launcher, &["update"], 0).with_context(context)?;
        let mut args = vec!["install", "--print-uris", "--yes"];
        args.extend(packages);
        let uris = self.run_apt(self.launcher, &args, 0);
        apt::parse_uris(&uris.with_context(|| format!("resolving {}", packages.join(" ")))?)
    }

    /// Downloads `packages` into the folder `into`, and verifies them with the signed lists.
    pub fn download(&self, packages: &[Package], into: &Path) -> Result<Vec<Deb>> {
        fs::create_dir_all(into).with_context(|| format!("creating {}", into.display()))?;
        let total = packages.iter().map(|package| package.size).sum();
        let count = packages.len();
        let noun = if count == 1 { "package" } else { "packages" };
        let phase = format!("download {count} {noun} of {} for {}", self.suite, self.arch);
        let phase = RunningPhase::begin_with(self.reporter, phase, Some(total), true);
        let pinned = packages.iter().map(Package::pinned).collect::<Vec<_>>();
        let args = std::iter::once("download").chain(pinned.iter().map(String::as_str)).collect::<Vec<_>>();
        self.run_apt(&self.launcher.in_dir(into), &args, total).context("downloading packages")?;
        phase.end(total);
        packages.iter().map(|package| Deb::new(package, into)).collect()
    }

    /// Downloads `packages` with all their dependencies, and unpacks them into `root`.
    pub fn install(&self, packages: &[&str], root: &Path) -> Result<()> {
        let debs = self.dir.join("debs");
        for deb in self.download(&self.resolve(packages)?, &debs)? {
            deb.unpack(self.launcher, root)?;
        }
        fs::remove_dir_all(&debs).with_context(|| format!("removing {}", debs.display()))
    }

    /// Runs `apt-get` on the private state, and returns its stdout. Reports the percentages that apt prints as
    /// progress: 100 percent are `total` bytes, and with a total of 0 there is no progress.
    fn run_apt(&self, launcher: &Launcher, command: &[&str], total: u64) -> Result<String> {
        let mut args = apt::options(&self.dir, self.arch.name());
        args.extend(command.iter().map(OsString::from));
        let mut errors = Vec::new();
        let output = launcher.stream("apt-get", &args, |line| match apt::parse_percent(line) {
            Some(percent) => self.report_progress(percent, total),
            // Other lines of status are no errors.
            None if line.contains("status:") => {}
            None => errors.push(line.to_owned()),
        })?;
        if !output.success() {
            let errors = errors.join("; ");
            bail!(Other, "apt-get {} failed with exit code {}: {errors}", command[0], output.code);
        }
        Ok(output.stdout)
    }

    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn report_progress(&self, percent: f64, total: u64) {
        if total > 0 {
            let done = (total as f64 * percent / 100.0) as u64;
            self.reporter.report(&Event::Progress { done, total: Some(total), detail: None });
        }
    }
}
