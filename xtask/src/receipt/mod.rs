//! What this project has done, kept in its state folder: a JSON file for each, whose name sorts by time and
//! says what it is about. A receipt is no proof of what a card holds now; it says what to compare it with.

mod deployed;
mod flashed;
mod moment;
mod store;

pub use deployed::Deployed;
pub use flashed::{Flashed, Own};
pub use moment::Moment;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::disk::Disk;
use crate::project;

/// One receipt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Receipt {
    Flash(Box<Flashed>),
    Deploy(Deployed),
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(flashed) => flashed.fmt(f),
            Self::Deploy(deployed) => deployed.fmt(f),
        }
    }
}

impl Receipt {
    /// The host that it is about: of an image that was given as a file, the one whose identity the card got, if any.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Flash(flashed) => flashed.about_host(),
            Self::Deploy(deployed) => Some(&deployed.host),
        }
    }

    /// What was done, as one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Flash(_) => "flash",
            Self::Deploy(_) => "deploy",
        }
    }

    /// What its file is named: when it was, what was done, and to what.
    fn name(&self) -> String {
        let (when, about) = match self {
            Self::Flash(flashed) => (&flashed.when, flashed.about()),
            Self::Deploy(deployed) => (&deployed.when, deployed.host.clone()),
        };
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let about = about.chars().map(plain).take(80).collect::<String>();
        format!("{}-{}-{about}", when.in_name(), self.word())
    }
}

impl From<Flashed> for Receipt {
    fn from(flashed: Flashed) -> Self {
        Self::Flash(flashed.into())
    }
}

impl From<Deployed> for Receipt {
    fn from(deployed: Deployed) -> Self {
        Self::Deploy(deployed)
    }
}

/// Keeps a receipt of what was done. Where that fails, the card or the host is none the worse: it is a warning.
pub fn keep(cx: &Context, done: impl Into<Receipt>) {
    let receipt = done.into();
    if let Err(error) = store::write(&folder(), &receipt.name(), &receipt) {
        cx.warn(format!("there is no receipt of this {}: {error:#}", receipt.word()));
    }
}

/// All receipts, the newest first.
pub fn all() -> anyhow::Result<Vec<Receipt>> {
    store::newest_first(&folder())
}

/// The receipt of the last flash of the card `disk`. Where there is none, or receipts cannot be read, which is
/// a warning, nothing is known.
pub fn of_card(cx: &Context, disk: &Disk) -> Option<Flashed> {
    let receipts = all().unwrap_or_else(|error| {
        cx.warn(format!("{error:#}"));
        Vec::new()
    });
    last_of(receipts, disk)
}

fn folder() -> std::path::PathBuf {
    project::state_dir().join("receipts")
}

fn last_of(receipts: impl IntoIterator<Item = Receipt>, disk: &Disk) -> Option<Flashed> {
    let mut flashed = receipts.into_iter().filter_map(|receipt| match receipt {
        Receipt::Flash(flashed) => Some(*flashed),
        Receipt::Deploy(_) => None,
    });
    flashed.find(|flashed| flashed.card.is(disk))
}

#[cfg(test)]
mod tests;
