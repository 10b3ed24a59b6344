//! Trials of new systems, as the host's command `boot-trial` reports them.
//!
//! The host boots a new system once, on trial, and starts its blessed system again unless somebody blesses the new one.

use schemars::JsonSchema;
use serde::Serialize;

use super::excerpt::truncate;
use super::query::Answer;
use crate::nix::StorePath;

/// The version of the answers that this tool reads.
const VERSION: &str = "1";
/// How many lines of the answer are read.
pub const MAX_LINES: usize = 64;
/// How many marks are read.
pub const MAX_MARKS: usize = 32;
/// How many characters of a mark are read.
pub const MAX_MARK_CHARS: usize = 64;
/// The longest `within` in seconds; larger values are cut to it. A day is the limit of the host's own option.
pub const MAX_WITHIN: u64 = 86_400;

/// The mark of a trial whose own checks have passed.
const HEALTHY: &str = "healthy";

/// What a host knows of trials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "TrialState")]
pub enum Trial {
    /// The host has no trials.
    #[default]
    Absent,
    /// The host has `boot-trial`, but its answer cannot be used.
    Unreadable {
        error: String,
    },
    Known(Box<TrialStatus>),
}

/// The answer of `boot-trial status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
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
    /// How many seconds after the start of its kernel a trial ends; 0 if the host does not report it.
    #[serde(rename = "within_seconds")]
    pub within: u64,
    /// The marks of how far the trial has come, the first one first.
    pub marks: Vec<String>,
    /// The last trial that has ended.
    pub last: Option<LastTrial>,
}

/// Who blesses a system on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blesser {
    Deployer,
    /// The host, by its own checks.
    #[serde(rename = "self")]
    Host,
}

/// A trial that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LastTrial {
    pub system: Option<StorePath>,
    pub outcome: TrialOutcome,
    /// Why the host went back, if the host recorded a reason.
    pub reason: Option<String>,
    pub marks: Vec<String>,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
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
        let lines = answer.lines("trial").take(MAX_LINES);
        let fields = Fields(lines.filter_map(|line| line.split_once('=')).collect());
        match (fields.text("version").as_deref(), answer.first_line("trial-command")) {
            (Some(VERSION), _) => Self::Known(Box::new(TrialStatus::read(&fields))),
            (Some(other), _) => {
                Self::Unreadable { error: format!("its answer has version {other}, not {VERSION}") }
            }
            (None, Some(_)) => Self::Unreadable { error: "it gives no answer".into() },
            (None, None) => Self::Absent,
        }
    }

    /// The status; `None` for a host without trials, or with an answer that cannot be used.
    pub fn status(&self) -> Option<&TrialStatus> {
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
            within: fields.seconds("within"),
            marks: fields.marks("marks"),
            last: LastTrial::read(fields),
        }
    }

    /// The system that the next boot starts, unless the one on trial is blessed before; `None` if it is unknown.
    pub fn next_boot(&self) -> Option<&StorePath> {
        self.pending.as_ref().or(self.blessed.as_ref())
    }

    /// Whether the booted system is on trial and has passed the host's own checks.
    pub fn is_healthy(&self) -> bool {
        self.on_trial.is_some() && self.marks.iter().any(|mark| mark == HEALTHY)
    }

    /// The last trial, if the host went back from it.
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
    pub fn reason_text(&self) -> String {
        match (&self.reason, self.marks.last()) {
            (Some(reason), _) => reason.clone(),
            (None, Some(mark)) => {
                format!("the host recorded no reason; its boot reached the mark `{mark}`")
            }
            (None, None) => {
                "the host recorded no reason; its boot reached no mark, so not even the first unit ran".into()
            }
        }
    }
}

/// The keys and values of an answer, of lines `KEY=VALUE`. The first line with a key counts.
struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    /// The value of a key; `None` if it is empty or missing.
    fn get(&self, key: &str) -> Option<&'a str> {
        let (_, value) = self.0.iter().find(|(name, _)| *name == key)?;
        Some(*value).filter(|value| !value.is_empty())
    }

    /// The value of `key`, truncated.
    fn text(&self, key: &str) -> Option<String> {
        self.get(key).map(truncate)
    }

    /// The value of `key` as a number of at most [`MAX_WITHIN`] seconds; 0 if there is none.
    fn seconds(&self, key: &str) -> u64 {
        let seconds = self.get(key).and_then(|value| value.parse().ok());
        seconds.unwrap_or(0).min(MAX_WITHIN)
    }

    /// The value of `key`, if it is a store path and nothing else.
    fn path(&self, key: &str) -> Option<StorePath> {
        let value = self.get(key)?;
        StorePath::containing(value).filter(|path| path.as_str() == value)
    }

    /// The words of the value of `key`, each truncated.
    fn marks(&self, key: &str) -> Vec<String> {
        let words = self.get(key).unwrap_or_default().split_whitespace();
        words.take(MAX_MARKS).map(|word| word.chars().take(MAX_MARK_CHARS).collect()).collect()
    }
}
