//! The Nix of a release of Debian, for suites that run with another Nix than the machine's.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::base::failure::{ExitKind, kind};
use crate::base::lock::Lock;
use crate::base::process::Launcher;
use crate::base::{Context, state};
use crate::nix::{Release, private_nix};
use crate::setup;

/// A Nix that Debian has packaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebianNix {
    /// That of Debian 13, which `setup` installs: 2.26.
    Trixie,
    /// The newest that Debian has.
    Newest,
}

impl DebianNix {
    /// The suites of Debian to take it from, the first that has it.
    fn suites(self) -> &'static [&'static str] {
        match self {
            Self::Trixie => &["trixie"],
            Self::Newest => &["forky", "sid"],
        }
    }

    /// The launcher with this Nix in front of `PATH`. Its packages are unpacked in the state folder, with a loader and
    /// libraries of their own; the system stays as it is. A later run fetches them again only if Debian has another
    /// version, and works without a network.
    ///
    /// # Errors
    /// Where it is not there, and cannot be fetched; `Interrupted` where the user stops that.
    pub fn stage(self, cx: &Context) -> Result<Launcher> {
        let home = cx.state.join("tools");
        state::create_private_folder(&home)?;
        let reporter = cx.reporter.as_ref();
        let _lock = Lock::take(&home.join("stage.lock"), "another run that prepares the demo", reporter)?;
        let prefix = self.prefix(&home);
        if let Err(error) = setup::install_newest_nix(cx, self.suites(), &prefix) {
            if kind(&error) == ExitKind::Interrupted || !prefix.join("bin/nix").exists() {
                return Err(error).context("fetching the Nix of Debian");
            }
            cx.warn_of(&error);
        }
        let launcher = private_nix::with_private_nix(cx.launcher.clone(), &prefix);
        let release =
            Release::of(&launcher).map_or_else(|| "no version".to_owned(), |found| found.to_string());
        cx.note(format!("the suite runs with {release} in {}", prefix.display()));
        Ok(launcher)
    }

    /// The folder of this Nix in the folder `home`.
    fn prefix(self, home: &Path) -> PathBuf {
        home.join(format!("nix-{}", self.suites()[0]))
    }
}
