//! The builds that failed in one run of Nix, and which of them keeps an installable from being built.

use std::collections::HashMap;

use super::error;
use super::installable::Installable;
use super::path_info;
use super::programs::Programs;
use crate::base::process::Launcher;

/// What a run of Nix printed about the builds that failed.
#[derive(Debug, Default)]
pub struct BuildFailures {
    /// The errors, the cause first.
    pub causes: Vec<String>,
    /// The ends of the logs of the builders, by their derivations.
    pub logs: HashMap<String, Vec<String>>,
    /// The end of the log of the builder that was active last.
    pub last_log: Vec<String>,
    /// The last lines of ssh and git, which fetch inputs.
    pub foreign_lines: Vec<String>,
}

impl BuildFailures {
    /// The error for a failed build of `installable`, with the end of the log of the build that failed.
    pub fn error(&self, installable: &str, programs: &Programs) -> anyhow::Error {
        self.error_of(&self.causes, installable, programs)
    }

    /// The error for `installable`, one of several in this run: that of the build which it needs, rather than that of
    /// another one. `None` where all that it needs was built.
    pub fn error_for(&self, launcher: &Launcher, installable: &Installable) -> Option<anyhow::Error> {
        let programs = Programs::of(launcher);
        let name = installable.to_string();
        // Without the list of what it needs, any error may be that of the installable.
        let Ok(needed) = path_info::needed_derivations(launcher, installable) else {
            return Some(self.error(&name, &programs));
        };
        let is_needed = |text: &&String| match error::failed_derivations(text) {
            Some(mut failed) => failed.any(|derivation| needed.contains(derivation)),
            None => error::first_derivation(text).is_none_or(|derivation| needed.contains(derivation)),
        };
        let causes = self.causes.iter().filter(is_needed).cloned().collect::<Vec<_>>();
        (!causes.is_empty()).then(|| self.error_of(&causes, &name, &programs))
    }

    fn error_of(&self, causes: &[String], installable: &str, programs: &Programs) -> anyhow::Error {
        let derivation = causes.first().and_then(|text| error::first_derivation(text));
        let log = derivation.and_then(|derivation| self.logs.get(derivation)).unwrap_or(&self.last_log);
        error::build_failed(installable, causes, &self.foreign_lines, log, programs)
    }
}
