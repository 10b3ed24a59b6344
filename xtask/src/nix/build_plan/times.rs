//! How long builds took on this machine, by the names of their packages.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::base::lock::Lock;
use crate::base::state;
use crate::nix::split_version;

/// The most packages that are remembered, native or emulated: those that take longest.
const MAX_PACKAGES: usize = 4096;
/// The most bytes that are read of the file.
const MAX_BYTES: u64 = 4 << 20;
/// The seconds of builds that are remembered, up to 30 days. The file may have been edited.
const SECONDS: RangeInclusive<f64> = 0.5..=30.0 * 24.0 * 3600.0;

/// The name of the lock for writing the file.
const LOCK: &str = "build-times.lock";
/// The maximum wait for another run that writes.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

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
        self.table(is_emulated)
            .get(split_version(name).0)
            .copied()
            .filter(|seconds| SECONDS.contains(seconds))
    }

    /// Remembers `times` in the state folder `state`.
    ///
    /// # Errors
    /// A state folder that cannot be written.
    pub fn remember(state: &Path, times: &[BuildTime]) -> Result<()> {
        if !Self::default().add(times) {
            return Ok(());
        }
        state::create_private_folder(state)?;
        // Another run must not remember its builds between the reading and the writing.
        let _lock = Lock::take_within(&state.join(LOCK), LOCK_TIMEOUT)?;
        let mut all = Self::load(state);
        all.add(times);
        state::write(&file(state), &serde_json::to_vec(&all)?)
    }

    /// Adds `times`, and returns whether that changed something.
    fn add(&mut self, times: &[BuildTime]) -> bool {
        let mut is_changed = false;
        for time in times.iter().filter(|time| SECONDS.contains(&time.seconds)) {
            let table = if time.is_emulated { &mut self.emulated } else { &mut self.native };
            table.insert(split_version(&time.name).0.to_owned(), time.seconds);
            forget_the_quickest(table);
            is_changed = true;
        }
        is_changed
    }

    fn table(&self, is_emulated: bool) -> &BTreeMap<String, f64> {
        if is_emulated { &self.emulated } else { &self.native }
    }
}

/// Keeps `table` below its limit.
fn forget_the_quickest(table: &mut BTreeMap<String, f64>) {
    while table.len() > MAX_PACKAGES {
        let quickest = table.iter().min_by(|(_, one), (_, other)| one.total_cmp(other));
        let Some(package) = quickest.map(|(package, _)| package.clone()) else { return };
        table.remove(&package);
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
    fn builds_that_end_at_once_are_all_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let names = (0..8).map(|number| format!("p{number}-1")).collect::<Vec<_>>();
        std::thread::scope(|scope| {
            for name in &names {
                scope.spawn(|| BuildTimes::remember(&state, &[time(name, false, 3.0)]).unwrap());
            }
        });
        let times = BuildTimes::load(&state);
        assert!(names.iter().all(|name| times.seconds(name, false).is_some()));
    }

    #[test]
    fn a_file_that_is_damaged_has_no_times() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        BuildTimes::remember(&state, &[time("hello-2.12", false, 3.0)]).unwrap();
        state::write(&file(&state), b"{\"native\":").unwrap();
        assert!(BuildTimes::load(&state).seconds("hello-2.12", false).is_none());
    }

    #[test]
    fn times_that_no_build_takes_are_not_believed() {
        let text = r#"{"native":{"a":-1.0,"b":0.0,"c":1e300,"d":9.0},"emulated":{}}"#;
        let times: BuildTimes = serde_json::from_str(text).unwrap();
        let seconds = |name| times.seconds(name, false);
        assert_eq!(["a-1", "b-1", "c-1", "d-1"].map(seconds), [None, None, None, Some(9.0)]);
        assert!(!BuildTimes::default().add(&[time("x-1", true, f64::NAN), time("y-1", true, -2.0)]));
    }

    #[test]
    fn the_builds_that_take_longest_are_remembered() {
        let mut times = BuildTimes::default();
        let all = (1..=u16::try_from(MAX_PACKAGES + 2).unwrap())
            .map(|number| time(&format!("p{number}-1"), false, number.into()))
            .collect::<Vec<_>>();
        assert!(times.add(&all));
        assert_eq!(times.native.len(), MAX_PACKAGES);
        let seconds = |name| times.seconds(name, false);
        assert_eq!(["p2-1", "p3-1", "p4098-1"].map(seconds), [None, Some(3.0), Some(4098.0)]);
    }
}
