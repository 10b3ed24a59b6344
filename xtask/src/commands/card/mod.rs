//! `card`: inspects a card, verifies it against an image, and checks its capacity.

mod check;
mod inspect;
mod verify;

#[cfg(test)]
pub use check::CardCheckResult;
#[cfg(test)]
pub use inspect::CardFacts;
#[cfg(test)]
pub use verify::CardVerifyResult;

use std::path::Path;

use anyhow::Result;

use crate::bail;
use crate::base::Context;
use crate::card::disk::{Disk, Roots};
use crate::card::worker::{self, Access};
use crate::cli::{Card, CardCommand};

pub fn run(cx: &Context, args: &Card) -> Result<()> {
    match &args.command {
        CardCommand::Inspect(args) => inspect::run(cx, args),
        CardCommand::Verify(args) => verify::run(cx, args),
        CardCommand::Check(args) => check::run(cx, args),
    }
}

/// The card at `device`, for reading. This refuses no disk, also not one of the running system.
///
/// # Errors
/// `Refused` for a reader without a card, and the error of a card that this user cannot read.
fn load_readable(cx: &Context, device: &Path) -> Result<Disk> {
    let disk = Disk::load(&Roots::default(), device)?;
    if disk.size == 0 {
        bail!(Refused(NoMedium), "there is no card in {}", disk.path.display(); hint: "insert the card and retry");
    }
    worker::check_access(cx, &disk.path, Access::Read)?;
    Ok(disk)
}
