//! A reason to refuse a disk, with its hint.

use crate::base::failure::{self, Reason, ReasonKind};

/// One reason to refuse a disk, with the remedy as hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub(super) kind: ReasonKind,
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
    failure::refuse(refusals.iter().map(Refusal::to_reason).collect())
}

impl Refusal {
    /// The refusal as one of several reasons of an error.
    pub fn to_reason(&self) -> Reason {
        Reason { kind: Some(self.kind), message: self.reason.clone(), hint: Some(self.hint.clone()) }
    }
}

/// A refusal that only another disk, or a change of this one, lifts.
pub(super) fn refusal(kind: ReasonKind, reason: impl Into<String>, hint: impl Into<String>) -> Refusal {
    Refusal { kind, reason: reason.into(), hint: hint.into(), remedy: Remedy::Disk }
}

/// A refusal that the option in its hint lifts.
pub(super) fn refusal_lifted_by_option(
    kind: ReasonKind,
    reason: impl Into<String>,
    hint: impl Into<String>,
) -> Refusal {
    Refusal { remedy: Remedy::Option, ..refusal(kind, reason, hint) }
}
