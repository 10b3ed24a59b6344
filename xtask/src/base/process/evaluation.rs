//! The rules for all children that evaluate flakes.

use std::fmt;

use super::Launcher;
use crate::base::TimeLimit;

/// The rules for evaluations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    forbids_builds: bool,
    /// The time that one evaluation may take.
    limit: TimeLimit,
}

impl Default for Rules {
    fn default() -> Self {
        Self { forbids_builds: false, limit: TimeLimit::from_minutes(10) }
    }
}

/// The error of a child that exceeded its time limit.
#[derive(Debug)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the time limit is exceeded")
    }
}

impl std::error::Error for TimedOut {}

impl Launcher {
    /// The same launcher, whose evaluations build nothing.
    #[must_use]
    pub fn forbidding_builds(mut self) -> Self {
        self.evaluations.forbids_builds = true;
        self
    }

    /// The same launcher, whose evaluations may build what they read, unless a build could read the keys of hosts.
    #[must_use]
    pub fn allowing_builds(mut self) -> Self {
        self.evaluations.forbids_builds = false;
        self
    }

    /// Whether an evaluation must not build anything. A launcher that protects keys forbids builds too: a build of root
    /// needs the capabilities that override the modes of files, so the build could read the keys of hosts.
    pub fn forbids_builds(&self) -> bool {
        self.evaluations.forbids_builds || self.protects_keys()
    }

    /// The same launcher, each of whose evaluations takes at most `limit`.
    #[must_use]
    pub fn limiting_evaluations(mut self, limit: TimeLimit) -> Self {
        self.evaluations.limit = limit;
        self
    }

    /// The time that one evaluation may take.
    pub fn evaluation_limit(&self) -> TimeLimit {
        self.evaluations.limit
    }
}
