//! A reason to refuse a disk, with its hint.

use crate::bail;
use crate::base::failure::{ExitKind, Reason};

/// One reason to refuse a disk, with the remedy as hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: String,
    pub hint: String,
    pub(super) remedy: Remedy,
}

/// The kind of remedy that lifts a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Another disk, or a change of this one. No option lifts the refusal.
    Disk,
    /// Unmounting, by hand or by an option.
    Unmounting,
    /// An option, named in the hint, that accepts the disk or confirms it.
    Option,
}

/// Fails with all `refusals` as one error; succeeds where there are none.
pub fn refuse(refusals: &[Refusal]) -> anyhow::Result<()> {
    match refusals {
        [] => Ok(()),
        [Refusal { reason, hint, .. }] => bail!(Refused, "{reason}"; hint: "{hint}"),
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

/// A refusal that only another disk, or a change of this one, lifts.
pub(super) fn refusal<R: Into<String>, H: Into<String>>(reason: R, hint: H) -> Refusal {
    Refusal { reason: reason.into(), hint: hint.into(), remedy: Remedy::Disk }
}

/// A refusal that the option in its hint lifts.
pub(super) fn refusal_lifted_by_option<R: Into<String>, H: Into<String>>(reason: R, hint: H) -> Refusal {
    Refusal { remedy: Remedy::Option, ..refusal(reason, hint) }
}
