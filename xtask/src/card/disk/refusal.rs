//! A reason why a disk is not written, and what to do about it.

use std::fmt;

use crate::base::failure::ExitKind;

/// One reason and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: String,
    pub remedy: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason, self.remedy)
    }
}

/// The refusals as one error, for a command that wants to go on only without any.
pub fn refuse(refusals: &[Refusal]) -> anyhow::Result<()> {
    let lines = refusals.iter().map(ToString::to_string).collect::<Vec<_>>();
    match lines.as_slice() {
        [] => Ok(()),
        [one] => Err(ExitKind::Refused.error(one)),
        many => Err(ExitKind::Refused.error(format!("nothing was written:\n  - {}", many.join("\n  - ")))),
    }
}

pub(super) fn refusal(reason: impl Into<String>, remedy: impl Into<String>) -> Refusal {
    Refusal { reason: reason.into(), remedy: remedy.into() }
}
