//! Packages out of the machine's own Debian mirror, for any suite and architecture, without root and
//! without touching the system: private lists, an empty package database, files unpacked anywhere.
//!
//! The mirror and the key that signs it come from the machine's apt sources, never from a constant.

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

use crate::base::failure::ExitKind;
use crate::base::lock::Lock;
use crate::base::process::Launcher;
use crate::base::{Context, Event, Reporter, state};

/// One suite of the mirror for one architecture. A lock is held for as long as the value lives, so
/// that two runs of the tool never write the same lists.
pub struct Archive<'a> {
    launcher: &'a Launcher,
    reporter: &'a dyn Reporter,
    suite: String,
    arch: Arch,
    dir: PathBuf,
    _lock: Lock,
}

impl<'a> Archive<'a> {
    /// Prepares the private apt state under `home`, for instance of `bookworm`. Nothing is downloaded yet.
    ///
    /// # Errors
    /// Refused where the machine has no apt or no source that names a Debian-like mirror.
    pub fn open(cx: &'a Context, home: &Path, suite: &str, arch: Arch) -> Result<Self> {
        if cx.launcher.which("apt-get").is_none() {
            let text =
                "fetching packages: this machine has no apt-get; Debian or Ubuntu is needed for this step";
            return Err(ExitKind::Refused.error(text));
        }
        let dir = home.join(format!("{suite}-{arch}"));
        state::private_folder(home)?;
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let lock = Lock::take(&home.join("lock"), "another run that fetches packages", cx.reporter.as_ref())?;
        apt::prepare(&dir, &sources::load(Path::new("/etc"))?.for_suite(suite))?;
        let suite = suite.to_owned();
        Ok(Self { launcher: &cx.launcher, reporter: cx.reporter.as_ref(), suite, arch, dir, _lock: lock })
    }

    /// Brings the package lists up to date and returns `packages` with everything they depend on.
    pub fn resolve(&self, packages: &[&str]) -> Result<Vec<Package>> {
        let doing = || format!("reading the package lists of {} for {}", self.suite, self.arch);
        self.apt(self.launcher, &["update"], 0).with_context(doing)?;
        let mut words = vec!["install", "--print-uris", "--yes"];
        words.extend(packages);
        let listed = self.apt(self.launcher, &words, 0);
        apt::parse_uris(&listed.with_context(|| format!("resolving {}", packages.join(" ")))?)
    }

    /// Downloads `packages` into the folder `into` and checks them against the signed lists.
    pub fn download(&self, packages: &[Package], into: &Path) -> Result<Vec<Deb>> {
        fs::create_dir_all(into).with_context(|| format!("creating {}", into.display()))?;
        let total = packages.iter().map(|package| package.size).sum();
        let count = packages.len();
        let noun = if count == 1 { "package" } else { "packages" };
        let phase = format!("download {count} {noun} of {} for {}", self.suite, self.arch);
        self.reporter.report(&Event::Phase { name: phase.clone(), total: Some(total), bytes: true });
        let start = std::time::Instant::now();
        let exact = packages.iter().map(Package::exact).collect::<Vec<_>>();
        let words = std::iter::once("download").chain(exact.iter().map(String::as_str)).collect::<Vec<_>>();
        self.apt(&self.launcher.in_dir(into), &words, total).context("downloading packages")?;
        let seconds = start.elapsed().as_secs_f64();
        self.reporter.report(&Event::Done { name: phase, amount: total, bytes: true, seconds });
        let found = packages.iter().map(|package| Deb::new(package, into));
        found.collect()
    }

    /// Downloads `packages` with everything they depend on and unpacks all of it into `root`.
    pub fn install(&self, packages: &[&str], root: &Path) -> Result<()> {
        let debs = self.dir.join("debs");
        for deb in self.download(&self.resolve(packages)?, &debs)? {
            deb.unpack(self.launcher, root)?;
        }
        fs::remove_dir_all(&debs).with_context(|| format!("removing {}", debs.display()))
    }

    /// Runs `apt-get` on the private state and returns its stdout. `total` bytes are what the
    /// percentages that it reports stand for.
    fn apt(&self, launcher: &Launcher, words: &[&str], total: u64) -> Result<String> {
        let mut args = apt::options(&self.dir, self.arch.name());
        args.extend(words.iter().map(OsString::from));
        let mut said = Vec::new();
        let output = launcher.stream("apt-get", &args, |line| match apt::parse_percent(line) {
            Some(percent) => self.progress(percent, total),
            None if line.contains("status:") => {}
            None => said.push(line.to_owned()),
        })?;
        if output.success() {
            return Ok(output.stdout);
        }
        let said = said.join("; ");
        Err(ExitKind::Other
            .error(format!("apt-get {} failed with exit code {}: {said}", words[0], output.code)))
    }

    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn progress(&self, percent: f64, total: u64) {
        if total > 0 {
            let done = (total as f64 * percent / 100.0) as u64;
            self.reporter.report(&Event::Progress { done, total: Some(total), detail: None });
        }
    }
}
