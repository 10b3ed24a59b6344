//! How the user agrees that a card is overwritten, and where that is not enough.

use super::refusal::{Refusal, refusal};
use super::{ConfirmPhrase, Disk, Request};
use crate::base::Bytes;

/// How the user agrees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// Asked on the terminal once the plan is shown.
    Typed,
    /// Given beforehand, for the disk that is so described.
    Expected { size: Option<u64>, serial: Option<String> },
    /// There is no terminal and nothing was given beforehand.
    Missing,
}

impl Confirmation {
    /// Why no card at all can be agreed to: for one that has yet to come.
    pub fn lacking(&self) -> Option<Refusal> {
        let remedy = "say which card is meant: --yes with --expect-size SIZE or --expect-serial SERIAL";
        match self {
            Self::Missing => Some(refusal("there is no terminal on which to confirm the card", remedy)),
            Self::Expected { size: None, serial: None } => {
                Some(refusal("--yes alone does not say which card is meant", remedy))
            }
            _ => None,
        }
    }
}

/// Why `disk` is not agreed to.
pub fn confirmation(disk: &Disk, request: &Request) -> Option<Refusal> {
    let path = disk.path.display();
    match &request.confirmation {
        Confirmation::Typed => None,
        Confirmation::Missing => Some(refusal(
            format!("there is no terminal on which to confirm that {path} may be overwritten"),
            format!("confirm with --yes {}", described(disk)),
        )),
        Confirmation::Expected { size: None, serial: None } => Some(refusal(
            "--yes alone does not say which card is meant",
            format!("add {} for {path}, if that is the one", described(disk)),
        )),
        Confirmation::Expected { serial: None, .. }
            if matches!(disk.confirm_phrase(), ConfirmPhrase::Serial(_)) =>
        {
            Some(refusal(
                format!(
                    "{path} is large for a card, {}, and its size alone does not name it",
                    Bytes(disk.size)
                ),
                format!("add {}, if that is the one", described(disk)),
            ))
        }
        Confirmation::Expected { .. } => unexpected(disk, request),
    }
}

/// Where `disk` is not the one that was described beforehand.
pub fn unexpected(disk: &Disk, request: &Request) -> Option<Refusal> {
    let Confirmation::Expected { size, serial } = &request.confirmation else { return None };
    let path = disk.path.display();
    let remedy = "check that this is the card that is meant";
    if let Some(size) = size.filter(|size| *size != disk.size) {
        let found = disk.size;
        return Some(refusal(
            format!("{path} holds {found} bytes, not the {size} that are expected"),
            remedy,
        ));
    }
    let serial = serial.as_deref().filter(|serial| disk.serial.as_deref() != Some(serial))?;
    let found = disk.serial.as_deref().unwrap_or("none");
    Some(refusal(format!("the serial number of {path} is {found}, not {serial} as is expected"), remedy))
}

/// The option that names exactly this disk. A suspiciously large one is named by its serial.
fn described(disk: &Disk) -> String {
    match disk.confirm_phrase() {
        ConfirmPhrase::Serial(serial) => format!("--expect-serial {serial}"),
        _ => format!("--expect-size {}", disk.size),
    }
}
