//! A reason to refuse a disk, with its hint.

use crate::bail;
use crate::base::failure::{ExitKind, Reason};

/// One reason to refuse a disk, with the remedy as hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: String,
    pub hint: String,
}

/// Fails with all `refusals` as one error, if there are any.
pub fn refuse(refusals: &[Refusal]) -> anyhow::Result<()> {
    match refusals {
        [] => Ok(()),
        [Refusal { reason, hint }] => bail!(Refused, "{reason}"; hint: "{hint}"),
        several => {
            let reasons = several.iter().map(Refusal::to_reason).collect();
            let message = format_args!("refused for {} reasons", several.len());
            Err(ExitKind::Refused.error_with_reasons(message, reasons))
        }
    }
}

impl Refusal {
    /// The refusal as one of several reasons of an error.
    pub fn to_reason(&self) -> Reason {
        Reason { message: self.reason.clone(), hint: Some(self.hint.clone()) }
    }
}

pub(super) fn refusal(reason: impl Into<String>, hint: impl Into<String>) -> Refusal {
    Refusal { reason: reason.into(), hint: hint.into() }
}
