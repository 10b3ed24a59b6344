//! What is going to be done to a host, shown before it is done.

use std::fmt;

use serde_json::{Value, json};

use super::closure::{Closure, Diff};
use super::host::{SshMux, State};
use super::host_lock::HostLock;
use super::options::Goal;
use super::target::Target;
use super::timings::Timings;
use super::verdict::{self, Verdict};
use crate::nix::StorePath;

/// A host, what it runs, and what it is meant to run.
#[derive(Debug)]
pub struct Plan {
    pub target: Target,
    pub goal: Goal,
    pub before: State,
    /// What the host has of what is going to change, if it said so when it was looked at.
    pub closure: Option<Closure>,
    /// `None` where it is not known, or there is nothing to compare with.
    pub diff: Option<Diff>,
    pub timings: Timings,
    /// What is asked of the host before it is changed goes over this.
    pub line: Option<SshMux>,
    /// Held until the plan was carried out; a plan that is only shown has none.
    #[expect(dead_code, reason = "holds the turn")]
    pub turn: Option<HostLock>,
}

impl Plan {
    /// The verdict where the host already is as it is meant to be, so that nothing needs to be done.
    pub fn already_done(&self) -> Option<Verdict> {
        verdict::judge_before(&self.target, self.goal, &self.before)
    }

    /// What would be done, in one line.
    pub fn summary(&self) -> String {
        let (host, to) = (&self.target.host, self.target.system.as_ref().unwrap_or(&self.target.path));
        match (self.already_done(), &self.diff) {
            (Some(_), _) => format!("{host} already runs {to}: nothing would be done"),
            (None, Some(diff)) => format!("{host} would run {to}: {}", diff.summary()),
            (None, None) => format!("{host} would run {to}"),
        }
    }

    pub fn json(&self) -> Value {
        json!({
            "host": self.target.host,
            "verdict": null,
            "already_done": self.already_done().is_some(),
            "meant": { "system": self.target.system, "profile": self.target.path },
            "before": self.before,
            "diff": self.diff,
            "way_back": self.way_back(),
            "seconds": self.timings,
        })
    }

    /// What there is to say about going back, should the deploy fail.
    fn way_back(&self) -> Option<&'static str> {
        match &self.before {
            State { way_back: true, .. } => None,
            State { profile: None, .. } => {
                Some("it cannot roll back by itself: there is no generation to go back to")
            }
            _ if self.lacks_way_back() => Some(
                "deploy-rs could not go back to what was flashed: it is made a generation that it can go back to",
            ),
            _ => Some("it cannot roll back by itself: the generation it has was not made by deploy-rs"),
        }
    }

    /// Whether the host has a system that deploy-rs does not know how to go back to, and that can be helped.
    pub fn lacks_way_back(&self) -> bool {
        !self.before.way_back && self.before.switches && !self.target.interactive_sudo
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { host, connection, system, path, .. } = &self.target;
        let before = shown(self.before.current.as_ref().or(self.before.profile.as_ref()));
        let verb = match self.goal {
            Goal::Show => "would deploy",
            Goal::Switch => "deploy",
            Goal::Boot => "deploy for the next boot of",
        };
        writeln!(f, "{verb} {host} as {}", connection.destination)?;
        writeln!(f, "  from  {before}")?;
        write!(f, "  to    {}", system.as_ref().unwrap_or(path))?;
        if let Some(diff) = &self.diff {
            write!(f, "\n{diff}")?;
        }
        match self.way_back() {
            Some(note) => write!(f, "\n  note  {note}"),
            None => Ok(()),
        }
    }
}

pub fn shown(path: Option<&StorePath>) -> &str {
    path.map_or("nothing that is in a store", StorePath::as_str)
}
