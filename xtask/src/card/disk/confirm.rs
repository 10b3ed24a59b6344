//! The confirmation that a card may be overwritten, and the reasons why a confirmation does not suffice.

use super::refusal::{Refusal, refusal, refusal_lifted_by_option};
use super::{ConfirmPhrase, Disk, Request};
use crate::base::Bytes;
use crate::base::failure::ReasonKind;

/// How the user confirms that a card may be overwritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// The user types the [`ConfirmPhrase`] on the terminal after the plan is shown.
    Typed,
    /// The command line confirms the disk with this size in bytes and this serial number, as far as it names them. With
    /// neither, `--yes` stands alone.
    Expected { size: Option<u64>, serial: Option<String> },
    /// There is no terminal, and the command line confirms no disk.
    Missing,
}

impl Confirmation {
    /// The refusal of a confirmation that no card satisfies; `None` where a card may satisfy it. A command checks this
    /// before it waits for a card.
    pub fn refusal(&self) -> Option<Refusal> {
        let hint = "pass --yes with --expect-size SIZE or --expect-serial SERIAL";
        match self {
            Self::Missing => {
                let reason = "cannot ask for the confirmation of a card: there is no terminal";
                Some(refusal_lifted_by_option(ReasonKind::NotConfirmed, reason, hint))
            }
            Self::Expected { size: None, serial: None } => Some(refusal_lifted_by_option(
                ReasonKind::NotConfirmed,
                "--yes alone does not identify the card",
                hint,
            )),
            _ => None,
        }
    }
}

/// The refusal of a confirmation in `request` that does not suffice for `disk`, whether or not `disk` has the expected
/// size and serial number.
pub fn confirmation_refusal(disk: &Disk, request: &Request) -> Option<Refusal> {
    let path = disk.path.display();
    let option = expect_option(disk);
    let add_option = format!("add {option} if {path} is the right card");
    let needs_serial = matches!(disk.confirm_phrase(), ConfirmPhrase::Serial(_));
    match &request.confirmation {
        Confirmation::Missing => Some(refusal_lifted_by_option(
            ReasonKind::NotConfirmed,
            format!("cannot ask whether {path} may be overwritten: there is no terminal"),
            format!("pass --yes {option}"),
        )),
        Confirmation::Expected { size: None, serial: None } => Some(refusal_lifted_by_option(
            ReasonKind::NotConfirmed,
            "--yes alone does not identify the card",
            add_option,
        )),
        Confirmation::Expected { serial: None, .. } if needs_serial => {
            let size = Bytes(disk.size);
            let reason = format!("{path} is large for a card ({size}): its size alone does not identify it");
            Some(refusal_lifted_by_option(ReasonKind::NotConfirmed, reason, add_option))
        }
        Confirmation::Typed | Confirmation::Expected { .. } => None,
    }
}

/// The refusal of a disk that has another size or serial number than the command line expects.
pub fn expectation_refusal(disk: &Disk, request: &Request) -> Option<Refusal> {
    let Confirmation::Expected { size, serial } = &request.confirmation else { return None };
    let path = disk.path.display();
    let hint = format!("check that {path} is the right card");
    if let Some(expected_size) = size.filter(|size| *size != disk.size) {
        let found = disk.size;
        return Some(refusal(
            ReasonKind::NotExpected,
            format!("{path} has {found} bytes, but {expected_size} are expected"),
            hint,
        ));
    }
    let expected_serial = serial.as_deref().filter(|serial| disk.serial.as_deref() != Some(serial))?;
    let found = disk.serial.as_deref().unwrap_or("none");
    let reason = format!("the serial number of {path} is {found}, but {expected_serial} is expected");
    Some(refusal(ReasonKind::NotExpected, reason, hint))
}

/// The option that identifies `disk`: by its serial number where the disk is large for a card and has one, else by its
/// size.
fn expect_option(disk: &Disk) -> String {
    match disk.confirm_phrase() {
        ConfirmPhrase::Serial(serial) => format!("--expect-serial {serial}"),
        _ => format!("--expect-size {}", disk.size),
    }
}
