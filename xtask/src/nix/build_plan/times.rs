//! How long builds took on this machine, by the names of their packages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::base::state;
use crate::nix::split_version;

/// The most packages that are remembered.
const MAX_PACKAGES: usize = 4096;
/// The most bytes that are read of the file.
const MAX_BYTES: u64 = 4 << 20;
/// Builds that take less are not remembered, in seconds.
const MIN_SECONDS: f64 = 0.5;

/// A build that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildTime {
    /// The name of the derivation, without `.drv`.
    pub name: String,
    pub is_emulated: bool,
    pub seconds: f64,
}

/// The remembered times: seconds of the last build of each package, emulated or not.
#[derive(Default, Serialize, Deserialize)]
pub struct BuildTimes {
    native: BTreeMap<String, f64>,
    emulated: BTreeMap<String, f64>,
}

impl BuildTimes {
    /// The times in the state folder `state`; none where the file cannot be read.
    pub fn load(state: &Path) -> Self {
        let bytes = state::read(&file(state), MAX_BYTES).ok().flatten().unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// The seconds that the last build of the package of the derivation `name` took.
    pub fn seconds(&self, name: &str, is_emulated: bool) -> Option<f64> {
        self.table(is_emulated).get(split_version(name).0).copied().filter(|seconds| seconds.is_finite())
    }

    /// Remembers `times` in the state folder `state`.
    ///
    /// # Errors
    /// A state folder that cannot be written.
    pub fn remember(state: &Path, times: &[BuildTime]) -> Result<()> {
        let mut all = Self::load(state);
        if !all.add(times) {
            return Ok(());
        }
        state::create_private_folder(state)?;
        state::write(&file(state), &serde_json::to_vec(&all)?)
    }

    /// Adds `times`, and returns whether that changed something.
    fn add(&mut self, times: &[BuildTime]) -> bool {
        let mut is_changed = false;
        for time in times.iter().filter(|time| time.seconds >= MIN_SECONDS) {
            let table = if time.is_emulated { &mut self.emulated } else { &mut self.native };
            let package = split_version(&time.name).0;
            if table.len() < MAX_PACKAGES || table.contains_key(package) {
                table.insert(package.to_owned(), time.seconds);
                is_changed = true;
            }
        }
        is_changed
    }

    fn table(&self, is_emulated: bool) -> &BTreeMap<String, f64> {
        if is_emulated { &self.emulated } else { &self.native }
    }
}

fn file(state: &Path) -> PathBuf {
    state.join("build-times.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(name: &str, is_emulated: bool, seconds: f64) -> BuildTime {
        BuildTime { name: name.to_owned(), is_emulated, seconds }
    }

    #[test]
    fn the_last_time_of_a_package_counts_for_all_its_versions() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        assert!(BuildTimes::load(&state).seconds("hello-2.12", false).is_none());
        BuildTimes::remember(&state, &[time("hello-2.12", false, 3.0), time("hello-2.12", true, 30.0)])
            .unwrap();
        BuildTimes::remember(&state, &[time("hello-2.13", false, 4.0), time("quick-1", false, 0.1)]).unwrap();
        let times = BuildTimes::load(&state);
        assert_eq!(times.seconds("hello-3", false), Some(4.0));
        assert_eq!(times.seconds("hello-3", true), Some(30.0));
        assert_eq!(times.seconds("quick-1", false), None);
    }

    #[test]
    fn a_file_that_is_damaged_has_no_times() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        BuildTimes::remember(&state, &[time("hello-2.12", false, 3.0)]).unwrap();
        state::write(&file(&state), b"{\"native\":").unwrap();
        assert!(BuildTimes::load(&state).seconds("hello-2.12", false).is_none());
    }
}
