//! Trials of new systems, as the host's command `boot-trial` reports them.
//!
//! The host boots a new system once, on trial, and starts its blessed system again unless somebody blesses the new one.

use serde::Serialize;

use super::excerpt::truncated;
use super::query::Answer;
use crate::nix::StorePath;

/// The version of `boot-trial status` that is understood.
const VERSION: &str = "1";
/// How many lines of the answer are read.
const MAX_LINES: usize = 64;
/// How many marks are read, and the characters of each.
const MAX_MARKS: usize = 32;
const MAX_MARK: usize = 64;
/// The longest time for a confirmation that is believed, in seconds: a day, as the option of the host has it.
const MAX_WITHIN: u64 = 86_400;

/// The mark of a trial whose own checks have passed.
#[cfg(test)]
const HEALTHY: &str = "healthy";

/// What a host knows of trials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Trial {
    /// The host has no trials.
    #[default]
    Absent,
    /// The host has the command, but its answer is of no use.
    Unreadable {
        error: String,
    },
    Known(Box<TrialStatus>),
}

/// The answer of `boot-trial status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrialStatus {
    /// Why no trial is possible; `None` if one is.
    pub missing: Option<String>,
    /// The system that the kernel was told to start.
    pub booted: Option<StorePath>,
    /// The system that the boot menu starts by default.
    pub blessed: Option<StorePath>,
    /// The booted system, if it is on trial.
    pub on_trial: Option<StorePath>,
    /// The system that the next boot tries.
    pub pending: Option<StorePath>,
    /// Who blesses the system that is pending or on trial.
    pub by: Option<Blesser>,
    /// After how many seconds from the start of its kernel a trial ends.
    pub within: u64,
    /// How far the trial has come.
    pub marks: Vec<String>,
    /// The last trial that has ended.
    pub last: Option<LastTrial>,
}

/// Who blesses a system on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Blesser {
    Deployer,
    /// The host, by its own checks.
    #[serde(rename = "self")]
    Host,
}

/// A trial that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastTrial {
    pub system: Option<StorePath>,
    pub outcome: TrialOutcome,
    /// Why the host went back, if it could note that.
    pub reason: Option<String>,
    pub marks: Vec<String>,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialOutcome {
    Blessed,
    RolledBack,
    Aborted,
    Replaced,
}

impl Trial {
    /// Reads the parts `trial` and `trial-command` of an answer.
    pub fn read(answer: &Answer) -> Self {
        let fields =
            Fields(answer.lines("trial").take(MAX_LINES).filter_map(|it| it.split_once('=')).collect());
        match (fields.text("version").as_deref(), answer.first("trial-command")) {
            (Some(VERSION), _) => Self::Known(Box::new(TrialStatus::read(&fields))),
            (Some(other), _) => {
                Self::Unreadable { error: format!("its answer has version {other}, not {VERSION}") }
            }
            (None, Some(_)) => Self::Unreadable { error: "it gives no answer".into() },
            (None, None) => Self::Absent,
        }
    }

    /// The status, if it is known.
    #[cfg(test)]
    pub fn known(&self) -> Option<&TrialStatus> {
        match self {
            Self::Known(status) => Some(status),
            _ => None,
        }
    }
}

impl TrialStatus {
    fn read(fields: &Fields) -> Self {
        let by = match fields.get("by") {
            Some("deployer") => Some(Blesser::Deployer),
            Some("self") => Some(Blesser::Host),
            _ => None,
        };
        Self {
            missing: fields.text("missing"),
            booted: fields.path("booted"),
            blessed: fields.path("blessed"),
            on_trial: fields.path("trial"),
            pending: fields.path("pending"),
            by,
            within: fields.get("within").and_then(|it| it.parse().ok()).unwrap_or(0).min(MAX_WITHIN),
            marks: fields.marks("marks"),
            last: LastTrial::read(fields),
        }
    }

    /// The system that the next boot starts, unless the one on trial is blessed before.
    #[cfg(test)]
    pub fn next_boot(&self) -> Option<&StorePath> {
        self.pending.as_ref().or(self.blessed.as_ref())
    }

    /// Whether the booted system is on trial and has passed the host's own checks.
    #[cfg(test)]
    pub fn is_healthy(&self) -> bool {
        self.on_trial.is_some() && self.marks.iter().any(|mark| mark == HEALTHY)
    }

    /// The last trial, if the host went back.
    pub fn rollback(&self) -> Option<&LastTrial> {
        self.last.as_ref().filter(|last| last.outcome == TrialOutcome::RolledBack)
    }
}

impl LastTrial {
    fn read(fields: &Fields) -> Option<Self> {
        let outcome = match fields.get("last-outcome")? {
            "blessed" => TrialOutcome::Blessed,
            "rolled-back" => TrialOutcome::RolledBack,
            "aborted" => TrialOutcome::Aborted,
            "replaced" => TrialOutcome::Replaced,
            _ => return None,
        };
        Some(Self {
            system: fields.path("last-system"),
            outcome,
            reason: fields.text("last-reason"),
            marks: fields.marks("last-marks"),
        })
    }

    /// Why the host went back, or how far the trial had come.
    pub fn why(&self) -> String {
        match (&self.reason, self.marks.last()) {
            (Some(reason), _) => reason.clone(),
            (None, Some(mark)) => format!("the host could note no reason; the boot had come to {mark}"),
            (None, None) => {
                "the host could note no reason; the boot had not come to the system's first unit".into()
            }
        }
    }
}

/// The lines `KEY=VALUE` of an answer. The first of a key counts.
struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    /// The value of a key; `None` if it is empty or missing.
    fn get(&self, key: &str) -> Option<&'a str> {
        let (_, value) = self.0.iter().find(|(name, _)| *name == key)?;
        Some(*value).filter(|value| !value.is_empty())
    }

    fn text(&self, key: &str) -> Option<String> {
        self.get(key).map(truncated)
    }

    /// The value, if it is a store path and nothing else.
    fn path(&self, key: &str) -> Option<StorePath> {
        let value = self.get(key)?;
        StorePath::containing(value).filter(|path| path.as_str() == value)
    }

    fn marks(&self, key: &str) -> Vec<String> {
        let words = self.get(key).unwrap_or_default().split_whitespace();
        words.take(MAX_MARKS).map(|word| word.chars().take(MAX_MARK).collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-old";
    const NEW: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-new";

    fn read(status: &str) -> Trial {
        Trial::read(&Answer::of(&[
            ("trial", status),
            ("trial-command", "/run/current-system/sw/bin/boot-trial\n"),
        ]))
    }

    fn known(status: &str) -> TrialStatus {
        read(&format!("version=1\n{status}")).known().cloned().unwrap()
    }

    fn path(text: &str) -> Option<StorePath> {
        StorePath::containing(text)
    }

    #[test]
    fn a_host_with_a_pending_system() {
        let found = known(&format!(
            "missing=\nbooted={OLD}\nblessed={OLD}\npending={NEW}\nby=self\nwithin=600\nmarks=\n\
             last-system={OLD}\nlast-outcome=blessed\nlast-reason=\nlast-marks=begun healthy\n"
        ));
        let last = LastTrial {
            system: path(OLD),
            outcome: TrialOutcome::Blessed,
            reason: None,
            marks: ["begun", "healthy"].map(str::to_owned).to_vec(),
        };
        let expected = TrialStatus {
            booted: path(OLD),
            blessed: path(OLD),
            pending: path(NEW),
            by: Some(Blesser::Host),
            within: 600,
            last: Some(last),
            ..TrialStatus::default()
        };
        assert_eq!(found, expected);
        assert_eq!((found.next_boot(), found.rollback()), (path(NEW).as_ref(), None));
    }

    #[test]
    fn a_host_on_trial() {
        let status =
            format!("booted={NEW}\nblessed={OLD}\ntrial={NEW}\nby=deployer\nmarks=begun sshd.service");
        let booting = known(&status);
        assert_eq!((booting.on_trial.as_ref(), booting.by), (path(NEW).as_ref(), Some(Blesser::Deployer)));
        assert!(!booting.is_healthy() && known(&format!("{status} healthy")).is_healthy());
        assert_eq!(booting.next_boot(), path(OLD).as_ref());
    }

    #[test]
    fn why_a_host_went_back() {
        for (fields, expected) in [
            ("last-reason=the check octoprint failed\nlast-marks=begun", "the check octoprint failed"),
            (
                "last-marks=begun network.target",
                "the host could note no reason; the boot had come to network.target",
            ),
            ("", "the host could note no reason; the boot had not come to the system's first unit"),
        ] {
            let status = known(&format!("last-outcome=rolled-back\n{fields}"));
            assert_eq!(status.rollback().unwrap().why(), expected);
        }
    }

    #[test]
    fn answers_that_are_of_no_use() {
        let unreadable = |error: &str| Trial::Unreadable { error: error.into() };
        for (status, expected) in [
            ("", unreadable("it gives no answer")),
            ("Segmentation fault", unreadable("it gives no answer")),
            ("version=2\nbooted=x", unreadable("its answer has version 2, not 1")),
        ] {
            assert_eq!(read(status), expected, "{status}");
        }
        assert_eq!(Trial::read(&Answer::default()), Trial::Absent);
        for status in
            ["booted=/etc", "booted=/nix/store/x", &format!("booted={NEW}/init"), "within=x", "by=me"]
        {
            assert_eq!(known(status), TrialStatus::default(), "{status}");
        }
    }

    #[test]
    fn answers_are_cut() {
        let long = "x".repeat(1 << 20);
        let marks = format!("{long} ").repeat(3) + &"y ".repeat(1000);
        let found = known(&format!("missing={long}\nmarks={marks}\nwithin=18446744073709551615\n"));
        assert!(found.missing.unwrap().len() < 600);
        assert_eq!(
            (found.marks.len(), found.marks[0].len(), found.within),
            (MAX_MARKS, MAX_MARK, MAX_WITHIN)
        );
        assert_eq!(known(&format!("{}by=self", "x=y\n".repeat(MAX_LINES))).by, None);
    }

    #[test]
    fn the_json_of_a_trial() {
        let json = |trial: &Trial| serde_json::to_value(trial).unwrap();
        assert_eq!(json(&Trial::Absent), serde_json::Value::Null);
        assert_eq!(json(&read(""))["error"], "it gives no answer");
        assert_eq!(json(&read(&format!("version=1\npending={NEW}\nby=self")))["by"], "self");
    }

    #[test]
    fn fuzz() {
        let status = format!(
            "version=1\nmissing=\nbooted={OLD}\nblessed={OLD}\ntrial={NEW}\nby=deployer\nwithin=600\n\
             marks=begun healthy\nlast-system={NEW}\nlast-outcome=rolled-back\nlast-reason=x\nlast-marks=begun\n"
        );
        crate::base::fuzz::check_text(&[&status], |text| {
            let trial = read(text);
            let why = trial.known().and_then(TrialStatus::rollback).map(LastTrial::why);
            assert!(why.is_none_or(|why| why.len() < 4096), "too long");
        });
    }
}
