//! Receipts of flashes and deploys: JSON files in the state folder.
//!
//! The name of a file sorts by the order of the operations and names the subject. A receipt is no proof of what a
//! card holds now; it says what to compare the card with.

mod broken_flash;
mod deployed;
mod flashed;
mod moved;
mod running;
mod store;
mod timestamp;

pub use broken_flash::BrokenFlash;
pub use deployed::Deployed;
pub use flashed::{Flashed, PayloadReceipt};
pub use moved::move_receipts;
pub use running::begin_flash;
pub use timestamp::Timestamp;

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::{Context, FlakeRef, HostName, failure};
use crate::card::disk::Disk;
use crate::card::flash::Rates;

/// The folder of receipts in the state folder.
const FOLDER: &str = "receipts";

/// A receipt of any kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Receipt {
    Flash(Box<Flashed>),
    /// A flash that did not succeed: the card holds no image.
    BrokenFlash(Box<BrokenFlash>),
    Deploy(Deployed),
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

    /// The operation, in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Flash(_) | Self::BrokenFlash(_) => "flash",
            Self::Deploy(_) => "deploy",
        }
    }

    /// When the operation ended, by the clock of that time.
    pub fn when(&self) -> &Timestamp {
        match self {
            Self::Flash(flashed) => &flashed.when,
            Self::BrokenFlash(broken) => &broken.when,
            Self::Deploy(deployed) => &deployed.when,
        }
    }

    /// The name of the file after the sequence number: time, operation and subject.
    fn name(&self) -> String {
        let subject = match self {
            Self::Flash(flashed) => flashed.subject(),
            Self::BrokenFlash(broken) => flashed::subject(broken.host.as_ref(), &broken.image.path),
            Self::Deploy(deployed) => deployed.host.to_string(),
        };
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let plain_subject = subject.chars().map(plain).take(80).collect::<String>();
        format!("{}-{}-{plain_subject}", self.when().in_name(), self.word())
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
        Self::Deploy(deployed)
    }
}

/// Saves a receipt. A failure is a warning, because it does not harm the host.
pub fn save(cx: &Context, receipt: impl Into<Receipt>) {
    let receipt = receipt.into();
    if let Err(error) = store::write(&folder(cx), &receipt) {
        cx.warn(format!("no receipt of this {} was written: {}", receipt.word(), failure::with_hint(&error)));
    }
}

/// Reads all receipts, the newest first. Unreadable ones are a warning.
pub fn read_all(cx: &Context) -> anyhow::Result<Vec<Receipt>> {
    let mut receipts = store::newest_first(&folder(cx))?;
    let all = receipts.by_ref().collect();
    receipts.unreadable_warning().into_iter().for_each(|text| cx.warn(text));
    Ok(all)
}

/// The hosts whose cards were flashed from `flake`, by the receipts in the state folder `state`.
///
/// # Errors
/// Where the folder of receipts cannot be read.
pub fn flashed_hosts(state: &Path, flake: &FlakeRef) -> anyhow::Result<Vec<HostName>> {
    let host = |receipt| match receipt {
        Receipt::Flash(flashed) if flashed.flake.as_deref().is_some_and(|it| flake.is_same(it)) => {
            flashed.host
        }
        _ => None,
    };
    Ok(store::newest_first(&state.join(FOLDER))?.by_ref().filter_map(host).collect())
}

/// The receipt of the last successful flash of the card `disk`; `None` if there is none. A later failed flash is a
/// warning, and so are unreadable receipts.
pub fn of_card(cx: &Context, disk: &Disk) -> Option<Flashed> {
    let read = store::newest_first(&folder(cx)).map(|mut receipts| {
        let last = last_flash_of(receipts.by_ref(), disk);
        // Any receipt that is unreadable may be the one of this card, so all are read.
        receipts.by_ref().for_each(drop);
        (last, receipts.unreadable_warning())
    });
    let (last, warning) =
        read.unwrap_or_else(|error| (LastFlash::default(), Some(failure::with_hint(&error))));
    let broken = last.broken.map(|broken| format!("the last {broken}"));
    warning.into_iter().chain(broken).for_each(|text| cx.warn(text));
    last.flashed
}

/// The rates of the last successful flash of the card `disk`; `None` if unknown.
pub fn rates_of(cx: &Context, disk: &Disk) -> Option<Rates> {
    last_flash_of(store::newest_first(&folder(cx)).ok()?, disk).flashed.map(|flashed| flashed.rates)
}

fn folder(cx: &Context) -> std::path::PathBuf {
    cx.state.join(FOLDER)
}

/// The last flashes of one card.
#[derive(Debug, Default, PartialEq)]
struct LastFlash {
    /// The last successful flash.
    flashed: Option<Flashed>,
    /// The last failed flash after that.
    broken: Option<BrokenFlash>,
}

/// The last flashes of `disk` among `receipts`, which are sorted, the newest first.
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
