//! `card`: what is on a card, whether it still is what was written, and whether it holds what it says.

mod check;
mod inspect;
mod verify;

use std::path::Path;

use anyhow::Result;

use crate::base::Context;
use crate::base::failure::ExitKind;
use crate::card::disk::{Disk, Roots};
use crate::card::worker::{self, Access};
use crate::cli::{Card, CardCommand};

pub fn run(cx: &Context, args: &Card) -> Result<()> {
    match &args.what {
        CardCommand::Inspect(args) => inspect::run(cx, args),
        CardCommand::Verify(args) => verify::run(cx, args),
        CardCommand::Check(args) => check::run(cx, args),
    }
}

/// The card at `device`, which can be read. No card is refused for that.
fn readable(cx: &Context, device: &Path) -> Result<Disk> {
    let disk = Disk::load(&Roots::default(), device)?;
    if disk.size == 0 {
        let path = disk.path.display();
        return Err(
            ExitKind::Refused.error(format!("there is nothing in {path}; insert the card and try again"))
        );
    }
    worker::check_access(cx, &disk.path, Access::Read)?;
    Ok(disk)
}
