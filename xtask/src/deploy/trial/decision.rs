//! A decision of the user about a trial, its plan and its outcome, as people and programs read them.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::deploy::host::TrialStatus;
use crate::deploy::host_lock::HostLock;
use crate::deploy::plan::path_text;
use crate::deploy::target::Target;
use crate::nix::StorePath;

/// What is decided about a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The system on trial becomes the default of the boot menu.
    Bless,
    /// The next boot does not try the pending system.
    Abort,
}

impl Decision {
    /// The participle for messages, such as `blessed`.
    pub(super) fn participle(self) -> &'static str {
        match self {
            Self::Bless => "blessed",
            Self::Abort => "aborted",
        }
    }
}

/// What is true on the host after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecisionVerdict {
    Blessed,
    AlreadyBlessed,
    Aborted,
    NothingPending,
}

/// A decision about the trial of a host, before it is carried out.
pub struct DecisionPlan {
    pub target: Target,
    pub(super) decision: Decision,
    pub before: TrialStatus,
    /// The system to bless or to abort.
    pub system: StorePath,
    /// The verdict on a host that needs no change.
    pub(super) already_done: Option<DecisionVerdict>,
    /// Held until the decision is carried out.
    pub(super) _lock: HostLock,
}

/// A decision that was carried out.
pub struct DecisionOutcome {
    pub plan: DecisionPlan,
    pub verdict: DecisionVerdict,
    pub after: TrialStatus,
}

impl fmt::Display for DecisionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { host, connection, .. } = &self.target;
        let blessed = path_text(self.before.blessed.as_ref());
        match self.decision {
            Decision::Bless => {
                writeln!(f, "bless the system on trial on {host} as {}", connection.destination)?;
                writeln!(f, "  from  {blessed}")?;
                write!(f, "  to    {}", self.system)
            }
            Decision::Abort => {
                writeln!(f, "abort the trial of {host} as {}", connection.destination)?;
                writeln!(f, "  of    {}", self.system)?;
                write!(f, "  keep  {blessed}")
            }
        }
    }
}

impl DecisionPlan {
    /// Whether the decision changes the host.
    pub fn has_changes(&self) -> bool {
        self.already_done.is_none()
    }

    /// The system that the host starts by default before the decision.
    pub fn blessed(&self) -> Option<&StorePath> {
        self.before.blessed.as_ref()
    }
}

impl DecisionOutcome {
    /// The result in one line.
    pub fn summary(&self) -> String {
        let DecisionPlan { target, system, .. } = &self.plan;
        let host = &target.host;
        let next = path_text(self.after.next_boot());
        match self.verdict {
            DecisionVerdict::Blessed => format!("{host} keeps {system}, and boots it by default"),
            DecisionVerdict::AlreadyBlessed => format!("{host} already keeps {system}"),
            DecisionVerdict::Aborted => format!("{host} does not try {system}: its next boot starts {next}"),
            DecisionVerdict::NothingPending => {
                format!("{host} has nothing to try: its next boot starts {next}")
            }
        }
    }

    /// The verdict for programs, such as `blessed`.
    pub fn verdict_name(&self) -> String {
        serde_json::json!(self.verdict).as_str().unwrap_or_default().to_owned()
    }
}
