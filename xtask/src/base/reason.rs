//! The reasons of a failure, each with its remedy.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failure::{self, ExitKind};
use super::room;

/// One reason of a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// What was found, for programs; `None` for reasons that have no word of their own.
    #[serde(default)]
    pub kind: Option<ReasonKind>,
    pub message: String,
    /// The remedy.
    #[serde(default)]
    pub hint: Option<String>,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasonKind {
    /// The disk is of a kind that is never a card.
    NotACard,
    /// There is no disk of the name.
    NoSuchDisk,
    /// Several disks may be meant, or one is named twice.
    Ambiguous,
    /// The drive has no medium.
    NoMedium,
    /// The running system needs the disk.
    SystemDisk,
    /// The disk is mounted, or in use otherwise.
    InUse,
    /// The disk stores a file that the command reads, or keys.
    ProtectedPath,
    /// The image does not fit.
    TooSmall,
    /// The disk has other sectors than a card.
    SectorSize,
    ReadOnly,
    /// The disk is another than the command line expects, or than was confirmed.
    NotExpected,
    /// Nobody has confirmed that the disk is overwritten.
    NotConfirmed,
    /// The kernel, the device tree or what U-Boot scans would keep the host from its next boot.
    UBoot,
    /// The firmware of the host is older than the new system, or lacks a file.
    Firmware,
    /// The host cannot try the new system.
    Trial,
    /// The flake, the release or the backup lacks the host.
    UnknownHost,
    /// The flake lacks a deploy node of the host, and none can be made.
    NoNode,
    /// There is no Nix on `PATH`, or it is too old.
    MissingNix,
    /// A program that the command needs is missing.
    MissingProgram,
    /// The flake has changes that no commit has.
    DirtyTree,
    /// Another run holds what the command needs.
    Locked,
    /// A disk is too full, on this machine or on the host.
    NoRoom,
    /// This machine cannot build for the system of the host.
    NoEmulation,
    /// Nix could not evaluate the flake.
    EvaluationFailed,
    /// Nix could not build what the command needs.
    BuildFailed,
    /// A server of the internet, or an input of the flake, cannot be fetched.
    NoNetwork,
}

impl ReasonKind {
    /// The error of a refusal for this one reason, with the remedy as `hint`.
    pub fn refusal(self, message: impl fmt::Display, hint: Option<String>) -> anyhow::Error {
        self.error(ExitKind::Refused, message, hint)
    }

    /// The error of this `kind` for this one reason, with the remedy as `hint`.
    pub fn error(self, kind: ExitKind, message: impl fmt::Display, hint: Option<String>) -> anyhow::Error {
        let message = message.to_string();
        let reason = Reason { kind: Some(self), message: message.clone(), hint: hint.clone() };
        kind.error_with(message, hint, vec![reason])
    }

    /// What the only reason of `error` found, or what its input/output error says.
    fn of(error: &anyhow::Error) -> Option<Self> {
        match failure::reasons(error) {
            [only] => only.kind,
            [] => room::is_of_full_disk(error).then_some(Self::NoRoom),
            _ => None,
        }
    }
}

impl Reason {
    /// The text and the hint of `error` as a reason, of the kind of its only reason.
    pub fn of_error(error: &anyhow::Error) -> Self {
        let hint = failure::hint(error).map(str::to_owned);
        Self { kind: ReasonKind::of(error), message: failure::text(error), hint }
    }
}

/// Fails with all `reasons` as one refusal; succeeds where there are none.
///
/// # Errors
/// `Refused`.
pub fn refuse(reasons: Vec<Reason>) -> anyhow::Result<()> {
    let error = match &reasons[..] {
        [] => return Ok(()),
        [Reason { message, hint, .. }] => {
            ExitKind::Refused.error_with(message.clone(), hint.clone(), reasons)
        }
        several => {
            let message = format!("refused for {} reasons", several.len());
            ExitKind::Refused.error_with_reasons(message, reasons)
        }
    };
    Err(error)
}

/// The reasons of `error` for programs. A refusal has at least one, and any other error where the reason has a word; a
/// single one has the text and the hint of `error`, with its contexts.
pub fn reported_reasons(error: &anyhow::Error) -> Vec<Reason> {
    match failure::reasons(error) {
        [] if failure::kind(error) != ExitKind::Refused && ReasonKind::of(error).is_none() => Vec::new(),
        [] | [_] => vec![Reason::of_error(error)],
        several => several.to_vec(),
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hint {
            Some(hint) => write!(f, "{}; {hint}", self.message),
            None => f.write_str(&self.message),
        }
    }
}
