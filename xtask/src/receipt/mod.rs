//! Receipts of flashes and deploys: JSON files in the state folder.
//!
//! The name of a file sorts by the order of the operations and names the subject. A receipt is no proof of what a
//! card holds now; it says what to compare the card with.

mod broken_flash;
mod deployed;
mod flashed;
mod moved;
mod past_rollback;
mod recorded_system;
mod running;
mod store;

pub use broken_flash::BrokenFlash;
pub use deployed::{DeployCommand, Deployed};
pub use flashed::{Flashed, PayloadReceipt, Source as FlashSource};
pub use moved::move_receipts;
pub use past_rollback::past_rollback;
pub use recorded_system::{RecordedSystem, last_system, recorded_systems};
pub use running::begin_flash;
#[cfg(test)]
pub use store::Stored;

use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{Context, FlakeRef, HostName, Timestamp};
use crate::card::disk::Disk;
use crate::card::flash::Rates;
use crate::nix::Revision;

/// The folder of receipts in the state folder.
const FOLDER: &str = "receipts";

/// A receipt of any kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Receipt {
    Flash(Box<Flashed>),
    /// A flash that failed, or has not ended yet.
    BrokenFlash(Box<BrokenFlash>),
    Deploy(Box<Deployed>),
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(flashed) => flashed.fmt(f),
            Self::BrokenFlash(broken) => broken.fmt(f),
            Self::Deploy(deployed) => deployed.fmt(f),
        }
    }
}

impl Receipt {
    /// The host of the receipt. For an image that was given as a file, the host whose identity the card got, if any.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Flash(flashed) => flashed.card_host(),
            Self::BrokenFlash(broken) => broken.host.as_deref(),
            Self::Deploy(deployed) => Some(&deployed.host),
        }
    }

    /// The flake of the host, as Nix got it; `None` for an image that was given as a file.
    pub fn flake(&self) -> Option<&str> {
        match self {
            Self::Flash(flashed) => flashed.flake.as_deref(),
            Self::BrokenFlash(broken) => broken.flake.as_deref(),
            Self::Deploy(deployed) => Some(&deployed.flake),
        }
    }

    /// The command of the operation: `flash`, `deploy` or `rollback`.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Flash(_) | Self::BrokenFlash(_) => "flash",
            Self::Deploy(deployed) if deployed.is_rollback => "rollback",
            Self::Deploy(_) => "deploy",
        }
    }

    /// The git revision of the flake that the system was built from; `None` where the receipt has none.
    pub fn revision(&self) -> Option<&Revision> {
        match self {
            Self::Flash(flashed) => flashed.revision.as_ref(),
            Self::BrokenFlash(_) => None,
            Self::Deploy(deployed) => deployed.revision.as_ref(),
        }
    }

    /// The time when the operation ended, by the clock of that time. For a flash whose end was not recorded, the time
    /// when the flash began.
    pub fn when(&self) -> &Timestamp {
        match self {
            Self::Flash(flashed) => &flashed.when,
            Self::BrokenFlash(broken) => &broken.when,
            Self::Deploy(deployed) => &deployed.when,
        }
    }

    /// What was done and on which day, short enough for a table: `deployed 2026-11-25: rolled back`.
    pub fn summary(&self) -> String {
        let day = self.when().day();
        match self {
            Self::Flash(_) => format!("flashed {day}"),
            Self::BrokenFlash(_) => format!("flash broken off {day}"),
            Self::Deploy(deploy) if deploy.is_plain_success() => {
                let verb = if deploy.is_rollback { "rollback" } else { "deployed" };
                format!("{verb} {day}")
            }
            Self::Deploy(deploy) => format!("deployed {day}: {}", deploy.verdict_words()),
        }
    }

    /// The part of the file name between the sequence number and the ending: time, operation and subject.
    fn name_in_file(&self) -> String {
        let subject = match self {
            Self::Flash(flashed) => flashed.subject(),
            Self::BrokenFlash(broken) => flashed::subject(broken.host.as_ref(), &broken.image.path),
            Self::Deploy(deployed) => deployed.host.to_string(),
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        // Cut, as a file name has at most 255 bytes.
        let plain_subject = subject.replace(|c| !is_plain(c), "-").chars().take(80).collect::<String>();
        format!("{}-{}-{plain_subject}", self.when().for_file_name(), self.operation())
    }
}

impl From<Flashed> for Receipt {
    fn from(flashed: Flashed) -> Self {
        Self::Flash(flashed.into())
    }
}

impl From<BrokenFlash> for Receipt {
    fn from(broken: BrokenFlash) -> Self {
        Self::BrokenFlash(broken.into())
    }
}

impl From<Deployed> for Receipt {
    fn from(deployed: Deployed) -> Self {
        Self::Deploy(deployed.into())
    }
}

/// Saves a receipt. A failure is a warning, because it does not harm the host.
pub fn save(cx: &Context, receipt: impl Into<Receipt>) {
    let receipt = receipt.into();
    if let Err(error) = store::write(&folder(cx), &receipt) {
        cx.warn_of(&error.context(format!("no receipt of this {} was written", receipt.operation())));
    }
}

/// A receipt with its number, which no other receipt of its host has.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Numbered {
    /// The sequence number; `None` for a receipt of an early version.
    pub number: Option<u64>,
    #[serde(flatten)]
    pub receipt: Receipt,
}

/// Reads all receipts, the newest first. Warns of unreadable receipts.
///
/// # Errors
/// Where the folder of receipts cannot be read.
pub fn read_all(cx: &Context) -> anyhow::Result<Vec<Receipt>> {
    Ok(read_numbered(cx)?.into_iter().map(|numbered| numbered.receipt).collect())
}

/// Reads all receipts with their numbers, the newest first. Warns of unreadable receipts.
///
/// # Errors
/// Where the folder of receipts cannot be read.
pub fn read_numbered(cx: &Context) -> anyhow::Result<Vec<Numbered>> {
    let mut receipts = store::newest_first(&folder(cx))?;
    let mut readable = Vec::new();
    while let Some((name, receipt)) = receipts.next_named() {
        readable.push(Numbered { number: store::number(&name), receipt });
    }
    if let Some(warning) = receipts.unreadable_warning() {
        cx.warn(warning);
    }
    Ok(readable)
}

/// The hosts whose cards were flashed from `flake`, by the receipts in the state folder `state`. A host has one entry
/// for each flash.
///
/// # Errors
/// Where the folder of receipts cannot be read.
pub fn flashed_hosts(state: &Path, flake: &FlakeRef) -> anyhow::Result<Vec<HostName>> {
    let mut hosts = Vec::new();
    for receipt in store::newest_first(&state.join(FOLDER))? {
        if let Receipt::Flash(flashed) = receipt
            && flashed.flake.is_some_and(|of_receipt| flake.is_same(&of_receipt))
        {
            hosts.extend(flashed.host);
        }
    }
    Ok(hosts)
}

/// The receipt of the last successful flash of the card `disk`; `None` if there is none. Warns of a later flash that
/// failed, and of unreadable receipts.
pub fn of_card(cx: &Context, disk: &Disk) -> Option<Flashed> {
    let mut receipts = match store::newest_first(&folder(cx)) {
        Ok(receipts) => receipts,
        Err(error) => {
            cx.warn_of(&error);
            return None;
        }
    };
    let last = last_flash_of(receipts.by_ref(), disk);
    // An unreadable receipt may be that of this card, so the older receipts are read too.
    receipts.by_ref().for_each(drop);
    if let Some(warning) = receipts.unreadable_warning() {
        cx.warn(warning);
    }
    if let Some(broken) = last.broken {
        cx.warn(format!("the last {broken}"));
    }
    last.flashed
}

/// The rates of the last successful flash of the card `disk`; `None` if unknown.
pub fn rates_of(cx: &Context, disk: &Disk) -> Option<Rates> {
    let receipts = store::newest_first(&folder(cx)).ok()?;
    last_flash_of(receipts, disk).flashed.map(|flashed| flashed.rates)
}

/// The folder of receipts.
fn folder(cx: &Context) -> std::path::PathBuf {
    cx.state.join(FOLDER)
}

/// The last flashes of a card.
#[derive(Debug, Default, PartialEq)]
struct LastFlash {
    /// The last successful flash.
    flashed: Option<Flashed>,
    /// The last failed flash after the last successful flash.
    broken: Option<BrokenFlash>,
}

/// The last flashes of the card `disk` among `receipts`, the newest first.
fn last_flash_of(receipts: impl IntoIterator<Item = Receipt>, disk: &Disk) -> LastFlash {
    let mut last = LastFlash::default();
    for receipt in receipts {
        match receipt {
            Receipt::Flash(flashed) if flashed.card.is(disk) => {
                return LastFlash { flashed: Some(*flashed), ..last };
            }
            Receipt::BrokenFlash(broken) if broken.card.is(disk) => {
                last.broken.get_or_insert(*broken);
            }
            _ => {}
        }
    }
    last
}

#[cfg(test)]
mod card_tests;
#[cfg(test)]
mod tests;
