//! The reasons of a failure, each with its remedy.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failure;

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
    /// The disk has another size or serial number than the command line expects.
    NotExpected,
    /// Nobody has confirmed that the disk is overwritten.
    NotConfirmed,
    /// The kernel, the device tree or what U-Boot scans would keep the host from its next boot.
    UBoot,
    /// The firmware of the host is older than the new system, or lacks a file.
    Firmware,
    /// The host cannot try the new system.
    Trial,
}

impl Reason {
    /// The text and the hint of `error` as a reason.
    pub fn of_error(error: &anyhow::Error) -> Self {
        let hint = failure::hint(error).map(str::to_owned);
        Self { kind: None, message: format!("{error:#}"), hint }
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
