//! A reason to refuse a disk, with its hint.

use std::fmt;

use crate::bail;

/// One reason to refuse a disk, with the remedy as hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: String,
    pub hint: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason, self.hint)
    }
}

/// Fails with all `refusals` as one error, if there are any.
pub fn refuse(refusals: &[Refusal]) -> anyhow::Result<()> {
    match refusals {
        [] => Ok(()),
        [Refusal { reason, hint }] => bail!(Refused, "{reason}"; hint: "{hint}"),
        several => {
            let lines = several.iter().map(|refusal| format!("\n  - {refusal}")).collect::<String>();
            bail!(Refused, "refused for {} reasons:{lines}", several.len())
        }
    }
}

pub(super) fn refusal(reason: impl Into<String>, hint: impl Into<String>) -> Refusal {
    Refusal { reason: reason.into(), hint: hint.into() }
}
