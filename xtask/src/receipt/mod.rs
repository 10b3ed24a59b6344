//! What this project has done, kept in its state folder: a JSON file for each, whose name sorts by the order of what was
//! done and says what it is about. A receipt is no proof of what a card holds now; it says what to compare it with.

mod broken;
mod deployed;
mod flashed;
mod running;
mod store;
mod timestamp;

pub use broken::BrokenFlash;
pub use deployed::Deployed;
pub use flashed::{Flashed, PayloadReceipt};
pub use running::begin_flash;
pub use timestamp::Timestamp;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::{Context, failure, project};
use crate::card::disk::Disk;
use crate::card::flash::Rates;

/// One receipt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Receipt {
    Flash(Box<Flashed>),
    /// One that did not end well: the card holds no image.
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
    /// The host that it is about: of an image that was given as a file, the one whose identity the card got, if any.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Flash(flashed) => flashed.about_host(),
            Self::BrokenFlash(broken) => broken.host.as_deref(),
            Self::Deploy(deployed) => Some(&deployed.host),
        }
    }

    /// What was done, as one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Flash(_) | Self::BrokenFlash(_) => "flash",
            Self::Deploy(_) => "deploy",
        }
    }

    /// When it was, by the clock of that time.
    pub fn when(&self) -> &Timestamp {
        match self {
            Self::Flash(flashed) => &flashed.when,
            Self::BrokenFlash(broken) => &broken.when,
            Self::Deploy(deployed) => &deployed.when,
        }
    }

    /// What its file is named, behind the sequence number: when it was, what was done, and to what.
    fn name(&self) -> String {
        let about = match self {
            Self::Flash(flashed) => flashed.about(),
            Self::BrokenFlash(broken) => flashed::about(broken.host.as_deref(), &broken.image.path),
            Self::Deploy(deployed) => deployed.host.clone(),
        };
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let about = about.chars().map(plain).take(80).collect::<String>();
        format!("{}-{}-{about}", self.when().in_name(), self.word())
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

/// Keeps a receipt of what was done. Where that fails, the host is none the worse: it is a warning.
pub fn save(cx: &Context, done: impl Into<Receipt>) {
    let receipt = done.into();
    if let Err(error) = store::write(&folder(), &receipt) {
        cx.warn(format!("there is no receipt of this {}: {}", receipt.word(), failure::with_hint(&error)));
    }
}

/// All receipts, the newest first. Those that cannot be read are a warning.
pub fn read_all(cx: &Context) -> anyhow::Result<Vec<Receipt>> {
    let mut receipts = store::newest_first(&folder())?;
    let read = receipts.by_ref().collect();
    receipts.unreadable_warning().into_iter().for_each(|text| cx.warn(text));
    Ok(read)
}

/// The receipt of the last flash of the card `disk` that ended well. A later one that did not is a warning, and so are
/// receipts that cannot be read; where there are none, nothing is known.
pub fn of_card(cx: &Context, disk: &Disk) -> Option<Flashed> {
    let read = store::newest_first(&folder()).map(|mut receipts| {
        let last = last_flash_of(receipts.by_ref(), disk);
        // One that cannot be read may be the one that is looked for, whatever its name.
        receipts.by_ref().for_each(drop);
        (last, receipts.unreadable_warning())
    });
    let (last, complaint) =
        read.unwrap_or_else(|error| (LastFlash::default(), Some(failure::with_hint(&error))));
    let broken = last.broken.map(|broken| format!("the last {broken}"));
    complaint.into_iter().chain(broken).for_each(|text| cx.warn(text));
    last.flashed
}

/// How fast the card `disk` was at its last flash that ended well, as far as that is known.
pub fn rates_of(disk: &Disk) -> Option<Rates> {
    last_flash_of(store::newest_first(&folder()).ok()?, disk).flashed.map(|flashed| flashed.rates)
}

fn folder() -> std::path::PathBuf {
    project::state_dir().join("receipts")
}

/// What is known of the flashes of one card.
#[derive(Debug, Default, PartialEq)]
struct LastFlash {
    /// The last one that ended well.
    flashed: Option<Flashed>,
    /// The last one after that, if it did not.
    broken: Option<BrokenFlash>,
}

/// `receipts` are the newest first.
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
mod tests;
