//! The confirmation that a card may be overwritten, and the reasons why a confirmation does not suffice.

use super::refusal::{Refusal, lifted_by_option, refusal};
use super::{ConfirmPhrase, Disk, Request};
use crate::base::Bytes;

/// How the user confirms that a card may be overwritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// The user types it on the terminal after the plan is shown.
    Typed,
    /// The command line gives it for the disk of this size in bytes and this serial number.
    Expected { size: Option<u64>, serial: Option<String> },
    /// There is no terminal, and the command line gives none.
    Missing,
}

impl Confirmation {
    /// Why this suffices for no card at all: checked before the command waits for a card.
    pub fn refusal(&self) -> Option<Refusal> {
        let hint = "pass --yes with --expect-size SIZE or --expect-serial SERIAL";
        match self {
            Self::Missing => Some(lifted_by_option("there is no terminal to confirm the card on", hint)),
            Self::Expected { size: None, serial: None } => {
                Some(lifted_by_option("--yes alone does not identify the card", hint))
            }
            _ => None,
        }
    }
}

/// Why the confirmation of `request` does not suffice for `disk`, even if it is the one that the command line expects.
pub fn unconfirmed(disk: &Disk, request: &Request) -> Option<Refusal> {
    let path = disk.path.display();
    match &request.confirmation {
        Confirmation::Missing => Some(lifted_by_option(
            format!("there is no terminal to confirm on that {path} may be overwritten"),
            format!("pass --yes {}", expect_option(disk)),
        )),
        Confirmation::Expected { size: None, serial: None } => Some(lifted_by_option(
            "--yes alone does not identify the card",
            format!("add {} if {path} is the right card", expect_option(disk)),
        )),
        Confirmation::Expected { serial: None, .. }
            if matches!(disk.confirm_phrase(), ConfirmPhrase::Serial(_)) =>
        {
            Some(lifted_by_option(
                format!(
                    "{path} is large for a card ({}): its size alone does not identify it",
                    Bytes(disk.size)
                ),
                format!("add {} if {path} is the right card", expect_option(disk)),
            ))
        }
        Confirmation::Typed | Confirmation::Expected { .. } => None,
    }
}

/// How `disk` differs from the size and the serial number that the command line expects.
pub fn expectation_mismatch(disk: &Disk, request: &Request) -> Option<Refusal> {
    let Confirmation::Expected { size, serial } = &request.confirmation else { return None };
    let path = disk.path.display();
    let hint = format!("check that {path} is the right card");
    if let Some(size) = size.filter(|size| *size != disk.size) {
        let found = disk.size;
        return Some(refusal(format!("{path} has {found} bytes, but {size} are expected"), hint));
    }
    let serial = serial.as_deref().filter(|serial| disk.serial.as_deref() != Some(serial))?;
    let found = disk.serial.as_deref().unwrap_or("none");
    Some(refusal(format!("the serial number of {path} is {found}, but {serial} is expected"), hint))
}

/// The option that identifies `disk`: by its size, and a disk that is large for a card by its serial number.
fn expect_option(disk: &Disk) -> String {
    match disk.confirm_phrase() {
        ConfirmPhrase::Serial(serial) => format!("--expect-serial {serial}"),
        _ => format!("--expect-size {}", disk.size),
    }
}
